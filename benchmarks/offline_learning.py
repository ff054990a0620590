"""What offline algorithms reach from data of known quality, over seeds and on both frameworks.

    python -m benchmarks.offline_learning run --folder runs/offline     # trains what is not there yet
    python -m benchmarks.offline_learning show                          # prints the tables of docs/offline-rl.md

A run that was interrupted is begun anew by the next call; finished ones are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.offline_data import make_sets
from benchmarks.seed_statistics import bootstrap_interval
from experience.environments import make_environment
from experience.evaluation import play_episodes
from experience.offline_data import ReplayBuffer
from experience.offline_settings import D3RLPY_ALGORITHMS
from experience.offline_training import OfflineSettings, train_offline
from parity_tests.offline_run import measure_data, read_dataset

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results" / "offline-learning.json"
SIDES = {"torch": "torch_impl", "tensorflow": "legacy_tf"}
SEEDS = 5
EVALUATION_SEED = 5_000_000


@dataclass(frozen=True, slots=True)
class Study:
    """Algorithms on one data set.

    Attributes:
        environment: the task.
        data: name of the set, see `offline_data.make_sets`.
        algorithms: d3rlpy's names.
        updates: of a run.
        settings: of all algorithms, laid over d3rlpy's defaults where an algorithm has them.
        episodes: of the evaluation at the end.
    """

    environment: str
    data: str
    algorithms: tuple[str, ...]
    updates: int
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: see `Settings`
    episodes: int = 20


_CARTPOLE: Mapping[str, Any] = {
    "hidden_sizes": [128, 64, 32],
    "batch_size": 64,
    "lr": 1e-3,
    "target_update_freq": 100,
}
_PENDULUM: Mapping[str, Any] = {"hidden_sizes": [64, 64], "batch_size": 64, "lr": 1e-3}
STUDIES = (
    Study("CartPole-v1", "expert", ("DiscreteBC", "DiscreteCQL"), 3_000, _CARTPOLE),
    Study("CartPole-v1", "medium", ("DiscreteBC", "DiscreteCQL"), 3_000, _CARTPOLE),
    Study("CartPole-v1", "mixed", ("DiscreteBC", "DiscreteCQL"), 3_000, _CARTPOLE),
    Study("Pendulum-v1", "mixed", ("BC", "TD3PlusBC", "IQL", "AWAC", "CQL"), 3_000, _PENDULUM),
)


def run_all(
    folder: Path, *, frameworks: Sequence[str], only: str | None = None, seeds: int = SEEDS
) -> None:
    """Train every run whose file is not in the folder yet.

    Args:
        folder: gets data and one JSON file a run.
        frameworks: of `SIDES`.
        only: part of the names of the runs that are wanted.
        seeds: runs of each.
    """
    for study in STUDIES:
        for algorithm in study.algorithms:
            for framework in frameworks:
                for seed in range(seeds):
                    name = f"{study.environment}-{study.data}-{algorithm}-{framework}-{seed}"
                    path = folder / f"{name}.json"
                    if path.exists() or (only is not None and only not in name):
                        continue
                    result = run_one(study, algorithm, framework, seed, folder)
                    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
                    sys.stderr.write(f"{name}: {result['mean_return']:.1f}\n")


def run_one(
    study: Study, algorithm: str, framework: str, seed: int, folder: Path
) -> dict[str, Any]:  # Any: JSON
    """Train one agent and return what it reached."""
    buffer = ReplayBuffer(read_dataset(str(make_sets(study.environment, folder)[study.data])))
    ours = D3RLPY_ALGORITHMS[algorithm]
    module = import_module(f"{SIDES[framework]}.{ours.module}")
    agent_class = getattr(module, ours.name)

    def make() -> Any:  # noqa: ANN401  a gymnasium environment
        return make_environment(study.environment)

    sizes = measure_data(buffer, make, discrete=agent_class.discrete)
    defaults = agent_class(**sizes, preset="d3rlpy").settings
    known = {k: v for k, v in study.settings.items() if k in defaults or k == "lr"}
    agent = agent_class(**sizes, preset="d3rlpy", seed=seed, **known)
    generator = np.random.default_rng(seed)
    settings = OfflineSettings(log_every=max(study.updates // 10, 1))
    result = train_offline(
        agent, buffer, steps=study.updates, generator=generator, settings=settings
    )
    returns = play_episodes(agent, make, episodes=study.episodes, seed=EVALUATION_SEED)
    data_returns = data_quality(buffer)
    return {
        "environment": study.environment,
        "data": study.data,
        "algorithm": algorithm,
        "framework": framework,
        "seed": seed,
        "updates": study.updates,
        "transitions": len(buffer),
        "data_return": data_returns,
        "settings": dict(study.settings),
        "returns": returns.tolist(),
        "mean_return": float(returns.mean()),
        "first_loss": result.history[0]["loss"],
        "last_loss": result.history[-1]["loss"],
    }


def data_quality(buffer: ReplayBuffer) -> float:
    """Return the mean reward of a step of the data: what is known of a buffer whose episodes are cut."""
    return float(buffer.transitions.reward.mean(dtype=np.float64))


def collect(folder: Path) -> list[dict[str, Any]]:  # Any: JSON
    """Return the results of all finished runs."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return [each for each in found if "mean_return" in each]


def format_rows(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the Markdown table of the results: mean over the seeds with 95 % bootstrap intervals."""
    lines = [
        "| task | data | algorithm | TensorFlow | PyTorch |",
        "|---|---|---|---|---|",
    ]
    groups = dict.fromkeys((r["environment"], r["data"], r["algorithm"]) for r in results)
    order = [(s.environment, s.data, a) for s in STUDIES for a in s.algorithms]
    for group in sorted(groups, key=order.index):
        cells = [
            _cell([r["mean_return"] for r in results
                   if (r["environment"], r["data"], r["algorithm"], r["framework"])
                   == (*group, framework)])
            for framework in ("tensorflow", "torch")
        ]  # fmt: skip
        lines.append(f"| {' | '.join([*group, *cells])} |")
    return lines


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = bootstrap_interval(values)
    return f"{np.mean(values):.1f} [{float(low):.1f}, {float(high):.1f}], {len(values)} seeds"


def main(argv: Sequence[str] | None = None) -> int:
    """Run, store or show."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offline_learning")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train what is not there yet, then store all results")
    run.add_argument("--folder", type=Path, required=True, help="of data and single runs")
    run.add_argument("--frameworks", nargs="+", default=list(SIDES), choices=list(SIDES))
    run.add_argument("--only", help="part of the names of the runs that are wanted")
    run.add_argument("--seeds", type=int, default=SEEDS)
    run.add_argument("--output", type=Path, default=RESULTS)
    show = commands.add_parser("show", help="print the table of the stored results")
    show.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    if arguments.command == "run":
        arguments.folder.mkdir(parents=True, exist_ok=True)
        run_all(
            arguments.folder,
            frameworks=arguments.frameworks,
            only=arguments.only,
            seeds=arguments.seeds,
        )
        text = json.dumps(collect(arguments.folder), indent=1)
        arguments.output.write_text(text + "\n", encoding="utf-8")
        return 0
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    sys.stdout.write("\n".join(format_rows(results)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
