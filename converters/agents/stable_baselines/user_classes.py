"""A user's own policy class, as far as it only gives settings to a class of the library.

The library's documentation makes policies so: a subclass whose constructor calls that of `FeedForwardPolicy` with
`net_arch`, `act_fun`, `cnn_extractor`. The stored instructions of the constructor are followed, never run; a class that
does more gives no answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.agents.stable_baselines.bytecode import Code, Follower, Name, Unknown, code_of
from converters.readers.pickles import PickledObject, Reference

_LIBRARY = "stable_baselines."
_BASES = ("FeedForwardPolicy", "LstmPolicy")
_NAMED = ("act_fun", "cnn_extractor")
"""Settings that are functions."""
_REHYDRATING = "_rehydrate_skeleton_class"
"""Of cloudpickle before 1.5: (skeleton of the class, its attributes)."""


@dataclass(frozen=True, slots=True)
class OwnClass:
    """A class of the user's own that is one of the library's with other settings.

    Attributes:
        name: of the class.
        base: name of the library's class.
        settings: named arguments that its constructor gives; functions by `Reference`, or as the file stores them.
    """

    name: str
    base: str
    settings: Mapping[str, object]


def read_class(policy: object) -> OwnClass | None:
    """Return what a stored class gives to the library's; None: it is no such class, or does more."""
    skeleton, attributes = _parts(policy)
    if skeleton is None:
        return None
    name = next((part for part in skeleton.arguments if isinstance(part, str)), "")
    bases = next((part for part in skeleton.arguments if isinstance(part, tuple)), ())
    base = bases[0] if len(bases) == 1 else None
    if not isinstance(base, Reference) or not _is_of_library(base):
        return None
    constructor = attributes.get("__init__")
    if constructor is None:
        return OwnClass(name, base.name, {})
    settings = _given(constructor)
    return None if settings is None else OwnClass(name, base.name, settings)


def _parts(policy: object) -> tuple[PickledObject | None, Mapping[object, object]]:
    """Return the call that would make the class, and its attributes."""
    if not isinstance(policy, PickledObject):
        return None, {}
    state = policy.state
    if policy.path.endswith(_REHYDRATING) and len(policy.arguments) == 2:
        first, state = policy.arguments
        if not isinstance(first, PickledObject):
            return None, {}
        policy = first
    if isinstance(state, tuple) and state:  # attributes, and those of slots
        state = state[0]
    return policy, state if isinstance(state, Mapping) else {}


def _is_of_library(base: Reference) -> bool:
    return base.module.startswith(_LIBRARY) and (
        base.name in _BASES or base.name.startswith(("Mlp", "Cnn", "LnMlp", "LnCnn"))
    )


def _given(constructor: object) -> dict[str, object] | None:
    """Return the named arguments of the first call of another constructor."""
    code = code_of(constructor)
    if code is None:
        return None
    follower = _ConstructorFollower(code, Name("self"))
    # What comes behind the call of the parent's constructor changes none of its arguments.
    with contextlib.suppress(Unknown, IndexError, KeyError, TypeError, ValueError):
        follower.run()
    if (
        follower.given is None
    ):  # what is stated in code that is not followed stays a function of the user's own
        return {name: constructor for name in _NAMED if _mentions(code, name)}
    known = _globals(constructor)
    return {name: _resolved(value, known) for name, value in follower.given.items()}


def _mentions(code: Code, name: str) -> bool:
    """Return whether a function names an argument in any of its calls."""
    return any(isinstance(part, tuple) and name in part for part in code.constants)


def _globals(function: object) -> Mapping[object, object]:
    """Return the global names that a stored function uses, with what they are."""
    if not isinstance(function, PickledObject):
        return {}
    state = function.state if isinstance(function.state, tuple) else (function.state,)
    for part in (*state, *function.arguments):
        if isinstance(part, Mapping):
            found = part.get("__globals__", part.get("globals"))
            if isinstance(found, Mapping):
                return found
    return {}


def _resolved(value: object, known: Mapping[object, object]) -> object:
    """Return a global function as the file stores it, others by their names."""
    if not isinstance(value, Name):
        return value
    if value.path in known:
        return known[value.path]
    module, _, name = value.path.rpartition(".")
    return Reference(module, name)


class _ConstructorFollower(Follower):
    """Remembers what the first constructor that is called gets by name."""

    given: dict[str, object] | None = None

    def call(
        self, function: object, arguments: Sequence[object], named: Mapping[str, object]
    ) -> object:
        """Return a name in the place of any result."""
        if not isinstance(function, Name):
            raise Unknown
        if function.path.endswith("__init__") and self.given is None:
            self.given = dict(named)
        if function.path == "dict" and not arguments:
            return dict(named)
        return Name(f"{function.path}()")
