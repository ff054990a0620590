"""Recorded data of known quality for comparing offline algorithms: CartPole and Pendulum by expert, medium and chance.

CartPole's expert is a DQN that is trained here until it balances the pole for 500 steps; medium is the same agent at the
first evaluation within `MEDIUM`. Pendulum's expert is a controller: it swings up by energy and holds by feedback.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experience.environments import make_environment
from experience.logs import EpisodeFigures, EvaluationFigures
from experience.offline_data import Episode, make_episode
from experience.presets import find_preset
from experience.training import Evaluation, train

Policy = Callable[[NDArray[np.floating], np.random.Generator], Any]  # Any: index or numbers
MEDIUM = (60.0, 250.0)
"""Mean return of an evaluation of the medium CartPole agent; an episode is 500 at most."""
SIZES: Mapping[str, Mapping[str, int]] = {
    "CartPole-v1": {"expert": 10_000, "medium": 10_000, "random": 10_000},
    "Pendulum-v1": {"expert": 10_000, "medium": 10_000, "random": 10_000},
}
"""Transitions of every set."""
MIXED: Mapping[str, Mapping[str, int]] = {
    "CartPole-v1": {"random": 8_000, "medium": 1_500, "expert": 500},
    "Pendulum-v1": {"random": 8_000, "medium": 1_500, "expert": 500},
}
"""Transitions of the mixed set by origin."""

_log = logging.getLogger(__name__)


def record(environment: str, policy: Policy, transitions: int, *, seed: int) -> list[Episode]:
    """Return episodes of at least so many transitions in all.

    Args:
        environment: name.
        policy: observation and generator to action.
        transitions: after which no further episode is begun.
        seed: of the policy's generator and of the environment.
    """
    env = make_environment(environment)
    rng = np.random.default_rng(seed)
    episodes, total = [], 0
    try:
        while total < transitions:
            observation, _ = env.reset(seed=int(rng.integers(2**31 - 1)))
            rows, steps = [np.asarray(observation)], []
            ended = False
            while not ended:
                action = policy(rows[-1], rng)
                observation, reward, terminated, truncated, _ = env.step(action)
                rows.append(np.asarray(observation))
                steps.append((action, float(reward), bool(terminated), bool(truncated)))
                ended = bool(terminated or truncated)
            actions, rewards, terminations, truncations = zip(*steps, strict=True)
            episodes.append(
                make_episode(rows, np.stack(actions), rewards, terminations, truncations)
            )
            total += len(steps)
    finally:
        env.close()
    return episodes


def train_cartpole(folder: Path) -> dict[str, Path]:
    """Train the DQN and return the files of "expert" and "medium"; nothing is done where both are there."""
    from torch_impl.dqn import DQNAgent

    files = {name: folder / f"cartpole-{name}.pth" for name in ("medium", "expert")}
    if all(path.exists() for path in files.values()):
        return files
    folder.mkdir(parents=True, exist_ok=True)
    preset = find_preset("dqn", "CartPole-v1")
    settings: dict[str, Any] = dict(preset.agent)  # Any: arguments of several types
    agent = DQNAgent(4, 2, **settings, seed=0, device="cpu")

    class Keeper:
        """Saves the first medium agent."""

        def on_episode(self, figures: EpisodeFigures) -> None:
            """Do nothing."""

        def on_evaluation(self, figures: EvaluationFigures) -> None:
            """Save where the return is that of a medium agent."""
            _log.info("CartPole: %.0f at step %d", figures.mean_return, figures.step)
            if MEDIUM[0] <= figures.mean_return <= MEDIUM[1] and not files["medium"].exists():
                agent.save(files["medium"])

    env = make_environment("CartPole-v1")
    train(
        agent,
        env,
        rng=np.random.default_rng(0),
        steps=preset.steps,
        settings=replace(preset.training, evaluate_every=1_000),
        evaluation=Evaluation(lambda: make_environment("CartPole-v1"), 10),
        listeners=[Keeper()],
    )
    env.close()
    agent.save(files["expert"])
    return files


def cartpole_policies(folder: Path) -> dict[str, Policy]:
    """Return the policies of CartPole's sets; what needs training is trained and kept in the folder."""
    from torch_impl.dqn import DQNAgent

    files = train_cartpole(folder)

    def greedy(name: str) -> Policy:
        agent = DQNAgent.load(files[name], device="cpu")
        return lambda row, rng: agent.act(row, rng, explore=False)

    return {
        "random": lambda _, rng: rng.integers(2),
        "medium": greedy("medium"),
        "expert": greedy("expert"),
    }


def swing_up(observation: NDArray[np.floating], _: np.random.Generator) -> NDArray[np.float32]:
    """Return Pendulum's torque: pumps energy until the pole is up, then holds it by feedback.

    With the pole upright at angle 0 the energy of Gymnasium's pendulum (mass and length 1, g = 10) is
    velocity**2 / 6 + 5 * cos(angle), which is 5 at rest upright.
    """
    cosine, sine, velocity = (float(number) for number in observation)
    angle = np.arctan2(sine, cosine)
    if abs(angle) < 0.5:
        torque = -12.0 * angle - 3.0 * velocity
    else:
        missing = 5.0 - (velocity**2 / 6.0 + 5.0 * cosine)
        torque = 2.0 * np.sign(missing) * (np.sign(velocity) if velocity else 1.0)
    return np.asarray([np.clip(torque, -2.0, 2.0)], np.float32)


def noisy_swing_up(observation: NDArray[np.floating], rng: np.random.Generator) -> Any:  # noqa: ANN401
    """Return the controller's torque, or in half of all steps a random one."""
    if rng.random() < 0.5:
        return rng.uniform(-2.0, 2.0, 1).astype(np.float32)
    return swing_up(observation, rng)


def pendulum_policies(_: Path) -> dict[str, Policy]:
    """Return the policies of Pendulum's sets."""
    return {
        "random": lambda _, rng: rng.uniform(-2.0, 2.0, 1).astype(np.float32),
        "medium": noisy_swing_up,
        "expert": swing_up,
    }


POLICIES: Mapping[str, Callable[[Path], dict[str, Policy]]] = {
    "CartPole-v1": cartpole_policies,
    "Pendulum-v1": pendulum_policies,
}


def make_sets(environment: str, folder: Path) -> dict[str, Path]:
    """Return the files of all sets of a task; those that are missing are recorded.

    Args:
        environment: of `POLICIES`.
        folder: of the files.
    """
    names = (*SIZES[environment], "mixed")
    files = {name: folder / f"{environment}-{name}.npz" for name in names}
    if all(path.exists() for path in files.values()):
        return files
    folder.mkdir(parents=True, exist_ok=True)
    policies = POLICIES[environment](folder)
    episodes = {
        name: record(environment, policies[name], size, seed=place)
        for place, (name, size) in enumerate(SIZES[environment].items())
    }
    episodes["mixed"] = [
        episode
        for name, size in MIXED[environment].items()
        for episode in _first(episodes[name], size)
    ]
    for name, found in episodes.items():
        write_archive(files[name], found)
    return files


def write_archive(path: Path, episodes: list[Episode]) -> None:
    """Write episodes as `parity_tests.offline_run.read_dataset` reads them, whole or not at all."""
    names = ("observations", "actions", "rewards", "terminations", "truncations")
    arrays: dict[str, Any] = {  # Any: numpy types the first keyword as a flag
        name: np.concatenate([getattr(episode, name) for episode in episodes]) for name in names
    }
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays, lengths=np.array([len(episode) for episode in episodes]))
    temporary.replace(path)


def _first(episodes: list[Episode], transitions: int) -> list[Episode]:
    """Return the first episodes up to so many transitions; the last one is cut there and counts as truncated."""
    chosen, left = [], transitions
    for episode in episodes:
        if left <= 0:
            break
        steps = min(len(episode), left)
        left -= steps
        truncations = episode.truncations[:steps].copy()
        truncations[-1] |= not episode.terminations[steps - 1]
        chosen.append(
            Episode(
                episode.observations[: steps + 1],
                episode.actions[:steps],
                episode.rewards[:steps],
                episode.terminations[:steps],
                truncations,
            )
        )
    return chosen
