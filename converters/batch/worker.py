"""What a process of a folder's conversion does: one file at a time, with bounds on memory and time."""

from __future__ import annotations

import glob
import hashlib
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from converters.convert import convert
from converters.errors import ConversionError
from converters.limits import MAX_ARRAY_BYTES, Limits

FILE_TIMEOUT_S = 600
"""Per file. The largest files take about a minute on a slow disk."""
ADDRESS_SPACE_BYTES = 64 * 1024**3
"""Files are mapped, so that their size counts; more than this is a mistake or an attack."""


@dataclass(frozen=True, slots=True)
class Task:
    """One file to convert.

    Attributes:
        name: in the folder that is converted.
        output: path of the result.
        options: further keyword arguments of `convert`.
        replace: whether an output that is there may be replaced.
    """

    name: str
    source: Path
    output: Path
    options: Mapping[str, object]
    replace: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: the output with checksums, or the error.

    Attributes:
        sha256: of the source, as its report has it.
        content_sha256: of all files of a checkpoint that is more than one, of which a conversion need not read all.
        output: path of the result in the folder of results.
    """

    sha256: str = ""
    content_sha256: str = ""
    output: str = ""
    output_sha256: str = ""
    output_size: int = 0
    error: str = ""
    hint: str = ""


class FileTimeoutError(Exception):
    """A file took longer than `FILE_TIMEOUT_S`."""


def limit_process() -> None:
    """Set the bounds of this process; an interruption is for the parent to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard == resource.RLIM_INFINITY or hard > ADDRESS_SPACE_BYTES:
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def convert_one(task: Task) -> Outcome:
    """Return what becomes of a file. Whatever is wrong with it is an outcome, never an exception."""
    options: dict[str, Any] = dict(task.options)  # arguments of `convert` by name
    options["limits"] = Limits(max_array_bytes=int(options.pop("max_size", MAX_ARRAY_BYTES)))
    try:
        task.output.parent.mkdir(parents=True, exist_ok=True)
        # Before it is read: what changes meanwhile is converted once more by the next run.
        content = "" if task.source.is_file() else digest_of_content(task.source)
        with _alarm():
            report = convert(task.source, task.output, force=task.replace, **options)
    except ConversionError as error:
        return Outcome(error=_without_folder(str(error), task), hint=error.hint or "")
    except FileTimeoutError:
        return Outcome(error=f"not done after {FILE_TIMEOUT_S} s", hint="convert it alone")
    except MemoryError:
        return Outcome(
            error="needs more memory than there is", hint="convert it alone, or with --jobs 1"
        )
    except Exception as error:  # a fault of ours in one file must not cost the others
        return Outcome(
            error=f"{type(error).__name__}: {error}",
            hint="convert it alone with --debug and report it",
        )
    return Outcome(
        sha256=str(report.input["sha256"]),
        content_sha256=content,
        output=os.path.relpath(task.output, _root(task)),
        output_sha256=report.output_sha256,
        output_size=report.output_size,
    )


def digest_of_content(source: Path) -> str:
    """Return the hexadecimal SHA-256 of a file; of a checkpoint, that of the lines `sha256sum` prints for its files.

    Args:
        source: a file, the folder of a SavedModel, or the prefix of the files of a checkpoint. Links are passed over.
    """
    if source.is_file():
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    folder = source if source.is_dir() else source.parent
    found = source.rglob("*") if source.is_dir() else folder.glob(f"{glob.escape(source.name)}.*")
    files = sorted(path for path in found if path.is_file() and not path.is_symlink())
    lines = [f"{digest_of_content(path)}  {path.relative_to(folder)}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _root(task: Task) -> Path:
    """Return the folder of results: the output's, as far up as the source's name has folders."""
    return task.output.parents[len(Path(task.name).parts) - 1]


def _without_folder(message: str, task: Task) -> str:
    """Return the message without the file's own name in front, which the line starts with."""
    for start in (f"{task.source}: ", f"{task.source.name}: "):
        message = message.removeprefix(start)
    return message


@contextmanager
def _alarm() -> Iterator[None]:
    """Raise FileTimeoutError after `FILE_TIMEOUT_S`, where the system has such an alarm."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise FileTimeoutError

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, FILE_TIMEOUT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
