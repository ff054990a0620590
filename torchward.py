"""TensorFlow agents, torchward: the command, and the names that users import.

    import torchward

    report = torchward.convert("agent.h5", "agent.pth")
    model = torchward.load("agent.pth")

Everything is imported when it is used: `torchward --help` costs no framework, `torchward inspect` no torch.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import io
import json
import os
import select
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer import Typer

    from converters.convert import convert
    from converters.inspection import inspect
    from converters.legacy_files.export import export
    from converters.live.load import load
    from converters.live.load_losses import load_loss, load_metrics
    from converters.live.save import save
    from converters.verify import verify

__all__ = [
    "convert",
    "export",
    "inspect",
    "load",
    "load_loss",
    "load_metrics",
    "main",
    "save",
    "verify",
]

_API = {
    "convert": "converters.convert",
    "export": "converters.legacy_files.export",
    "inspect": "converters.inspection",
    "load": "converters.live.load",
    "load_loss": "converters.live.load_losses",
    "load_metrics": "converters.live.load_losses",
    "save": "converters.live.save",
    "verify": "converters.verify",
}
COMMANDS = {
    "inspect": "converters.commands.cli",
    "convert": "converters.commands.cli",
    "verify": "converters.commands.cli",
    "export": "converters.legacy_files.command",
    "support": "converters.commands.cli",
    "lint": "converters.commands.lint",
    "parity": "parity_tests.cli",
    "train": "parity_tests.train_command",
    "play": "parity_tests.play_command",
    "dataset": "parity_tests.dataset_command",
    "bench": "benchmarks.cli",
    "doctor": "benchmarks.doctor",
}
"""Command to the module that holds the function (or the group of functions) of its name, in the order of --help."""
_READING = ("inspect", "convert", "verify")
"""Commands that begin with a legacy file before they import anything."""
_ON_FILES = (*_READING, "export")
_PACKAGES = ("experience", "legacy_tf", "torch_impl", "converters", "parity_tests", "benchmarks")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_EXIT_FAULT = 1
_EXIT_USAGE = 2
_EXIT_OUTPUT = 6
_EXIT_INTERRUPTED = 130


def __getattr__(name: str) -> object:
    if name not in _API:
        msg = f"module 'torchward' has no attribute '{name}'"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_API[name]), name)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done, 2 wrong usage, 3 input unreadable, 4 not supported, 5 verification failed, 6 output problem, 130 interrupted;
    1 for a fault of this program, or of code that was named on the command line.
    """
    if arguments is None:
        _prepare_streams()
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in _ON_FILES and "" in given:  # a variable of a script that is not set
        hint = f"torchward {given[0]} --help"
        _show_error("an argument is empty", hint, as_json="--json" in given)
        return _EXIT_USAGE
    try:
        return _run_command(given)
    except KeyboardInterrupt:  # while a command was being imported
        return _EXIT_INTERRUPTED


def _prepare_streams() -> None:
    """Let closed streams take and give nothing, and open ones show what their encoding has no letter for by its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if (
            stream is None
        ):  # in this order each gets its own descriptor, so that no output file does
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # for as long as we run
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run_command(arguments: list[str]) -> int:
    _check_packages()
    wanted = arguments[0] if arguments else ""
    if wanted in _READING:
        _start_ahead(arguments[1:])

    import typer  # not for `import torchward`

    if wanted == "train":
        ur = importlib.import_module("parity_tests.ur_command")
        if ur.is_for_ur(arguments[1:]):
            return _run_suite(ur.train_ur, arguments[1:])
        suite = importlib.import_module("parity_tests.suite_command")
        if suite.is_for_suite(arguments[1:]):
            return _run_suite(suite.train_suite_agent, arguments[1:])
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=wanted not in COMMANDS,
        rich_markup_mode=None,
        help="TensorFlow agents, torchward: convert legacy checkpoints to PyTorch and prove it.",
        epilog="torchward COMMAND --help shows examples. --debug: tracebacks in place of one line.",
    )

    def options(
        version: bool = typer.Option(  # typer reads the option off the signature
            False,
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ) -> None:
        """Keep the command's name even when only one is imported."""

    app.callback()(options)
    for name in [wanted] if wanted in COMMANDS else COMMANDS:
        command = getattr(importlib.import_module(COMMANDS[name]), name)
        if isinstance(command, typer.Typer):
            debug = "--debug" in arguments
            arguments = [argument for argument in arguments if argument != "--debug"]
            _add_group(app, name, command, debug=debug, as_json="--json" in arguments)
            continue
        if name == wanted and "debug" not in signature(command).parameters:
            # --debug holds for every command: a traceback instead of one line.
            debug = "--debug" in arguments
            arguments = [argument for argument in arguments if argument != "--debug"]
            command = command if debug else _one_line(command, as_json="--json" in arguments)
        app.command(name)(command)
    return _call(app, arguments)


def _call(app: Typer, arguments: list[str]) -> int:
    """Run typer's command and return the exit code; wrong usage becomes one line."""
    import typer

    usage_error: type[Exception] = typer.BadParameter.__mro__[1]  # public in no version of typer
    try:
        status = app(arguments, prog_name="torchward", standalone_mode=False)
    except usage_error as error:
        return _show_usage_error(error, as_json="--json" in arguments)
    except OSError as error:  # of --help, which no command of ours prints
        if error.errno not in _NO_ROOM:
            raise
        return _end_without_room(error, as_json="--json" in arguments)
    except typer.Abort:  # standard input ended where an answer was needed
        return _EXIT_INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return status if isinstance(status, int) else 0


def _show_usage_error(error: Exception, *, as_json: bool) -> int:
    """Show what typer found wrong with the arguments like every other error, and return the exit code.

    Args:
        error: typer's (click's, in older versions) `UsageError`.
        as_json: as one JSON object.
    """
    context = getattr(error, "ctx", None)
    if context is not None and type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(context.get_help() + "\n")
        return _EXIT_USAGE
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    command = "torchward" if context is None else context.command_path
    text = message.removeprefix("Invalid value: ").rstrip(".")
    _show_error(text, f"{command} --help", as_json=as_json)
    return _EXIT_USAGE


def _show_version(wanted: bool) -> None:
    """Print the version and end, where typer found --version."""
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"torchward {version('torchward')}\n")
        raise SystemExit(0)


def _add_group(app: Typer, name: str, group: Typer, *, debug: bool, as_json: bool) -> None:
    """Add commands of two words; the group itself stays as it is."""
    from typer import Typer

    own = Typer(no_args_is_help=True, rich_markup_mode=None, help=group.info.help)
    for each in group.registered_commands:
        if each.callback is not None:
            callback = each.callback if debug else _one_line(each.callback, as_json=as_json)
            own.command(each.name)(callback)
    app.add_typer(own, name=name)


def _run_suite(command: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run the command that has a parser of its own, and return its exit code."""
    debug = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    try:
        (command if debug else _one_line(command, as_json=False))(rest)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def _one_line(command: Callable[..., None], *, as_json: bool) -> Callable[..., None]:
    """Return the command with its errors as one line on standard error and the exit code of their kind."""
    from typer import Abort, BadParameter, Exit

    from converters.errors import ConversionError  # light, but only for a command

    @wraps(command)
    def run(*positions: object, **options: object) -> None:
        try:
            command(*positions, **options)
            sys.stdout.flush()  # a reader that went away, or a full disk, is found out here at the latest
        except ConversionError as error:
            _show_error(str(error), error.hint, as_json=as_json)
            raise SystemExit(error.exit_code) from error
        except KeyboardInterrupt:
            raise SystemExit(_EXIT_INTERRUPTED) from None
        except (BadParameter, Exit, Abort):  # typer's own way to end a command
            raise
        except SystemExit as ended:
            if not isinstance(ended.__context__, BrokenPipeError):  # rich ends the program at that
                raise
        except Exception as error:
            if _reader_is_gone():
                return
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise SystemExit(_end_without_room(error, as_json=as_json)) from error
            _show_error(_describe(error), "--debug shows the whole traceback", as_json=as_json)
            raise SystemExit(_EXIT_FAULT) from error

    return run


def _end_without_room(error: OSError, *, as_json: bool) -> int:
    """Say that nothing more can be written, and return the exit code."""
    what = error.filename or "standard output"
    _show_error(f"{what}: cannot be written: {error.strerror}", None, as_json=as_json)
    _drop_output()
    return _EXIT_OUTPUT


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


def _show_error(message: str, hint: str | None, *, as_json: bool) -> None:
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


def _start_ahead(arguments: list[str]) -> None:
    """Let start what the command will wait for, before its imports take their time."""
    from converters.readers.hdf5.processes import start_ahead  # light, but only for these commands

    for argument in arguments:
        start_ahead(Path(argument))


def _check_packages() -> None:
    """Refuse to run with another package of one of our names, found first in the working folder."""
    here = Path(__file__).resolve().parent
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found != here / name:
            sys.stderr.write(
                f"error: package '{name}' is taken from {found}, not from beside torchward.py\n"
                "hint: run the 'torchward' command, or start Python from another folder\n"
            )
            raise SystemExit(_EXIT_USAGE)


if __name__ == "__main__":
    sys.exit(main())
