"""Why a module that was written by hand differs: suspicions, each tested by making the change and looking again.

A cause is named only if the outputs agree once it is put right, together with the others that were found before it.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.own_pair.first_difference import Difference, find_first_difference
from converters.own_pair.tracing import Call, Correction

MAX_CAUSES = 40
"""Places put right one after the other: a deep network with the same mistake in every layer."""
EPSILONS = (1e-3, 1e-5, 1e-6, 1e-7, 1e-12)
"""Of normalizations: Keras's default, torch's, and others in use."""
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky relu with slope 0.3 (LeakyReLU of Keras)": partial(F.leaky_relu, negative_slope=0.3),
    "leaky relu with slope 0.2 (leaky_relu of TensorFlow)": partial(
        F.leaky_relu, negative_slope=0.2
    ),
    "leaky relu with slope 0.01": partial(F.leaky_relu, negative_slope=0.01),
    "gelu, exact": F.gelu,
    "gelu, approximated by tanh": partial(F.gelu, approximate="tanh"),
    "elu": F.elu,
    "selu": F.selu,
    "silu (swish)": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "relu6": F.relu6,
    "mish": F.mish,
    "hard sigmoid of Keras 1 and 2, clip(0.2 x + 0.5)": lambda x: (0.2 * x + 0.5).clamp(0.0, 1.0),
    "hard sigmoid of Keras 3, relu6(x + 3) / 6": F.hardsigmoid,
    "exp": torch.exp,
    "softmax": partial(torch.softmax, dim=-1),
    "log softmax": partial(torch.log_softmax, dim=-1),
}
_GATES: tuple[tuple[type[nn.RNNBase], int], ...] = ((nn.GRU, 3), (nn.LSTM, 4))
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, slots=True)
class Cause:
    """What is likely wrong, where, and what to do."""

    text: str
    layers: tuple[str, ...]
    hint: str

    def describe(self) -> str:
        """Return the text with its layers."""
        return f"{self.text} At {', '.join(self.layers)}."


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A cause with the change that would put it right.

    Attributes:
        cause: in words.
        number: of the call whose result becomes another.
        correction: what it becomes.
        reach: how many calls more must agree then: 2 where the result is one that agreed already.
    """

    cause: Cause
    number: int
    correction: Correction
    reach: int = 1


Changes = dict[int, list[Correction]]
Trace = Callable[[Changes], tuple[list[Call], bool]]
"""Runs the user's module with changes; gives its calls, and whether its outputs agree with ours."""


def find_causes(run: Trace, known: Sequence[Tensor]) -> list[Cause]:
    """Return what explains the difference, each cause with all its layers; nothing, where that is not all of it.

    Args:
        run: the user's module.
        known: values of ours, as for `find_first_difference`.
    """
    changes: Changes = {}
    found: list[Cause] = []
    calls, agree = run(changes)
    while not agree and len(found) < MAX_CAUSES:
        trial = _best_trial(run, find_first_difference(calls, known), changes, known)
        if trial is None:
            return []
        changes, calls, agree, cause = trial
        found.append(cause)
    return _joined(found) if agree else []


def _best_trial(
    run: Trace, place: Difference, changes: Changes, known: Sequence[Tensor]
) -> tuple[Changes, list[Call], bool, Cause] | None:
    """Return the changes with one more, after which the modules agree the farthest; None if none helps."""
    best = None
    reached = place.number
    for suspicion in _suspicions(place):
        trial = {**changes}
        trial[suspicion.number] = [*trial.get(suspicion.number, []), suspicion.correction]
        try:
            calls, agree = run(trial)
        except (RuntimeError, ValueError, IndexError):  # shapes do not fit: not this
            continue
        if agree:
            return trial, calls, True, suspicion.cause
        if len(calls) != len(place.calls):
            continue
        number = find_first_difference(calls, known).number
        if number > reached and number >= place.number + suspicion.reach:
            reached, best = number, (trial, calls, False, suspicion.cause)
    return best


def _joined(causes: Sequence[Cause]) -> list[Cause]:
    """Return causes of one text once, with all their layers."""
    texts = dict.fromkeys(cause.text for cause in causes)
    result = []
    for text in texts:
        same = [cause for cause in causes if cause.text == text]
        layers = tuple(dict.fromkeys(layer for cause in same for layer in cause.layers))
        result.append(Cause(text, layers, same[0].hint))
    return result


def _suspicions(place: Difference) -> Iterator[Suspicion]:
    """Yield what may be wrong with the first call that departs, or with what comes before it."""
    if place.number < len(place.calls):
        call = place.calls[place.number]
        for cause, correction in itertools.chain(
            _weights(place, call), _epsilons(call), _gates(call), _padding(call)
        ):
            yield Suspicion(cause, place.number, correction)
    yield from _activations(place)


Changed = Iterator[tuple[Cause, Correction]]


def _changed(module: nn.Module, name: str, change: Callable[[Tensor], Tensor]) -> Correction:
    """Return what calls a copy of the module with another parameter."""

    def correct(call: Call) -> Tensor:
        other = copy.deepcopy(module)
        with torch.no_grad():
            parameter = cast("Tensor", getattr(other, name))
            parameter.copy_(change(parameter.detach().clone()))
        return _call(other, call)

    return correct


def _call(module: nn.Module, call: Call) -> Tensor:
    """Return what a module gives for a call's input, and its other arguments."""
    with torch.no_grad():
        result = module.forward(call.input, *call.args[1:], **call.kwargs)
    return cast("Tensor", result[0] if isinstance(result, tuple) else result)


def _weights(place: Difference, call: Call) -> Changed:
    """Yield columns in the order of another flattening, and kernels that are not transposed."""
    module = call.module
    if isinstance(module, nn.Linear):
        yield from _flattenings(place, call, module)
        if module.in_features == module.out_features:
            yield _not_transposed(call), _changed(module, "weight", lambda w: w.T)
    elif isinstance(module, _CONVOLUTIONS):
        shape = module.weight.shape
        axes = range(len(shape))
        for order in itertools.permutations(axes):
            if order != tuple(axes) and tuple(shape[axis] for axis in order) == tuple(shape):
                turned: Callable[[Tensor], Tensor] = partial(torch.permute, dims=order)
                yield _not_transposed(call), _changed(module, "weight", turned)


def _not_transposed(call: Call) -> Cause:
    return Cause(
        "a kernel that is not transposed. TensorFlow keeps (..., in, out), torch (out, in, ...).",
        (call.name,),
        f"transpose the legacy kernel before it becomes {call.name}.weight; torchward convert --into does",
    )


def _flattenings(place: Difference, call: Call, module: nn.Linear) -> Changed:
    """Yield the columns in the order of the other flattening, if the input was flattened."""
    before = place.calls[call.sources[0]] if call.sources[0] >= 0 else None
    while before is not None and before.output.ndim < 3:
        before = place.calls[before.sources[0]] if before.sources[0] >= 0 else None
    if before is None or before.output[0].numel() != module.in_features:
        return
    rows = module.out_features
    channels, *sizes = before.output.shape[1:]
    *last_sizes, last = before.output.shape[1:]

    def as_tensorflow(weight: Tensor) -> Tensor:
        return weight.reshape(rows, *sizes, channels).movedim(-1, 1).reshape(rows, -1)

    def as_torch(weight: Tensor) -> Tensor:
        return weight.reshape(rows, last, *last_sizes).movedim(1, -1).reshape(rows, -1)

    axes = "H,W,C" if len(sizes) == 2 else "places,C"
    here = "C,H,W" if len(sizes) == 2 else "C,places"
    order = f"({', '.join(map(str, [*sizes, channels]))}) -> ({', '.join(map(str, [channels, *sizes]))})"
    move = ", ".join(map(str, [0, *range(2, len(sizes) + 2), 1]))
    yield (
        Cause(
            f"Flatten order. TensorFlow flattens {axes}; this module flattens {here}.",
            (call.name,),
            f"permute the columns of {call.name}.weight, {order}, or flatten x.permute({move})",
        ),
        _changed(module, "weight", as_tensorflow),
    )
    yield (
        Cause(
            f"Flatten order. This module flattens {axes}; the columns of its weight are in the order {here}.",
            (call.name,),
            f"flatten without the permutation before it, or permute the columns of {call.name}.weight",
        ),
        _changed(module, "weight", as_torch),
    )


def _epsilons(call: Call) -> Changed:
    """Yield other epsilons of a normalization, a module's or a function's."""
    module, function = call.module, call.function
    kind = type(module).__name__ if module is not None else call.name
    now = getattr(module, "eps", None)
    if module is None and function is not None:
        now = _bound(call).get("eps")
    if not isinstance(now, float):
        return
    for epsilon in EPSILONS:
        if epsilon == now:
            continue
        cause = Cause(
            f"{kind} epsilon. It is {now:g} here, {epsilon:g} in the legacy model.",
            (call.name,),
            f"make it with eps={epsilon:g}",
        )
        yield cause, partial(_with_epsilon, epsilon)


def _bound(call: Call) -> dict[str, object]:
    """Return a function's arguments by name; nothing where it does not tell their names."""
    if call.function is None:
        return {}
    try:
        bound = inspect.signature(call.function).bind(*call.args, **call.kwargs)
    except (TypeError, ValueError):
        return {}
    bound.apply_defaults()
    return dict(bound.arguments)


def _with_epsilon(epsilon: float, call: Call) -> Tensor:
    if call.module is None and call.function is not None:
        return cast("Tensor", call.function(**{**_bound(call), "eps": epsilon}))
    other = copy.deepcopy(cast("nn.Module", call.module))
    other.eps = epsilon  # type: ignore[assignment]  # every normalization's, a plain number
    return _call(other, call)


def _gates(call: Call) -> Changed:
    """Yield the gates of a recurrent module in other orders."""
    for kind, count in _GATES:
        if not isinstance(call.module, kind):
            continue
        for order in itertools.permutations(range(count)):
            if order == tuple(range(count)):
                continue
            cause = Cause(
                f"{kind.__name__} gate order. Keras has "
                + ("z, r, h; torch r, z, n." if count == 3 else "i, f, c, o, as torch."),
                (call.name,),
                "torchward convert --into puts the gates in order",
            )
            yield cause, partial(_with_gates, order)


def _with_gates(order: Sequence[int], call: Call) -> Tensor:
    other = copy.deepcopy(cast("nn.Module", call.module))
    with torch.no_grad():
        for parameter in other.parameters():
            parts = parameter.detach().clone().chunk(len(order))
            parameter.copy_(torch.cat([parts[place] for place in order]))
    return _call(other, call)


def _padding(call: Call) -> Changed:
    """Yield "same" padding as TensorFlow does it: the odd row at the end."""
    if call.function is F.pad:
        cause = Cause(
            '"same" padding. TensorFlow pads more at the end than at the beginning; this module the other way.',
            (call.name,),
            "x = F.pad(x, (left, right, top, bottom)) with the smaller half first",
        )
        yield cause, _padded_the_other_way
    if isinstance(call.module, _CONVOLUTIONS) and any(size > 1 for size in call.module.stride):
        cause = Cause(
            '"same" padding. TensorFlow pads more at the end than at the beginning; this module pads alike.',
            (call.name,),
            "x = F.pad(x, (left, right, top, bottom)) with the smaller half first, and padding=0",
        )
        yield cause, _padded_as_tensorflow


def _padded_the_other_way(call: Call) -> Tensor:
    given = _bound(call)
    pad = cast("Sequence[int]", given["pad"])
    swapped = [pad[index ^ 1] for index in range(len(pad))]
    return F.pad(call.input, swapped, str(given["mode"]), cast("float | None", given["value"]))


def _padded_as_tensorflow(call: Call) -> Tensor:
    module = copy.deepcopy(cast("nn.Conv2d", call.module))
    pads: list[int] = []
    for size, kernel, stride, dilation in zip(
        call.input.shape[2:], module.kernel_size, module.stride, module.dilation, strict=True
    ):
        total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        pads = [total // 2, total - total // 2, *pads]
    # Taken by the functions, not by the attribute alone: modules of "same" padding keep a form of their own of it.
    function = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[module.weight.ndim]
    padded = F.pad(call.input, pads)
    return function(
        padded,
        module.weight,
        module.bias,
        stride=module.stride,
        dilation=module.dilation,
        groups=module.groups,
    )


def _activations(place: Difference) -> Iterator[Suspicion]:
    """Yield another activation in place of the call that departs, none, and one before it that is missing."""
    calls, number = place.calls, place.number
    call = calls[number] if number < len(calls) else None
    if call is not None and _is_elementwise(call):
        here = _label(call)
        at = call.name if call.module is not None else f"{call.name} (layer {number + 1})"
        cause = Cause(
            f"activation. The legacy model has none where this module has {here}.",
            (at,),
            "leave it out",
        )
        yield Suspicion(cause, number, lambda each: each.input, reach=2)
        for name, function in ACTIVATIONS.items():
            cause = Cause(
                f"activation. The legacy model has {name}; this module has {here}.",
                (at,),
                "use the legacy model's activation, with its slope or approximation",
            )
            yield Suspicion(cause, number, partial(_applied, function))
    sources = dict.fromkeys(call.sources if call is not None else [len(calls) - 1])
    for source in (source for source in sources if source >= 0):
        for name, function in ACTIVATIONS.items():
            cause = Cause(
                f"activation. {name} of the legacy model is missing.",
                (calls[source].name,),
                "add it to forward, after the layer that is named",
            )
            yield Suspicion(cause, source, partial(_after, function))


def _is_elementwise(call: Call) -> bool:
    has_weights = call.module is not None and any(True for _ in call.module.parameters())
    return not has_weights and len(call.sources) == 1 and call.input.shape == call.output.shape


def _label(call: Call) -> str:
    """Return what people call it: "tanh", "LeakyReLU(negative_slope=0.01)"."""
    if call.module is not None:
        return str(call.module)
    slope = _bound(call).get("negative_slope")
    return call.name if slope is None else f"{call.name} with slope {slope}"


def _applied(function: Callable[[Tensor], Tensor], call: Call) -> Tensor:
    return function(call.input)


def _after(function: Callable[[Tensor], Tensor], call: Call) -> Tensor:
    return function(call.output)
