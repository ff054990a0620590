"""An `nn.Module` that interprets the steps of an `Architecture`. Nothing is generated or executed to do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn

from converters.architecture import Architecture, Step
from converters.errors import MismatchError, UnreadableFileError
from converters.fixed_modes import fixed_modes
from converters.live.operations import Operation, find_target, make_module, step_function
from converters.registry import Plain
from converters.targets import Target
from torch_impl.text_bytes import is_text, text_bytes

TEXT = "string"
"""Type of an input of words; it comes as their bytes, with one more axis."""
Outputs = (
    Any  # a tensor, or tuples and dictionaries of them, as the legacy model arranges its outputs
)


class _Call(NamedTuple):
    """One step of the forward pass, ready to be made.

    Attributes:
        attribute: names that lead to the submodule; () for functions.
        taken: places of the values it takes, in the list of all values.
        made: how many values it adds to that list.
        dropped: places of values that nobody takes afterwards; their memory serves the next step.
    """

    attribute: tuple[str, ...]
    function: Operation | None
    taken: tuple[int, ...]
    made: int
    dropped: tuple[int, ...]


class ConvertedModel(nn.Module):
    """A converted network: submodules are named after the legacy layers, `forward` follows the architecture.

    `forward` takes the inputs in the legacy model's order and layout and returns its outputs in its order: a tensor,
    a tuple, or a dict where the legacy model had named outputs. The inputs may also come by name, or as one list or
    dictionary, as Keras takes them. Inputs of another floating type are cast, as Keras does. Words come as an array or
    lists of `str`, or as `torch_impl.text_bytes` gives them. `converters.live.build` makes it.

    Attributes:
        architecture: the plain-data description, from which `converters.emit` prints the same model as source.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        for step in architecture.steps:
            target = find_target(step.op)
            if target.module != (step.attribute is not None):
                kind = "a module, which needs" if target.module else "a function, which has no"
                msg = f"operation '{step.op}' is {kind} attribute; found {step.attribute!r}"
                raise UnreadableFileError(msg)
            if target.module:
                self._add(step, target)
        places = _places(architecture)
        self._calls = _calls(architecture)
        self._outputs = tuple(places[name] for name in architecture.outputs)
        self._dtypes = tuple(_dtype(value.dtype) for value in architecture.inputs)
        # Where the text is, if there is any: only there, or at the first, something else than a tensor may come.
        self._text = next((n for n, i in enumerate(architecture.inputs) if i.dtype == TEXT), 0)
        self._is_chain = _is_chain(architecture)
        self._fixed_modes = fixed_modes(architecture)

    def __getstate__(self) -> dict[str, object]:
        """Return what makes up the network; functions are found again by their names."""
        return {key: value for key, value in self.__dict__.items() if key != "_calls"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` gave."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._calls = _calls(self.architecture)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Bring inputs into another type too, when parameters go there: `double()`, `to(torch.bfloat16)`."""
        self._dtypes = tuple(
            fn(torch.empty(0, dtype=dtype)).dtype if dtype.is_floating_point else dtype
            for dtype in self._dtypes
        )
        return cast("Self", super()._apply(fn, recurse))  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Self:  # as nn.Module has it
        """Set the mode, except of layers that the legacy model calls with a fixed `training`; returns itself."""
        super().train(mode)
        for attribute, fixed in self._fixed_modes:
            self.get_submodule(attribute).train(fixed == "train")
        return self

    def forward(self, *inputs: Tensor, **named: Tensor) -> Outputs:
        """Return the outputs for (batch, ...) inputs."""
        if named or len(inputs) != len(self._dtypes) or not isinstance(inputs[self._text], Tensor):
            inputs = order_inputs(self.architecture, inputs, named)
        values: list[Tensor | None] = [
            x if x.dtype == dtype else x.to(dtype)
            for x, dtype in zip(inputs, self._dtypes, strict=True)
        ]
        if self._is_chain:
            return self._forward_chain(cast("Tensor", values[0]))
        for attribute, function, taken, made, dropped in self._calls:
            # Looked up at each call: whoever replaces a submodule has it used.
            operation = self._find(attribute) if function is None else function
            result = operation(*[values[place] for place in taken])
            if made == 1:
                values.append(result)
            else:
                values.extend(result)
            for place in dropped:
                values[place] = None
        outputs = tuple(cast("Tensor", values[place]) for place in self._outputs)
        architecture = self.architecture
        if architecture.structure == "dict":
            return dict(zip(architecture.output_names, outputs, strict=True))
        if architecture.structure == "nested":
            return _arranged(architecture.nesting, outputs)
        return outputs[0] if architecture.structure == "single" else outputs

    def _forward_chain(self, x: Tensor) -> Tensor:
        for attribute, function, *_ in self._calls:
            x = self._find(attribute)(x) if function is None else function(x)
        return x

    def _find(self, attribute: tuple[str, ...]) -> nn.Module:
        module: nn.Module = self
        for name in attribute:
            module = module._modules[name]  # type: ignore[assignment]  # never None: `_add` put it there
        return module

    def _add(self, step: Step, target: Target) -> None:
        attribute = cast("str", step.attribute)
        *blocks, name = attribute.split(".")
        owner: nn.Module = self
        for block in blocks:
            if block not in owner._modules:
                _check_free(owner, block)
                owner.add_module(block, nn.Module())
            owner = cast("nn.Module", owner._modules[block])
            if type(owner) is not nn.Module:
                msg = f"the architecture puts '{attribute}' into a module that is a layer itself"
                raise UnreadableFileError(msg)
        if name in owner._modules:
            return  # a shared layer is one module
        _check_free(owner, name)
        module = make_module(step, target)
        own = tuple(name for name, _ in [*module.named_parameters(), *module.named_buffers()])
        if own != step.state:
            msg = f"module '{attribute}' ({step.op}) has state {own}, the architecture fills {step.state}"
            raise MismatchError(msg)
        if step.frozen:
            module.requires_grad_(requires_grad=False)
        owner.add_module(name, module)


def _places(architecture: Architecture) -> dict[str, int]:
    """Return the place of every value in the list of all."""
    names = [value.name for value in architecture.inputs]
    names += [name for step in architecture.steps for name in step.results]
    return {name: place for place, name in enumerate(names)}


def _calls(architecture: Architecture) -> tuple[_Call, ...]:
    """Return the steps, ready to be made."""
    places, last_use = _places(architecture), _last_uses(architecture)
    calls = []
    for number, step in enumerate(architecture.steps):
        target = find_target(step.op)
        calls.append(
            _Call(
                tuple(step.attribute.split(".")) if step.attribute else (),
                None if target.module else step_function(step, target),
                tuple(places[name] for name in step.inputs),
                len(step.results),
                tuple(
                    places[name]
                    for name in {*step.inputs, *step.results}
                    if last_use.get(name, number) == number
                ),
            )
        )
    return tuple(calls)


def _check_free(owner: nn.Module, name: str) -> None:
    """Raise UnreadableFileError if a module of that name would hide what every module has."""
    if hasattr(owner, name):
        msg = f"the architecture names a module '{name}', which nn.Module uses itself"
        raise UnreadableFileError(msg)


def order_inputs(
    architecture: Architecture, inputs: tuple[object, ...], named: Mapping[str, Tensor]
) -> tuple[Tensor, ...]:
    """Return a network's inputs in order, from however they were given.

    Args:
        architecture: of the network.
        inputs: the arguments without names: the inputs, or one list or dictionary of them.
        named: those with names.

    Raises:
        TypeError: One is missing, or there are others.
    """
    first = inputs[0] if len(inputs) == 1 and not named else None
    if isinstance(first, Mapping):
        inputs, named = (), first
    found = [x for value in inputs for x in _flat(value)]
    given_in_order = len(found)
    for value in architecture.inputs[given_in_order:]:
        key = value.key if value.key is not None and value.key in named else value.name
        found += _flat(named[key]) if key in named else []
    count = len(architecture.inputs)
    if len(found) != count or given_in_order + len(named) != count:
        names = ", ".join(value.key or value.name for value in architecture.inputs)
        given = ", ".join([*([str(given_in_order)] if given_in_order or not named else []), *named])
        msg = f"{architecture.name} takes {count} inputs ({names}), got {given}"
        raise TypeError(msg)
    return tuple(text_bytes(x) if is_text(x) else x for x in found)


def _flat(value: object) -> list[Tensor]:
    """Return the tensors of nested lists and dictionaries, the latter in the order of their keys, as Keras does."""
    if isinstance(value, Mapping):
        return [x for key in sorted(value) for x in _flat(value[key])]
    if isinstance(value, (list, tuple)) and not is_text(value):
        return [x for item in value for x in _flat(item)]
    return [cast("Tensor", value)]


def _arranged(nesting: Plain, outputs: tuple[Tensor, ...]) -> Outputs:
    """Return outputs as nested tuples and dictionaries; the arrangement was checked when it was read."""
    if not isinstance(nesting, tuple):
        return outputs[int(nesting or 0)]
    kind, *entries = nesting
    if kind == "dict":
        pairs = cast("list[tuple[str, Plain]]", entries)
        return {key: _arranged(entry, outputs) for key, entry in pairs}
    return tuple(_arranged(entry, outputs) for entry in entries)


def _dtype(name: str) -> torch.dtype:
    if name == TEXT:
        return torch.uint8
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        msg = f"the architecture has an input of type '{name}', which torch does not know"
        raise UnreadableFileError(msg)
    return dtype


def _last_uses(architecture: Architecture) -> dict[str, int]:
    """Return the number of the last step that takes a value; outputs are taken after all steps."""
    last = dict.fromkeys(architecture.outputs, len(architecture.steps))
    for number, step in reversed(list(enumerate(architecture.steps))):
        for name in step.inputs:
            last.setdefault(name, number)
    return last


def _is_chain(architecture: Architecture) -> bool:
    """True if every step takes just the result of the step before it."""
    if len(architecture.inputs) != 1 or architecture.structure != "single":
        return False
    last = architecture.inputs[0].name
    for step in architecture.steps:
        if step.inputs != (last,) or step.further_outputs:
            return False
        last = step.output
    return architecture.outputs == (last,)
