"""TensorFlow agents, torchward: the command, and the names that users import.

    import torchward

    report = torchward.convert("agent.h5", "agent.pth")
    model = torchward.load("agent.pth")

Everything is imported when it is used: `torchward --help` costs no framework, `torchward inspect` no torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.convert import convert
    from converters.inspection import inspect
    from converters.load import load
    from converters.verify import verify

__all__ = ["convert", "inspect", "load", "main", "verify"]

_API = {
    "convert": "converters.convert",
    "inspect": "converters.inspection",
    "load": "converters.load",
    "verify": "converters.verify",
}
COMMANDS = {
    "inspect": "converters.cli",
    "convert": "converters.cli",
    "verify": "converters.cli",
    "support": "converters.cli",
    "parity": "parity_tests.cli",
    "train": "parity_tests.train_command",
    "bench": "benchmarks.cli",
    "doctor": "benchmarks.doctor",
}
"""Command to the module that holds the function of its name, in the order of --help."""
_PACKAGES = ("experience", "legacy_tf", "torch_impl", "converters", "parity_tests", "benchmarks")
_EXIT_INTERRUPTED = 130


def __getattr__(name: str) -> object:
    if name not in _API:
        msg = f"module 'torchward' has no attribute '{name}'"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_API[name]), name)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code (RELIABILITY: 0, 2, 3, 4, 5, 6, 130)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _check_packages()
    from converters.errors import ConversionError  # light, but only for the command

    debug = "--debug" in arguments
    try:
        return _run([argument for argument in arguments if argument != "--debug"])
    except ConversionError as error:
        if debug:
            raise
        _show_error(str(error), error.hint, as_json="--json" in arguments)
        return error.exit_code
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away: torchward ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: list[str]) -> int:
    import typer  # not for `import torchward`

    wanted = arguments[0] if arguments else ""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=wanted not in COMMANDS,
        rich_markup_mode=None,
        help="TensorFlow agents, torchward: convert legacy checkpoints to PyTorch and prove it.",
        epilog="torchward COMMAND --help shows examples.",
    )
    app.callback()(lambda: None)  # keeps the command's name even when only one is imported
    for name in [wanted] if wanted in COMMANDS else COMMANDS:
        app.command(name)(getattr(importlib.import_module(COMMANDS[name]), name))
    result = app(arguments, prog_name="torchward", standalone_mode=False)
    return result if isinstance(result, int) else 0


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
            raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main())
