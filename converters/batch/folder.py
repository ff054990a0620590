"""Convert a folder: every legacy file in it, in processes of their own, with a manifest that the next run goes on from.

One file that crashes its process, hangs or is refused is one line of the result; the others are converted. The manifest
lists files in the order of their names, whatever order they were done in.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from converters.batch.worker import (
    Outcome,
    Task,
    convert_one,
    digest_of_content,
    limit_process,
)
from converters.errors import ConversionError, OutputError, UnreadableFileError
from converters.json_text import parse_json
from converters.limits import Limits
from converters.readers.files.archive import Archive
from converters.readers.files.source import Source
from converters.writers.registry import Writer

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
SUFFIXES = (".h5", ".hdf5", ".keras")
"""Taken for legacy files whatever is in them: a truncated one is reported, not passed over."""
AGENT_SUFFIX = ".zip"
SHARDS_SUFFIX = ".weights.json"
SHARD = re.compile(r"(?P<stem>.+)_\d{5}\.weights\.h5")
"""Weights of Keras in several files: the one that lists them stands for all of them."""
TENSORFLOW_INDEX = ".index"
SAVED_MODEL = "saved_model.pb"
SAVE_EVERY = 50
"""Files between two writings of the manifest: what an interruption may cost."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a folder.

    Attributes:
        outcomes: one for each file, by name.
        skipped: names of files that an earlier run converted.
        manifest: file name of the manifest.
    """

    outcomes: Mapping[str, Outcome]
    skipped: frozenset[str]
    manifest: Path

    @property
    def failed(self) -> list[tuple[str, Outcome]]:
        """Return the files that were not converted, by name."""
        return [(name, outcome) for name, outcome in self.outcomes.items() if outcome.error]


def convert_folder(
    source: Path,
    destination: Path,
    *,
    options: Mapping[str, object],
    writer: Writer,
    jobs: int | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Batch:
    """Convert every legacy file below a folder and return what became of each.

    Files that the manifest in `destination` lists as converted are passed over if neither they nor their output nor
    the options have changed since.

    Args:
        source: the folder.
        destination: the folder for outputs, with the same folders below; made if it is missing.
        options: further keyword arguments of `convert`, plain data.
        writer: of the output format.
        jobs: processes at a time; None: one for each core.
        force: convert all anew and replace what is there.
        progress: called with the number of files done, and of all.

    Raises:
        UnreadableFileError: There is nothing to convert.
        OutputError: `destination` cannot be written.
    """
    names = find_legacy_files(source, leave_out=destination)
    if not names:
        msg = f"{source}: no legacy file in this folder or below"
        raise UnreadableFileError(
            msg,
            hint=f"looked for {', '.join(SUFFIXES)}, checkpoints, SavedModels and agents of stable-baselines 2",
        )
    try:
        destination.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{destination}: cannot be made: {error.strerror}"
        raise OutputError(msg) from error
    manifest = destination / MANIFEST
    told = json.loads(json.dumps({**options, "format": writer.format}))
    before = {} if force else _read_manifest(manifest, told)
    outputs = name_outputs(names, writer.suffix)
    done = {
        name: before[name]
        for name in names
        if name in before and _is_unchanged(source / name, destination, before[name])
    }
    tasks = [
        Task(
            name,
            source / name,
            destination / outputs[name],
            options,
            force or (name in before and bool(before[name].output)),
        )
        for name in names
        if name not in done
    ]
    outcomes = dict(done)

    def save() -> None:
        _write_manifest(
            manifest, told, {name: outcomes[name] for name in names if name in outcomes}
        )

    try:
        for count, (task, outcome) in enumerate(_run(tasks, jobs or available_cores()), start=1):
            outcomes[task.name] = outcome
            if progress is not None:
                progress(len(done) + count, len(names))
            if count % SAVE_EVERY == 0:
                save()
    finally:
        save()
    ordered = {name: outcomes[name] for name in names}
    return Batch(ordered, frozenset(done), manifest)


def find_legacy_files(folder: Path, *, leave_out: Path) -> list[str]:
    """Return the legacy files below a folder by their names in it, sorted; `leave_out` holds outputs."""
    found: list[str] = []
    for here, folders, files in os.walk(folder):
        place = Path(here)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (place / name).resolve() != leave_out.resolve()
        )
        if SAVED_MODEL in files:
            found.append(place.relative_to(folder).as_posix())
            folders.clear()
            continue
        for name in files:
            path = place / name
            if name.endswith(TENSORFLOW_INDEX):
                found.append(path.with_suffix("").relative_to(folder).as_posix())
            elif (shard := SHARD.fullmatch(name)) and f"{shard['stem']}{SHARDS_SUFFIX}" in files:
                continue
            elif name.endswith((*SUFFIXES, SHARDS_SUFFIX)) or (
                not name.startswith(".") and (_is_hdf5(path) or _is_agent(path))
            ):
                found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def _is_hdf5(path: Path) -> bool:
    if not path.is_file():  # opening a pipe would wait for whoever writes into it
        return False
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC
    return False


def _is_agent(path: Path) -> bool:
    """Return whether a file is an agent of stable-baselines 2. Other archives are data or somebody's results."""
    if path.suffix != AGENT_SUFFIX or not path.is_file():
        return False
    with suppress(ConversionError):
        return {"data", "parameters"} <= set(Archive(Source(path)).names)
    return False


def name_outputs(names: Iterable[str], suffix: str) -> dict[str, str]:
    """Return the output of every file: its name with another suffix, or with a further one where two would meet."""
    names = list(names)
    short = {name: str(Path(name).with_suffix(suffix)) for name in names}
    uses = Counter(short.values())
    return {name: short[name] if uses[short[name]] == 1 else f"{name}{suffix}" for name in names}


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Outcome]]:
    """Yield every task with its outcome, as they end. A process that dies takes no other task along."""
    unfinished = list(tasks)
    try:
        for task, outcome in _run_together(tasks, jobs):
            unfinished.remove(task)
            yield task, outcome
    except BrokenProcessPool:
        # Whose process it was is not known: each of the rest has one of its own now.
        for task in unfinished:
            try:
                yield from _run_together([task], 1)
            except BrokenProcessPool:
                yield (
                    task,
                    Outcome(
                        error="the process that converted it died",
                        hint="convert it alone to see why",
                    ),
                )


def _run_together(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Outcome]]:
    if not tasks:
        return
    context = multiprocessing.get_context("spawn")  # nothing of this process is shared
    with ProcessPoolExecutor(
        min(jobs, len(tasks)), mp_context=context, initializer=limit_process
    ) as pool:
        running: dict[Future[Outcome], Task] = {
            pool.submit(convert_one, task): task for task in tasks
        }
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_unchanged(source: Path, destination: Path, before: Outcome) -> bool:
    """Return whether a file was converted before, and neither it nor its output has changed."""
    if before.error or not before.output:
        return False
    output = destination / before.output
    try:
        same_output = output.is_file() and output.stat().st_size == before.output_size
        return same_output and digest_of_content(source) == (before.content_sha256 or before.sha256)
    except OSError:
        return False


def _read_manifest(path: Path, options: Mapping[str, object]) -> dict[str, Outcome]:
    """Return the outcomes of an earlier run with the same options; nothing if there is none or it is damaged."""
    try:
        data = parse_json(path.read_text(encoding="utf-8"), what=MANIFEST, limits=Limits())
    except (OSError, UnicodeDecodeError, ConversionError):
        return {}
    if not isinstance(data, Mapping) or data.get("options") != options:
        return {}
    files = data.get("files")
    known = {key: type(value) for key, value in asdict(Outcome()).items()}
    return {
        str(name): replace(
            Outcome(),
            **{key: value for key, value in entry.items() if type(value) is known.get(key)},
        )
        for name, entry in (files.items() if isinstance(files, Mapping) else ())
        if isinstance(entry, Mapping)
    }


def _write_manifest(
    path: Path, options: Mapping[str, object], outcomes: Mapping[str, Outcome]
) -> None:
    """Replace the manifest in one step: an interruption leaves the old or the new one."""
    data = {
        "manifest_version": MANIFEST_VERSION,
        "options": options,
        "files": {
            name: {key: value for key, value in asdict(outcome).items() if value}
            for name, outcome in outcomes.items()
        },
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror}"
        raise OutputError(msg) from error
    finally:
        temporary.unlink(missing_ok=True)
