"""`torchward dataset`: record episodes into Minari data sets, import them from d3rlpy, list and show them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from converters.errors import ConversionError, OutputError, UnreadableFileError

if TYPE_CHECKING:
    from experience.datasets import DatasetFacts
    from experience.offline_data import Episode
    from experience.recording import Recording

dataset = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Data sets for offline learning: record, import, list, show.",
)
Root = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Folder of all data sets; MINARI_DATASETS_PATH, else Minari's own."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace a data set of this id.")]


class DatasetUsageError(ConversionError):
    """A data set that cannot be made, found or read as asked."""

    exit_code = 2


@dataset.command()
def record(
    env: Annotated[str, typer.Option(help="Gymnasium id, or one of ours: LanguageLearning, ...")],
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Agent (.pth: trained, converted) or random; may be repeated."),
    ] = None,
    mix: Annotated[
        list[float] | None,
        typer.Option(help="Share of each --policy; one number is the first one's of two.", min=0),
    ] = None,
    episodes: Annotated[int, typer.Option(help="Episodes to record.", min=1)] = 100,
    epsilon: Annotated[
        float, typer.Option(help="Rate of random actions in every policy.", min=0, max=1)
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the first reset and of all that is drawn.")] = 0,
    id: Annotated[  # the name of the option
        str | None, typer.Option("--id", help="(namespace/)name-v0; by default of env and policy.")
    ] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    root: Root = None,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Let policies play, and store their episodes as a Minari data set.

    Example: torchward dataset record --env CartPole-v1 --policy agent.pth --episodes 200 --id cartpole/expert-v0

    Example: torchward dataset record --env CartPole-v1 --policy agent.pth --policy random --mix 0.5
    """
    from experience.datasets import check_free, describe_dataset, write_dataset
    from experience.environments import make_environment
    from experience.recording import exploring_policy, record_episodes
    from parity_tests.stored_policies import find_policy

    names = list(policy or ("random",))
    with _plain_errors():
        shares = choose_shares(names, list(mix or ()))
        chosen = check_free(id or name_dataset(env, names), root=root, replace=force)
        environment = make_environment(env)
        try:
            found = [find_policy(name, environment) for name in names]
            if epsilon:
                found = [exploring_policy(each, environment, epsilon=epsilon) for each in found]
            recording = record_episodes(
                found, environment, episodes=episodes, seed=seed, shares=shares
            )
            folder = write_dataset(
                chosen,
                recording.episodes,
                environment=environment,
                algorithm=_describe_policies(names, shares, epsilon),
                description=description,
                author="torchward",
                seeds=recording.seeds,
                root=root,
                replace=force,
            )
        finally:
            environment.close()
        facts = describe_dataset(folder)
    if as_json:
        _echo([json.dumps({**_facts_data(facts), "policies": _figures(recording, names)})])
    elif not quiet:
        _echo([*_format_facts(facts), *_format_policies(recording, names)])


@dataset.command("import")
def import_buffer(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="HDF5 file of d3rlpy's ReplayBuffer.dump.")
    ],
    id: Annotated[  # the name of the option
        str, typer.Option("--id", help="(namespace/)name-v0.")
    ],
    env: Annotated[
        str | None, typer.Option(help="Gymnasium id that the episodes are of, if known.")
    ] = None,
    root: Root = None,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn a replay buffer of d3rlpy into a Minari data set. Runs nothing from the file and needs no d3rlpy.

    Example: torchward dataset import buffer.h5 --id cartpole/old-v0 --env CartPole-v1
    """
    from experience.d3rlpy_buffers import read_d3rlpy_buffer
    from experience.dataset_spaces import infer_spaces
    from experience.datasets import check_free, describe_dataset, write_dataset
    from experience.environments import make_environment

    with _plain_errors():
        check_free(id, root=root, replace=force)
        episodes = read_d3rlpy_buffer(source)
        environment = None if env is None else make_environment(env)
        try:
            observation_space, action_space = infer_spaces(episodes)
            folder = write_dataset(
                id,
                episodes,
                environment=environment,
                observation_space=None if environment is not None else observation_space,
                action_space=None if environment is not None else action_space,
                algorithm="imported from d3rlpy",
                description=f"from {source.name}",
                author="torchward",
                root=root,
                replace=force,
            )
        finally:
            if environment is not None:
                environment.close()
        facts = describe_dataset(folder)
    if as_json:
        _echo([json.dumps(_facts_data(facts))])
    elif not quiet:
        note = (
            "what came after a terminal step is not in d3rlpy's files; its observation is repeated"
        )
        _echo([*_format_facts(facts), f"{'note':<12} {note}"])


@dataset.command("list")
def list_all(root: Root = None, as_json: AsJson = False) -> None:
    """List the data sets in the local folder.

    Example: torchward dataset list
    """
    from experience.datasets import find_root, list_datasets

    found = list_datasets(root)
    if as_json:
        _echo([json.dumps([_facts_data(facts) for facts in found])])
    elif not found:
        _echo([f"no data sets in {find_root(root)}"])
    else:
        width = max(len(facts.id) for facts in found)
        _echo(
            f"{facts.id:{width}}  {facts.episodes:>7,} episodes  {facts.steps:>10,} steps  "
            f"{facts.environment or '-'}"
            for facts in found
        )


@dataset.command()
def show(
    id: Annotated[  # how its users call it
        str, typer.Argument(metavar="ID", help="Id of a data set, or its folder.")
    ],
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Show what a data set holds; all of it is read.

    Example: torchward dataset show cartpole/expert-v0
    """
    from experience.datasets import describe_dataset, load_episodes

    with _plain_errors():
        facts = describe_dataset(id, root=root)
        episodes = load_episodes(id, root=root)
    figures = measure_episodes(episodes)
    if as_json:
        _echo([json.dumps({**_facts_data(facts), **figures})])
        return
    least, largest = figures["least_return"], figures["largest_return"]
    spread = f"{figures['mean_return']:.2f} +- {figures['deviation']:.2f}"
    _echo(
        [
            *_format_facts(facts),
            f"{'returns':<12} {spread} (from {least:.2f} to {largest:.2f})",
            f"{'ends':<12} {figures['terminated']} of {len(episodes)} terminated",
        ]
    )


def choose_shares(names: Sequence[str], mix: Sequence[float]) -> list[float]:
    """Return the share of every policy.

    Args:
        names: of the policies.
        mix: nothing: all alike. As many as policies: as they are. One for two policies: the first one's, the rest
            is the second one's.

    Raises:
        ValueError: Another number of shares.
    """
    if not mix:
        return [1.0 / len(names)] * len(names)
    if len(mix) == len(names):
        return list(mix)
    if len(mix) == 1 and len(names) == 2 and mix[0] <= 1:
        return [mix[0], 1 - mix[0]]
    msg = f"--mix was given {len(mix)} times for {len(names)} policies; needed one for each of them"
    raise ValueError(msg)


def name_dataset(env: str, names: Sequence[str]) -> str:
    """Return an id made of environment and policies: "cartpole-v1/agent-random-v0"."""
    parts = [re.sub(r"[^-\w]+", "-", Path(name).stem.lower()) for name in names]
    place = re.sub(r"[^-\w]+", "-", env.lower()).strip("-")
    return f"{place}/{'-'.join(dict.fromkeys(parts))}-v0"


def measure_episodes(episodes: Sequence[Episode]) -> dict[str, float]:
    """Return figures of the returns and the number of episodes that ended by themselves."""
    import numpy as np

    returns = np.array([episode.total_reward for episode in episodes])
    return {
        "mean_return": float(returns.mean()),
        "deviation": float(returns.std()),
        "least_return": float(returns.min()),
        "largest_return": float(returns.max()),
        "terminated": int(sum(bool(episode.terminations[-1]) for episode in episodes)),
    }


def _describe_policies(names: Sequence[str], shares: Sequence[float], epsilon: float) -> str:
    total = sum(shares)
    parts = [
        f"{Path(name).name} {share / total:.0%}" for name, share in zip(names, shares, strict=True)
    ]
    return ", ".join(parts) + (f"; epsilon {epsilon:g}" if epsilon else "")


def _figures(recording: Recording, names: Sequence[str]) -> list[dict[str, object]]:
    figures: list[dict[str, object]] = []
    for place, name in enumerate(names):
        own = [
            episode
            for episode, policy in zip(recording.episodes, recording.policies, strict=True)
            if policy == place
        ]
        measured = measure_episodes(own) if own else {}
        figures.append({"policy": name, "episodes": len(own), **measured})
    return figures


def _format_policies(recording: Recording, names: Sequence[str]) -> list[str]:
    return [
        f"{'policy':<12} {each['policy']}: {each['episodes']} episodes"
        + (
            f", return {each['mean_return']:.2f} +- {each['deviation']:.2f}"
            if len(each) > 2
            else ""
        )
        for each in _figures(recording, names)
    ]


def _format_facts(facts: DatasetFacts) -> list[str]:
    labels = {
        "data set": facts.id,
        "environment": facts.environment or "not known",
        "spaces": f"observations {facts.observations}, actions {facts.actions}",
        "size": f"{facts.episodes:,} episodes, {facts.steps:,} steps, {facts.bytes:,} bytes",
        "made by": facts.algorithm or "not known",
        "description": facts.description,
        "folder": str(facts.folder),
    }
    return [f"{label:<12} {text}" for label, text in labels.items() if text]


def _facts_data(facts: DatasetFacts) -> dict[str, object]:
    return {**asdict(facts), "folder": str(facts.folder)}


def _echo(lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        # Names and descriptions come from files; they must not move the cursor.
        typer.echo(
            "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        )


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn the errors of data sets and environments into the command's one line."""
    from experience.dataset_files import DatasetExistsError, MissingDatasetError

    try:
        yield
    except DatasetExistsError as error:
        raise OutputError(str(error), hint="--force replaces it") from error
    except (MissingDatasetError, OSError) as error:
        raise UnreadableFileError(str(error)) from error
    except (ValueError, ImportError) as error:
        raise DatasetUsageError(str(error)) from error
