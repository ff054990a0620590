"""What a module computes on the way, call by call: of its leaf modules, and of torch functions outside of them.

The same tracer watches both modules of a pair, so nothing has to be known about how the user's is written. A correction
may change the result of a call, which is how suspicions are tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

INPUT = -1
"""Number of the module's inputs among its calls."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that depends on the module's inputs.

    Attributes:
        name: of the leaf module, or of the function.
        module: the leaf module; None for functions.
        function: the function; None for modules.
        args: of the call, as it was made; what works in place has changed them.
        kwargs: of the call.
        input: the first tensor it took.
        output: the first tensor it gave.
        sources: numbers of the calls whose results it takes, `INPUT` for the module's inputs.
    """

    name: str
    module: nn.Module | None
    function: Callable[..., object] | None
    args: tuple[Any, ...]  # what the user's own code passes
    kwargs: Mapping[str, Any]
    input: Tensor
    output: Tensor
    sources: tuple[int, ...]


Correction = Callable[[Call], Tensor]
Corrections = Mapping[int, Sequence[Correction]]
"""Number of a call to what becomes of its result, one after the other."""


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors of nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)


def trace(
    module: nn.Module, inputs: Sequence[Tensor], corrections: Corrections | None = None
) -> tuple[list[Call], object]:
    """Return the calls that a module makes for these inputs, and what it gives."""
    recorder = _Recorder(inputs, corrections or {})
    hooks = []
    for name, part in module.named_modules():
        if part is not module and not any(True for _ in part.children()):
            hooks.append(part.register_forward_pre_hook(recorder.enter))
            hooks.append(part.register_forward_hook(recorder.leave(name), with_kwargs=True))
    try:
        with torch.no_grad(), recorder:
            result = module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return recorder.calls, result


class _Recorder(TorchFunctionMode):
    """Notes calls outside of leaf modules, and those of leaf modules as a whole."""

    def __init__(self, inputs: Sequence[Tensor], corrections: Corrections) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._corrections = corrections
        self._depth = 0
        self._alive: list[object] = list(inputs)  # so that no id is given twice
        self._inputs = {id(x): x.clone() for x in inputs}
        self._numbers = {id(x): INPUT for x in inputs}

    def __torch_function__(  # the signature is torch's
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self._depth:
            return result
        owner = getattr(func, "__self__", None)  # of the getter of x.T
        name = getattr(func, "__name__", type(func).__name__)
        name = getattr(owner, "__name__", name) if name == "__get__" else name
        return self._note(str(name).strip("_"), None, func, args, kwargs, result)

    def enter(self, _module: nn.Module, _args: object) -> None:
        """Take what follows as part of a leaf module."""
        self._depth += 1

    def leave(self, name: str) -> Callable[..., object]:
        """Return the hook for the end of a leaf module."""

        def hook(
            module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object
        ) -> object:
            changed = self._note(name, module, None, args, kwargs, result)
            self._depth -= 1
            return changed

        return hook

    def _note(
        self,
        name: str,
        module: nn.Module | None,
        function: Callable[..., object] | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: object,
    ) -> object:
        taken = list(tensors_in([args, kwargs]))
        sources = tuple(self._numbers[id(x)] for x in taken if id(x) in self._numbers)
        given = list(tensors_in(result))
        in_place = getattr(module, "inplace", False) or (
            getattr(function, "__name__", "").strip("_") + "_" == getattr(function, "__name__", "")
        )
        unchanged = given and not in_place and any(given[0] is x for x in taken)
        if not given or not sources or unchanged:
            return result
        number = len(self.calls)
        first = next(x for x in taken if id(x) in self._numbers)
        seen = self._inputs[id(first)] if sources[0] == INPUT else self.calls[sources[0]].output
        output = given[0].detach().clone()
        call = Call(name, module, function, args, kwargs, seen, output, sources)
        for correct in self._corrections.get(number, ()):
            call = replace(call, output=correct(call).detach().clone())
        if number in self._corrections:
            changed = call.output.clone()
            result = changed if isinstance(result, Tensor) else _with_first(result, changed)
            given = list(tensors_in(result))
        self.calls.append(call)
        self._alive += given
        self._numbers.update({id(x): number for x in given})
        return result


def _with_first(result: object, changed: Tensor) -> object:
    """Return a tuple of tensors with another first one; what is arranged otherwise stays."""
    return (changed, *result[1:]) if isinstance(result, tuple) else result
