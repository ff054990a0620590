"""Minari data sets in a local folder: listed, described, read and written, without a hub.

    episodes = load_episodes("cartpole/expert-v0")
    write_dataset("cartpole/small-v0", episodes[:10], environment="CartPole-v1")

Reading needs h5py only, and also takes the folder of a data set that lies anywhere. Writing goes through Minari, so what is
written is what `minari.load_dataset` expects. The folder of all data sets is MINARI_DATASETS_PATH, as for Minari itself.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experience.dataset_files import (
    MAIN_FILE,
    METADATA_FILE,
    DatasetError,
    DatasetExistsError,
    MissingDatasetError,
    MissingPackageError,
    read_arrays,
    read_metadata,
)
from experience.dataset_spaces import describe_environment, describe_space
from experience.offline_data import Episode, make_episode

if TYPE_CHECKING:
    from gymnasium import Env, Space

ROOT_VARIABLE = "MINARI_DATASETS_PATH"
_ID = re.compile(r"(?:(?!./[^/]*$)(?:[-\w]+/)+)?[-\w]+-v\d+")
"""As Minari's own, which wants at least two characters before the last slash."""
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a data set says of itself; nothing of it is proven before its episodes are read.

    Attributes:
        id: "namespace/name-v0".
        folder: where it lies.
        episodes: their number.
        steps: of all episodes.
        environment: Gymnasium id; None if it is not known.
        observations: the space as text, "Box(4,) float32".
        actions: the space as text.
        algorithm: what acted, as its author put it.
        description: of its author.
        bytes: of the file with the episodes.
    """

    id: str
    folder: Path
    episodes: int
    steps: int
    environment: str | None
    observations: str
    actions: str
    algorithm: str
    description: str
    bytes: int


def find_root(root: PathLike | None = None) -> Path:
    """Return the folder of all data sets: `root`, else MINARI_DATASETS_PATH, else Minari's own under the home folder."""
    if root is not None:
        return Path(root)
    named = os.environ.get(ROOT_VARIABLE)
    return Path(named) if named else Path.home() / ".minari" / "datasets"


def check_dataset_id(dataset_id: str) -> str:
    """Return the id.

    Raises:
        DatasetError: It is not of the form (namespace/)name-v0.
    """
    if not _ID.fullmatch(dataset_id):
        msg = (
            f"data set id '{dataset_id}': needed (namespace/)name-v0, of letters, digits, '-' and '_' "
            "(two at least in the namespace), for example cartpole/expert-v0"
        )
        raise DatasetError(msg)
    return dataset_id


def check_free(dataset_id: str, *, root: PathLike | None = None, replace: bool = False) -> str:
    """Return the id if a data set of it may be written.

    Raises:
        DatasetExistsError: There is one already, and it is not to be replaced.
        DatasetError: The id is malformed.
    """
    place = find_root(root) / check_dataset_id(dataset_id)
    if place.exists() and not replace:
        msg = f"data set '{dataset_id}' exists already in {place}; replace it, or choose another version"
        raise DatasetExistsError(msg)
    return dataset_id


def find_dataset(id_or_folder: PathLike, *, root: PathLike | None = None) -> Path:
    """Return the folder of a data set.

    Args:
        id_or_folder: an id under `root`, or a folder with data/main_data.hdf5 in it.
        root: as for `find_root`.

    Raises:
        MissingDatasetError: Neither is there.
        DatasetError: It is no id.
    """
    given = Path(id_or_folder)
    if (given / MAIN_FILE).is_file():
        return given
    if given.name == "data" and (given.parent / MAIN_FILE).is_file():
        return given.parent
    folder = find_root(root) / check_dataset_id(str(id_or_folder))
    if not (folder / MAIN_FILE).is_file():
        ids = ", ".join(facts.id for facts in list_datasets(root)[:5]) or "none"
        msg = f"no data set '{id_or_folder}': {folder / MAIN_FILE} does not exist; there are: {ids}"
        raise MissingDatasetError(msg)
    return folder


def iterate_episodes(
    id_or_folder: PathLike,
    *,
    root: PathLike | None = None,
    first: int = 0,
    limit: int | None = None,
) -> Iterator[Episode]:
    """Yield episodes in their order, reading one at a time.

    Rewards become float32: Minari stores float64, which both frameworks would otherwise train on differently.

    Args:
        id_or_folder: as for `find_dataset`.
        root: as for `find_root`.
        first: episodes to skip.
        limit: episodes to read; None: all.

    Raises:
        DatasetError: The data set is missing, damaged or of another form.
    """
    folder = find_dataset(id_or_folder, root=root)
    for arrays in read_arrays(folder, first=first, limit=limit):
        yield make_episode(**arrays)


def load_episodes(
    id_or_folder: PathLike, *, root: PathLike | None = None, limit: int | None = None
) -> list[Episode]:
    """Return all episodes of a data set, or its first `limit`; see `iterate_episodes`.

    Raises:
        DatasetError: The data set is missing, damaged, of another form or empty.
    """
    episodes = list(iterate_episodes(id_or_folder, root=root, limit=limit))
    if not episodes:
        msg = f"{find_dataset(id_or_folder, root=root) / MAIN_FILE}: has no episode"
        raise DatasetError(msg)
    return episodes


def describe_dataset(id_or_folder: PathLike, *, root: PathLike | None = None) -> DatasetFacts:
    """Return what the data set's metadata says. Raises DatasetError."""
    folder = find_dataset(id_or_folder, root=root)
    found = read_metadata(folder)
    numbers = {}
    for key in ("total_episodes", "total_steps"):
        value = found.get(key)
        if not isinstance(value, int) or value < 0:
            msg = f"{folder / METADATA_FILE}: {key} is {value!r}; needed a number"
            raise DatasetError(msg)
        numbers[key] = value
    return DatasetFacts(
        id=str(found.get("dataset_id", folder.name)),
        folder=folder,
        episodes=numbers["total_episodes"],
        steps=numbers["total_steps"],
        environment=describe_environment(found.get("env_spec")),
        observations=describe_space(found.get("observation_space")),
        actions=describe_space(found.get("action_space")),
        algorithm=str(found.get("algorithm_name") or ""),
        description=str(found.get("description") or ""),
        bytes=(folder / MAIN_FILE).stat().st_size,
    )


def list_datasets(root: PathLike | None = None) -> list[DatasetFacts]:
    """Return every data set in the folder, by name; damaged ones are left out."""
    found = []
    folder = find_root(root)
    for path in sorted(folder.rglob(MAIN_FILE)):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue  # still being written
        try:
            found.append(describe_dataset(path.parent.parent))
        except DatasetError:
            continue  # `describe_dataset` of the one says what is wrong with it
    return found


def write_dataset(
    dataset_id: str,
    episodes: Sequence[Episode],
    *,
    environment: str | Env[Any, Any] | None = None,
    observation_space: Space[Any] | None = None,
    action_space: Space[Any] | None = None,
    algorithm: str = "unknown",
    description: str = "",
    author: str = "unknown",
    seeds: Sequence[int | None] | None = None,
    root: PathLike | None = None,
    replace: bool = False,
) -> Path:
    """Write a Minari data set and return its folder; it appears as a whole or not at all.

    Observations are stored as they are, images too (Minari would compress those with loss).

    Args:
        dataset_id: (namespace/)name-v0.
        episodes: at least one.
        environment: that they are of, or its Gymnasium id; `recover_environment` then works.
        observation_space: needed without environment.
        action_space: needed without environment.
        algorithm: what acted.
        description: for people.
        author: who made it.
        seeds: of the environment, one for each episode.
        root: as for `find_root`.
        replace: overwrite a data set of this id.

    Raises:
        DatasetError: The id is taken or malformed, there is no episode, or the spaces are not known or do not fit.
        MissingPackageError: minari is not installed.
    """
    final = find_root(root) / check_free(dataset_id, root=root, replace=replace)
    if not episodes:
        msg = f"data set '{dataset_id}': there is no episode to write"
        raise DatasetError(msg)
    minari, buffer_class = _import_minari()
    from gymnasium import error as gymnasium_errors

    from experience.environments import register_environments

    register_environments()
    buffers = [
        buffer_class(
            seed=None if seeds is None else seeds[place],
            observations=episode.observations,
            actions=episode.actions,
            rewards=np.asarray(episode.rewards, np.float64),
            terminations=episode.terminations,
            truncations=episode.truncations,
        )
        for place, episode in enumerate(episodes)
    ]
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=find_root(root).resolve(), prefix=".writing-"
    ) as temporary:
        # Minari knows only the variable; it writes here, and what it has finished gets its name below.
        with _minari_writes_to(temporary), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # e-mail address, link to code and the like were not given
            try:
                minari.create_dataset_from_buffers(
                    dataset_id,
                    buffer=buffers,
                    env=environment,
                    observation_space=observation_space,
                    action_space=action_space,
                    algorithm_name=algorithm,
                    author=author,
                    description=description,
                    data_format="hdf5",
                    jpeg_encoding=False,
                )
            except (ValueError, TypeError, KeyError, gymnasium_errors.Error) as error:
                msg = f"data set '{dataset_id}' was not written: {error}"
                raise DatasetError(msg) from error
        _name_it(Path(temporary), final, dataset_id)
    return final


@contextmanager
def _minari_writes_to(folder: str) -> Iterator[None]:
    before = os.environ.get(ROOT_VARIABLE)
    os.environ[ROOT_VARIABLE] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[ROOT_VARIABLE]
        else:
            os.environ[ROOT_VARIABLE] = before


def _name_it(temporary: Path, final: Path, dataset_id: str) -> None:
    """Move a finished data set to its place, and make its namespaces known as Minari does."""
    root = temporary.parent  # which is absolute: Minari puts relative places together twice
    for parent in (temporary / dataset_id).parents:
        if parent == temporary:
            break
        for note in parent.glob("namespace_metadata.json"):
            target = root / parent.relative_to(temporary) / note.name
            if not target.exists():
                shutil.copyfile(note, target)
    if final.exists():
        shutil.rmtree(final)
    (temporary / dataset_id).rename(final)


def _import_minari() -> tuple[Any, Any]:  # Any: the module and a class of it
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
    except ImportError as error:
        msg = (
            f"writing data sets needs the package {error.name or 'minari'}; install it with: "
            "pip install 'torchward[offline]'"
        )
        raise MissingPackageError(msg) from error
    return minari, EpisodeBuffer
