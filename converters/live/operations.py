"""What a step of an architecture does, as a live class or function: looked up in the closed table, with its arguments checked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, cast

from torch import Tensor, nn

from converters.architecture import Step
from converters.errors import UnreadableFileError
from converters.registry import Plain, nearest
from converters.targets import TARGETS, Target

Operation = Callable[..., Tensor]


def find_target(op: str) -> Target:
    """Return the operation of that key.

    Raises:
        UnreadableFileError: There is none; the message names the nearest.
    """
    if op not in TARGETS:
        msg = f"the architecture uses '{op}', which is not a known operation{nearest(op, TARGETS)}"
        raise UnreadableFileError(
            msg,
            hint="was it converted with --rules or --layer? Name them again: load(path, rules=..., layers=...)",
        )
    return TARGETS[op]


def resolve(target: Target) -> Callable[..., object]:
    """Return the class or function of an operation. The path comes from the table, never from a file."""
    module, _, name = target.path.partition(":")
    return cast("Callable[..., object]", getattr(importlib.import_module(module), name))


def make_module(step: Step, target: Target) -> nn.Module:
    """Return a new module of a step."""
    return cast("nn.Module", resolve(target)(**_arguments(step, target)))


def _arguments(step: Step, target: Target) -> dict[str, object]:
    """Return the step's arguments, with functions and layers in place of their names.

    Raises:
        UnreadableFileError: An argument that the operation does not have.
    """
    kwargs: dict[str, object] = dict(step.kwargs)
    unknown = sorted(set(kwargs) - set(target.kwargs))
    if unknown:
        msg = f"operation '{step.op}' has no argument {', '.join(unknown)}; known: {', '.join(target.kwargs) or 'none'}"
        raise UnreadableFileError(msg)
    for key in target.functions:
        if key in kwargs:
            is_layer = key in target.layers
            kwargs[key] = _named_layer(kwargs[key]) if is_layer else _named_function(kwargs[key])
    return kwargs


def _named_layer(value: object) -> nn.Module:
    """Return the module that an argument describes: ("nn.Linear", ("in_features", 4), ("out_features", 3))."""
    step, target = _named_step(value)
    if not target.module or target.layers:
        msg = f"operation '{step.op}' is no module that another may hold"
        raise UnreadableFileError(msg)
    return make_module(step, target)


def _named_function(value: object) -> Operation:
    """Return the function that an argument names: "torch.tanh", or ("F.elu", ("alpha", 0.5))."""
    step, target = _named_step(value)
    if target.module:
        msg = f"operation '{step.op}' is a module, a function is needed"
        raise UnreadableFileError(msg)
    function, kwargs = cast("Operation", resolve(target)), _arguments(step, target)
    return partial(function, **kwargs) if kwargs else function


def _named_step(value: object) -> tuple[Step, Target]:
    name, *pairs = value if isinstance(value, tuple) else (value,)
    kwargs = dict(cast("list[tuple[str, Plain]]", pairs))
    return Step(str(name), (), "", kwargs=kwargs), find_target(str(name))


def step_function(step: Step, target: Target) -> Operation:
    """Return the function of a step without a module."""
    function = cast("Operation", resolve(target))
    kwargs = _arguments(step, target)
    if step.op == "operator.getitem":
        index = _index(kwargs.get("index"))
        return lambda x: x[index]
    leading = [kwargs.pop(key) for key in target.unnamed if key in kwargs]
    if leading:
        return lambda *inputs: function(*leading, *inputs, **kwargs)
    if target.infix and kwargs:
        left = [kwargs["left"]] if "left" in kwargs else []
        right = [kwargs["right"]] if "right" in kwargs else []
        return lambda *inputs: _fold(function, (*left, *inputs, *right))
    if target.listed:
        return lambda *inputs: function(inputs, **kwargs)
    if target.infix and len(step.inputs) > 2:  # a + b + c, left to right
        return lambda *inputs: _fold(function, inputs)
    return (lambda *inputs: function(*inputs, **kwargs)) if kwargs else function


def _index(value: object) -> tuple[object, ...]:
    """Return what stands between the brackets: ("slice", 1, None, 2) is 1::2, None a new axis."""
    items = value if isinstance(value, tuple) else ()
    return tuple(slice(*item[1:]) if isinstance(item, tuple) else item for item in items)


def _fold(function: Operation, operands: tuple[Any, ...]) -> Tensor:
    """Return the operands joined from the left; besides tensors there may be a number."""
    return cast("Tensor", reduce(function, operands))
