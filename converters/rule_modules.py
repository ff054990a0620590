"""Modules of the user's own that hold layer rules: importing one registers what it holds."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from converters.errors import UsageError
from converters.working_folder import searched_last


def import_rules(modules: Sequence[str]) -> None:
    """Import modules by name, those of the working folder included.

    Raises:
        UsageError: There is no module of a name. What else a module raises is its own, and goes on.
    """
    with searched_last():
        for module in modules:
            _import(module)


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there; one that it imports is not
        msg = f"--rules {module}: no module named '{error.name}' here or on the Python path"
        plain = module.removesuffix(".py")
        hint = f"--rules {plain}" if plain != module else None
        raise UsageError(msg, hint=hint) from error
