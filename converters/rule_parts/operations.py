"""What the rules of operations share: arguments by name, constants as steps, shapes that broadcast.

An operation is a function of tensors among the layers of a model (`keras.ops`, operators on Keras tensors, functions of
TensorFlow in Keras 2). Some of its arguments are settings, some come with the call; here they are one mapping.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from converters.errors import UnsupportedError
from converters.graph import Call, Constant, Layer, Operand
from converters.registry import Plain, Shape, TorchStep

MAX_CONSTANT_NUMBERS = 65_536
"""Constants become source and part of every forward pass; larger ones belong into a weight."""
_WHOLE_TYPES = ("bool", "int8", "uint8", "int16", "int32", "int64")
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_KNOWN_TYPES = (*_WHOLE_TYPES, *_FLOATS)


def call_of(layer: Layer) -> Call:
    """Return the call that is lowered; for rules that take it."""
    return cast("Call", layer.config["call"])


def refused(layer: Layer, what: str) -> UnsupportedError:
    """Return the error for something that an operation was given and that has no counterpart."""
    msg = f"layer '{layer.name}' ({layer.class_name}): {what}"
    return UnsupportedError(msg)


@dataclass(slots=True)
class Operation:
    """An operation with its arguments bound, and the steps that make tensors of its constants.

    Attributes:
        layer: its configuration holds every argument by name: numbers, nested tuples, `Operand`, `Constant`.
        shapes: of the tensors, by `Operand.index`.
        steps: made so far.
        dtypes: of the tensors, where the file states them; else empty.
    """

    layer: Layer
    shapes: tuple[Shape, ...]
    steps: list[TorchStep] = field(default_factory=list)
    dtypes: tuple[str, ...] = ()

    @staticmethod
    def of(layer: Layer, shapes: Sequence[Shape], *names: str) -> Operation:
        """Bind the call of a layer; `names` are what the operation calls its arguments, in order.

        Raises:
            UnsupportedError: There are more arguments than names.
        """
        call = call_of(layer)
        if len(call.args) > len(names):
            raise refused(layer, f"{len(call.args)} arguments, at most {len(names)} are known")
        given = dict(zip(names, call.args, strict=False))
        config = {key: value for key, value in layer.config.items() if key != "call"}
        config.update(call.kwargs)
        config.update(given)
        return Operation(replace(layer, config=config), tuple(shapes), dtypes=tuple(call.dtypes))

    @property
    def settings(self) -> Mapping[str, object]:
        """Every argument by name."""
        return self.layer.config

    def shape(self, name: str) -> Shape:
        """Return the shape of an argument that is a tensor or a constant."""
        value = self.settings.get(name)
        if isinstance(value, Operand):
            return self.shapes[value.index]
        return shape_of(_values_of(value))

    def tensor(self, name: str) -> str:
        """Return the name of an argument that must be a tensor of the graph."""
        value = self.settings.get(name)
        if not isinstance(value, Operand):
            raise refused(self.layer, f"argument '{name}' is {value!r:.60}, a tensor is needed")
        return f"input_{value.index}"

    def value(self, name: str) -> str:
        """Return the name of an argument that is a tensor, made of a constant if it must be."""
        value = self.settings.get(name)
        return self.tensor(name) if isinstance(value, Operand) else self.constant(value)

    def of_one_type(self, *names: str) -> list[str]:
        """Return the names of arguments, all of the type of the first that Keras computes with; torch's products take one.

        Types that the file does not state are left as they are.
        """
        types = [self._type(self.settings.get(name)) for name in names]
        order = {dtype: place for place, dtype in enumerate((*_WHOLE_TYPES, "like", *_FLOATS))}
        wanted = max(types, key=lambda dtype: order.get(dtype, -1))
        values = [self.value(name) for name in names]
        like = values[types.index(wanted)]
        return [
            value
            if dtype in ("", "like", wanted)
            else self.result("compat.cast_as", of=[value, like], shape=self.shape(name))
            for name, value, dtype in zip(names, values, types, strict=True)
        ]

    def _type(self, value: object) -> str:
        """Return the type of an argument, "like" for floating numbers, which take that of a tensor; "" if it is unknown."""
        if isinstance(value, Operand):
            return self.dtypes[value.index] if self.dtypes else ""
        return "like" if any(isinstance(each, float) for each in flat(_values_of(value))) else ""

    def constant(self, value: object) -> str:
        """Add the step that makes a tensor of numbers; returns its name."""
        values = plain_numbers(self.layer, _values_of(value))
        numbers = list(flat(values))
        dtype = value.dtype if isinstance(value, Constant) else None
        if any(isinstance(item, float) for item in numbers) or (dtype or "").startswith("float"):
            dtype = "like"  # Keras computes in the type of the other operand
        elif dtype not in _KNOWN_TYPES:
            dtype = "bool" if all(isinstance(item, bool) for item in numbers) else "int64"
        name = f"constant_{len(self.steps)}"
        kwargs: dict[str, Plain] = {"values": values, "dtype": dtype}
        beside = (f"input_{len(self.shapes) - 1}",)
        self.steps.append(
            TorchStep(
                "compat.constant", kwargs, shape=shape_of(values), inputs=beside, results=(name,)
            )
        )
        return name

    def in_a_row(self, name: str) -> tuple[str, Shape]:
        """Add the step that puts all elements of a value in a row; returns its name and shape."""
        step = row_step(self.shape(name))
        return self.result(step.op, step.kwargs, of=[self.value(name)], shape=step.shape), (
            step.shape or ()
        )

    def only(self, *names: str) -> None:
        """Raise UnsupportedError if a tensor was given for any other argument."""
        for name, value in self.settings.items():
            if name not in names and any(isinstance(item, Operand) for item in flat(value)):
                raise refused(self.layer, f"argument '{name}' is a tensor; no rule for that")

    def result(
        self,
        op: str,
        kwargs: Mapping[str, Plain] | None = None,
        *,
        of: Sequence[str],
        shape: Shape | None = None,
        name: str = "",
    ) -> str:
        """Add a step; returns the name of its result."""
        name = name or f"step_{len(self.steps)}"
        self.steps.append(
            TorchStep(op, dict(kwargs or {}), shape=shape, inputs=tuple(of), results=(name,))
        )
        return name


def row_step(shape: Shape) -> TorchStep:
    """Return the step that puts all elements in a row."""
    total = None if None in shape else math.prod(size or 0 for size in shape)
    return TorchStep("torch.reshape", {"shape": (-1,)}, shape=(total,))


def dtype_of(layer: Layer, key: str, default: str | None = None) -> str:
    """Return the name of a type. Raises UnsupportedError for what torch does not have."""
    value = layer.config.get(key)
    name = default if value is None else value
    if isinstance(value, Mapping):  # a policy
        name = cast("Mapping[str, object]", value.get("config") or {}).get("name")
    if name not in _KNOWN_TYPES:
        raise refused(layer, f"type {value!r:.60}, needed is one of {', '.join(_KNOWN_TYPES)}")
    return str(name)


def flat(value: object) -> list[object]:
    """Return the items of nested tuples and lists."""
    if isinstance(value, (tuple, list)):
        return [item for entry in value for item in flat(entry)]
    return [value]


def plain_numbers(layer: Layer, value: object) -> Plain:
    """Return numbers, or nested tuples of them of one shape. Raises UnsupportedError for anything else."""
    numbers = flat(value)
    if len(numbers) > MAX_CONSTANT_NUMBERS:
        raise refused(
            layer,
            f"a constant of {len(numbers):,} numbers, at most {MAX_CONSTANT_NUMBERS:,} are written",
        )
    whole = all(isinstance(item, (int, float)) and math.isfinite(item) for item in numbers)
    if not whole or math.prod(cast("tuple[int, ...]", shape_of(value))) != len(numbers):
        raise refused(layer, f"argument {value!r:.60}, finite numbers are needed")
    return frozen(value)


def frozen(value: object) -> Plain:
    """Return nested lists as nested tuples."""
    if isinstance(value, (tuple, list)):
        return tuple(frozen(item) for item in value)
    return cast("Plain", value)


def _values_of(value: object) -> object:
    return value.values if isinstance(value, Constant) else value


def shape_of(value: object) -> Shape:
    """Return the shape of nested tuples; of a number, ()."""
    sizes = []
    while isinstance(value, (tuple, list)):
        sizes.append(len(value))
        value = value[0] if value else None
    return tuple(sizes)


def broadcast(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of an operation on every element; missing axes are in front, as in NumPy.

    Raises:
        UnsupportedError: Sizes differ that are not 1.
    """
    result: list[int | None] = []
    for sizes in itertools.zip_longest(*[reversed(shape) for shape in shapes], fillvalue=1):
        known = {size for size in sizes if size not in (1, None)}
        if len(known) > 1:
            raise refused(layer, f"shapes {list(shapes)} do not broadcast")
        result.append(known.pop() if known else (None if None in sizes else 1))
    return tuple(reversed(result))


def axes_of(layer: Layer, key: str, rank: int) -> tuple[int, ...]:
    """Return axes from 0 on; all of them where the setting is null. Raises UnsupportedError."""
    value = layer.config.get(key)
    if value is None:
        return tuple(range(rank))
    axes = flat(value)
    if not all(isinstance(axis, int) and not isinstance(axis, bool) for axis in axes):
        raise refused(layer, f"axis {value!r:.60}, whole numbers are needed")
    whole = [cast("int", axis) for axis in axes]
    if not all(-rank <= axis < rank for axis in whole) or len(
        {axis % rank for axis in whole}
    ) != len(whole):
        raise refused(layer, f"axis {value!r:.60} of {rank} axes")
    return tuple(axis % rank for axis in whole)


def axis_of(layer: Layer, key: str, rank: int, default: int | None = None) -> int:
    """Return one axis from 0 on. Raises UnsupportedError."""
    value = layer.config.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not -rank <= value < rank:
        raise refused(layer, f"{key} {value!r:.60}, one of {rank} axes is needed")
    return value % rank
