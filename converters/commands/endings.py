"""How every command ends: in one line on standard error and the exit code of its kind, whatever happened.

Needs nothing but the standard library before a command runs.
"""

from __future__ import annotations

import errno
import io
import json
import os
import select
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What the operating system says of a full disk, and of a user who may use no more of it."""
EXTRAS = {
    **dict.fromkeys(("h5py", "numpy", "safetensors", "torch"), ""),
    **dict.fromkeys(("keras", "tensorflow"), "legacy"),
    **dict.fromkeys(("gymnasium", "tensorboard"), "rl"),
    **dict.fromkeys(("jinja2", "matplotlib"), "report"),
    **dict.fromkeys(("onnx", "onnxscript"), "onnx"),
    **dict.fromkeys(("PIL", "minari"), "offline"),
    "ale_py": "atari",
    "mujoco": "mujoco",
    "numba": "ur",
    "optuna": "search",
    "stable_baselines3": "sb3",
}
"""Packages that a command may find missing, and the extra of ours that brings them; "": we cannot do without."""
EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_OUTPUT = 6
EXIT_INTERRUPTED = 130


def prepare_streams() -> None:
    """Let closed streams take and give nothing, and open ones show what their encoding has no letter for by its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if (
            stream is None
        ):  # in this order each gets its own descriptor, so that no output file does
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # for as long as we run
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def one_line(command: Callable[..., None], *, as_json: bool) -> Callable[..., None]:
    """Return the command with its errors as one line on standard error and the exit code of their kind."""
    from typer import Abort, BadParameter, Exit

    from converters.errors import ConversionError  # light, but only for a command

    @wraps(command)
    def run(*positions: object, **options: object) -> None:
        try:
            command(*positions, **options)
            sys.stdout.flush()  # a reader that went away, or a full disk, is found out here at the latest
        except ConversionError as error:
            show_error(str(error), error.hint, as_json=as_json)
            raise SystemExit(error.exit_code) from error
        except KeyboardInterrupt:
            raise SystemExit(EXIT_INTERRUPTED) from None
        except (BadParameter, Exit, Abort):  # typer's own way to end a command
            raise
        except SystemExit as ended:
            if not isinstance(ended.__context__, BrokenPipeError):  # rich ends the program at that
                raise
        except Exception as error:
            if _reader_is_gone():
                return
            raise SystemExit(_end_otherwise(error, as_json=as_json)) from error

    return run


def _end_otherwise(error: Exception, *, as_json: bool) -> int:
    """Say what is no ConversionError, and return the exit code."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return end_without_room(error, as_json=as_json)
    if isinstance(error, ImportError) and (found := _missing_package(error)):
        show_error(*found, as_json=as_json)
        return EXIT_USAGE
    show_error(_describe(error), "--debug shows the whole traceback", as_json=as_json)
    return EXIT_FAULT


def _missing_package(error: ImportError) -> tuple[str, str | None] | None:
    """Return what to say, and what to type, if a package of ours is not installed; else None.

    An ImportError that is no ModuleNotFoundError is raised by us, for what one option needs, and says what to type.
    """
    if not isinstance(error, ModuleNotFoundError):
        return (str(error), None) if error.name is None else None
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    extra = f"[{EXTRAS[package]}]" if EXTRAS[package] else ""
    return f"this needs the package {package}, which is not installed", (
        f"pip install 'torchward{extra}'"
    )


def show_usage_error(error: Exception, *, command: str, as_json: bool) -> int:
    """Show what typer found wrong with the arguments like every other error, and return the exit code.

    Args:
        error: typer's (click's, in older versions) `UsageError`.
        command: that was typed, for errors that do not know it: those of options without their value.
        as_json: as one JSON object.
    """
    context = getattr(error, "ctx", None)
    if context is not None and type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(context.get_help() + "\n")
        return EXIT_USAGE
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    command = command if context is None else context.command_path
    text = message.removeprefix("Invalid value: ").rstrip(".")
    show_error(text, f"{command} --help", as_json=as_json)
    return EXIT_USAGE


def end_without_room(error: OSError, *, as_json: bool) -> int:
    """Say that nothing more can be written, and return the exit code."""
    what = error.filename or "standard output"
    show_error(f"{what}: cannot be written: {error.strerror}", None, as_json=as_json)
    _drop_output()
    return EXIT_OUTPUT


def _reader_is_gone() -> bool:
    """Return whether nobody reads standard output any more (`torchward ... | head -1`), which is no error."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # a stream of a caller in Python
        return False
    watched = select.poll()
    watched.register(descriptor, 0)  # no event but errors
    if not watched.poll(0):
        return False
    _drop_output()
    return True


def _drop_output() -> None:
    """Let what standard output still holds go nowhere: writing it at the interpreter's end would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _describe(error: Exception) -> str:
    """Return an error that nobody foresaw in one line, with the line of code that raised it."""
    *_, place = traceback.extract_tb(error.__traceback__)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} ({Path(place.filename).name}, line {place.lineno})"


def show_error(message: str, hint: str | None, *, as_json: bool) -> None:
    """Write an error and what to do about it, as lines or as one JSON object, to standard error."""
    if as_json:
        sys.stderr.write(json.dumps({"error": message, "hint": hint}) + "\n")
        return
    sys.stderr.write(f"error: {_printable(message)}\n")
    if hint:
        sys.stderr.write(f"hint: {_printable(hint)}\n")


def _printable(text: str) -> str:
    """Return text without control characters: names from files must not move the cursor."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )
