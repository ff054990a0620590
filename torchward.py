"""TensorFlow agents, torchward: the command, and the names that users import.

    import torchward

    report = torchward.convert("agent.h5", "agent.pth")
    model = torchward.load("agent.pth")

Everything is imported when it is used: `torchward --help` costs no framework, `torchward inspect` no torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
_OWN_PARSERS = {
    "train": (
        ("parity_tests.ur_command", "is_for_ur", "train_ur"),
        ("parity_tests.suite_command", "is_for_suite", "train_suite_agent"),
    )
}
"""Forms of a command that read their arguments themselves: module, the function that knows them, the function that runs."""
_PACKAGES = ("experience", "legacy_tf", "torch_impl", "converters", "parity_tests", "benchmarks")


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
    try:
        _check_packages()
        from converters.commands.program import run

        return run(arguments, COMMANDS, _OWN_PARSERS)
    except KeyboardInterrupt:  # while a command was being imported
        return 130


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
