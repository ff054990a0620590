"""The user's module: imported because the user names it, made with the settings given beside it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from torch import nn

from converters.errors import MismatchError, UsageError
from converters.registry import nearest
from converters.working_folder import searched_last

FILE_MARK = "@"
"""Parts the name of a file from what makes it unlike the names of other modules."""
_HINT = "give it as my_package.my_module:Net or my_file.py:Net, arguments with --set name=value"


def make_user_module(spec: str, settings: Mapping[str, object]) -> nn.Module:
    """Return the module that `spec` names.

    Args:
        spec: "my_package.my_module:Net" or "my_file.py:Net"; a class, a function that returns a module, or a module.
        settings: keyword arguments for the class or function.

    Raises:
        UsageError: There is no such module, or it cannot be made.
    """
    found = find_named(spec)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        msg = f"'{spec}' is a {type(found).__name__}, needed is a torch module or what makes one"
        raise UsageError(msg, hint=_HINT)
    try:
        made = found(**settings)
    except TypeError as error:
        msg = f"'{spec}' cannot be made with the arguments {dict(settings)}: {error}"
        raise UsageError(msg, hint="give its arguments: --set name=value") from error
    if not isinstance(made, nn.Module):
        msg = f"'{spec}' gives a {type(made).__name__}, needed is a torch module"
        raise UsageError(msg, hint=_HINT)
    lazy = [
        name
        for name, value in made.named_parameters()
        if isinstance(value, nn.UninitializedParameter)
    ]
    if lazy:
        msg = f"'{spec}': the shapes of {', '.join(lazy[:3])} are not known before its first call"
        raise MismatchError(msg, hint="name the sizes in the module instead of using Lazy layers")
    return made


def find_named(spec: str) -> object:
    """Return what "my_package.my_module:Net" or "my_file.py:Net" names.

    Raises:
        UsageError: There is no such thing.
    """
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name:
        msg = f"'{spec}' does not name a class in a module"
        raise UsageError(msg, hint=_HINT)
    try:
        found: object = _import(place)
    except (ImportError, OSError) as error:
        msg = f"'{spec}' is not found: {error}"
        raise UsageError(msg, hint=_HINT) from error
    for part in name.split("."):
        if not hasattr(found, part):
            msg = f"'{spec}' is not found: there is no '{part}' in it{nearest(part, dir(found))}"
            raise UsageError(msg, hint=_HINT)
        found = getattr(found, part)
    return found


def _import(place: str) -> ModuleType:
    """Return a module by dotted name, the working folder included, or by the path of its file.

    A file may be named like an installed module, or like another file: it is known by its whole path from then on.
    """
    if place.endswith(".py"):
        path = Path(place)
        name = f"{path.stem}{FILE_MARK}{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or not path.is_file():
            msg = f"{path}: no such file"
            raise ImportError(msg)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = (
            module  # dataclasses with annotations as text look their module up while they are made
        )
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    with searched_last():
        return importlib.import_module(place)
