"""One call of a layer in a functional configuration: which tensors go in, and what else was given.

Keras 3 stores {"args": [...], "kwargs": {...}} as they were written, Keras 1 and 2 a list of tensors with the named arguments
behind each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from converters.graph import Constant, Operand, TensorRef

_CONSTANT = "_CONSTANT_VALUE"  # what tf.keras writes in place of a layer's name before a number


@dataclass(slots=True)
class Node:
    """A parsed call: its tensors in order, and the arguments with `Operand` in the tensors' places."""

    inputs: list[TensorRef] = field(default_factory=list)
    args: tuple[object, ...] = ()
    kwargs: dict[str, object] = field(default_factory=dict)
    dtypes: list[str] = field(default_factory=list)

    def operand(self, ref: TensorRef, dtype: object = "") -> Operand:
        """Note a tensor and its type, if that is stored; returns its place."""
        self.inputs.append(ref)
        self.dtypes.append(dtype if isinstance(dtype, str) else "")
        return Operand(len(self.inputs) - 1)


def parse_node(node: object) -> Node:
    """Return the call that a stored node describes."""
    parsed = Node()
    if isinstance(node, Mapping):
        args = cast("Sequence[object]", node.get("args") or [])
        parsed.args = tuple(_argument(value, parsed) for value in args)
        named = cast("Mapping[str, object]", node.get("kwargs") or {})
    else:
        # [[layer, call, tensor, kwargs], ...], or one such entry without the outer list.
        tensors = cast("Sequence[Sequence[object]]", node)
        if tensors and isinstance(tensors[0], str):
            tensors = [cast("Sequence[object]", tensors)]
        parsed.args = tuple(_entry(tensor, parsed) for tensor in tensors)
        named = {}
        for tensor in tensors:
            named |= cast("Mapping[str, object]", tensor[3] if len(tensor) > 3 else {})
    for name, value in named.items():
        if not _is_nothing(value):
            parsed.kwargs[name] = _argument(value, parsed, bare=not isinstance(node, Mapping))
    return parsed


def parse_ref(entry: Sequence[object]) -> TensorRef:
    """Return the tensor of [layer, call, index]."""
    return TensorRef(str(entry[0]), int(cast("int", entry[1])), int(cast("int", entry[2])))


def _entry(tensor: Sequence[object], parsed: Node) -> object:
    return tensor[2] if tensor[0] == _CONSTANT else parsed.operand(parse_ref(tensor))


def _argument(value: object, parsed: Node, *, bare: bool = False) -> object:
    """Return a value with its tensors replaced; `bare`: a tensor is [layer, call, index], as Keras 2 writes it."""
    if isinstance(value, Mapping):
        kind, config = value.get("class_name"), value.get("config")
        if kind == "__keras_tensor__" and isinstance(config, Mapping):
            ref = parse_ref(cast("Sequence[object]", config["keras_history"]))
            return parsed.operand(ref, config.get("dtype"))
        if kind == "__slice__" and isinstance(config, Mapping):
            return slice(config.get("start"), config.get("stop"), config.get("step"))
        if kind in ("__numpy__", "__tensor__") and isinstance(config, Mapping):
            return Constant(_frozen(config["value"]), cast("str | None", config.get("dtype")))
        if kind == "__ellipsis__":
            return ...
        if bare and set(value) == {"start", "stop", "step"}:
            return slice(value["start"], value["stop"], value["step"])
        # In the order of the keys, as Keras numbers the tensors of a dictionary.
        return {name: _argument(value[name], parsed, bare=bare) for name in sorted(value)}
    if isinstance(value, (list, tuple)):
        whole = [type(item) for item in value]
        if bare and whole == [str, int, int]:
            return parsed.operand(parse_ref(value))
        return tuple(_argument(item, parsed, bare=bare) for item in value)
    return value


def _is_nothing(value: object) -> bool:
    """True for null, and for the null masks of several inputs."""
    if isinstance(value, Mapping) and "class_name" not in value:
        return bool(value) and all(_is_nothing(item) for item in value.values())
    if isinstance(value, list):
        return bool(value) and all(_is_nothing(item) for item in value)
    return value is None


def _frozen(value: object) -> object:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
