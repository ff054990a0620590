"""The command line as a whole: one command is imported, run, and ended."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

from converters.commands.endings import (
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    NO_ROOM,
    end_without_room,
    one_line,
    prepare_streams,
    show_error,
    show_usage_error,
)

if TYPE_CHECKING:
    from typer import Typer

_READING = ("inspect", "convert", "verify")
"""Commands that begin with a legacy file before they import anything."""
_ON_FILES = (*_READING, "export")


def run(
    arguments: list[str] | None,
    commands: Mapping[str, str],
    own_parsers: Mapping[str, Sequence[tuple[str, str, str]]],
) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: what was typed behind the program's name; None for this process's own, whose streams are prepared, too.
        commands: command to the module that holds the function (or the group of functions) of its name, in the order of --help.
        own_parsers: command to its forms that read their arguments themselves: the module, the function that knows the
            form, the function that runs it.
    """
    if arguments is None:
        prepare_streams()
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in _ON_FILES and "" in given:  # a variable of a script that is not set
        hint = f"torchward {given[0]} --help"
        show_error("an argument is empty", hint, as_json="--json" in given)
        return EXIT_USAGE
    return _run_command(given, commands, own_parsers)


def _run_command(
    arguments: list[str],
    commands: Mapping[str, str],
    own_parsers: Mapping[str, Sequence[tuple[str, str, str]]],
) -> int:
    wanted = arguments[0] if arguments else ""
    if wanted in _READING:
        _start_ahead(arguments[1:])

    import typer  # not for `import torchward`

    for place, takes, function in own_parsers.get(wanted, ()):
        module = importlib.import_module(place)
        if getattr(module, takes)(arguments[1:]):
            return _run_own(getattr(module, function), arguments[1:])
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=wanted not in commands,
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
    for name in [wanted] if wanted in commands else commands:
        command = getattr(importlib.import_module(commands[name]), name)
        if isinstance(command, typer.Typer):
            debug = "--debug" in arguments
            arguments = [argument for argument in arguments if argument != "--debug"]
            _add_group(app, name, command, debug=debug, as_json="--json" in arguments)
            continue
        if name == wanted and "debug" not in signature(command).parameters:
            # --debug holds for every command: a traceback instead of one line.
            debug = "--debug" in arguments
            arguments = [argument for argument in arguments if argument != "--debug"]
            command = command if debug else one_line(command, as_json="--json" in arguments)
        app.command(name)(command)
    return _call(app, arguments)


def _call(app: Typer, arguments: list[str]) -> int:
    """Run typer's command and return the exit code; wrong usage becomes one line."""
    import typer

    usage_error: type[Exception] = typer.BadParameter.__mro__[1]  # public in no version of typer
    try:
        status = app(arguments, prog_name="torchward", standalone_mode=False)
    except usage_error as error:
        named = arguments[:1] if arguments and not arguments[0].startswith("-") else []
        command = " ".join(["torchward", *named])
        return show_usage_error(error, command=command, as_json="--json" in arguments)
    except OSError as error:  # of --help, which no command of ours prints
        if error.errno not in NO_ROOM:
            raise
        return end_without_room(error, as_json="--json" in arguments)
    except typer.Abort:  # standard input ended where an answer was needed
        return EXIT_INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return status if isinstance(status, int) else 0


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
            callback = each.callback if debug else one_line(each.callback, as_json=as_json)
            own.command(each.name)(callback)
    app.add_typer(own, name=name)


def _run_own(command: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run the command that has a parser of its own, and return its exit code."""
    debug = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    try:
        (command if debug else one_line(command, as_json=False))(rest)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def _start_ahead(arguments: list[str]) -> None:
    """Let start what the command will wait for, before its imports take their time."""
    from converters.readers.hdf5.processes import start_ahead  # light, but only for these commands

    for argument in arguments:
        start_ahead(Path(argument))
