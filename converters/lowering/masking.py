"""Masks of time steps while a graph is lowered: which inputs have one, and what becomes of it behind a layer.

A mask is a value like any other: a bool tensor (batch, time), False where a step counts for nothing. `Embedding` and
`Masking` make it, `converters.lowering` hands it on as Keras does (keras 3.15.1, layers/layer.py, `__call__`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from converters.errors import UnsupportedError
from converters.graph import Call, Graph, Layer, Operand, TensorRef
from converters.registry import LayerRule, Lowered, Masks, Shape

ARGUMENTS = ("mask", "query_mask", "value_mask", "key_mask", "attention_mask")
"""Arguments of calls that are masks."""


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the module that is lowered: its name, its shape as Keras sees it, its mask."""

    name: str
    shape: Shape
    mask: tuple[str, Shape] | None = None


_SECOND = ("Attention", "AdditiveAttention", "GlobalAveragePooling1D", "Softmax")
_THIRD = (
    *("SimpleRNN", "GRU", "LSTM", "RNN", "Bidirectional"),
    *("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
    *("BatchNormalization", "TimeDistributed"),
)
_HEADS = ("MultiHeadAttention", "GroupQueryAttention")
MASK_PLACES: dict[str, dict[int, str]] = {
    **{name: {1: "mask"} for name in _SECOND},
    **{name: {2: "mask"} for name in _THIRD},
    **{name: {3: "query_mask", 4: "value_mask", 5: "key_mask"} for name in _HEADS},
}
"""Where Keras 3 takes masks that are not named, by the order of the arguments of `call`."""


def _with_named_masks(call: Call, class_name: str) -> Call:
    """Return the call with masks that are given by their place as arguments of their names."""
    names = {
        place: name
        for place, name in MASK_PLACES.get(class_name, {}).items()
        if len(call.args) > place and isinstance(call.args[place], Operand)
    }
    if not names:
        return call
    args = [None if place in names else value for place, value in enumerate(call.args)]
    while args[-1] is None:
        args.pop()
    kwargs = {name: call.args[place] for place, name in names.items()}
    return replace(call, args=tuple(args), kwargs={**call.kwargs, **kwargs})


def split_masks(
    call: Call, class_name: str, *, by_place: bool
) -> tuple[Call, dict[str, TensorRef]]:
    """Return the call without its masks, and those by the names that steps know (`registry.Masks`).

    Args:
        call: of a layer.
        class_name: of the layer.
        by_place: whether tensors without a name are the arguments of `call` in their order, as in Keras 3; before, they
            were what the first one is a list of: a sequence and its initial states.

    Raises:
        UnsupportedError: A mask is not a tensor, or masks lie deeper than in one list.
    """
    if by_place:
        call = _with_named_masks(call, class_name)
    found: dict[str, Operand] = {}
    for argument in ARGUMENTS:
        given = call.kwargs.get(argument)
        several = given if isinstance(given, tuple) else (given,)
        if not all(value is None or isinstance(value, Operand) for value in several):
            msg = (
                f"layer '{call.layer}' is called with {argument}={given!r:.40}; needed is a tensor"
            )
            raise UnsupportedError(msg)
        for index, value in enumerate(several):
            if isinstance(value, Operand):
                listed = isinstance(given, tuple)
                found[f"{argument}_given_{index}" if listed else argument] = value
    if not found:
        return call, {}
    taken = {operand.index for operand in found.values()}
    kept = [index for index in range(len(call.inputs)) if index not in taken]
    places = {old: new for new, old in enumerate(kept)}
    kwargs = {name: value for name, value in call.kwargs.items() if name not in ARGUMENTS}
    without = replace(
        call,
        inputs=tuple(call.inputs[index] for index in kept),
        kwargs={name: _renumbered(value, places) for name, value in kwargs.items()},
        args=tuple(_renumbered(value, places) for value in call.args),
    )
    return without, {name: call.inputs[operand.index] for name, operand in found.items()}


def _renumbered(value: object, places: Mapping[int, int]) -> object:
    """Return an argument whose tensors have their places among those that are left."""
    if isinstance(value, Operand):
        return Operand(places[value.index])
    if isinstance(value, tuple):
        return tuple(_renumbered(item, places) for item in value)
    if isinstance(value, Mapping):
        return {name: _renumbered(item, places) for name, item in value.items()}
    return value


def named_masks(
    arguments: Sequence[Value], explicit: Mapping[str, Value]
) -> dict[str, tuple[str, Shape]]:
    """Return the masks that reach a layer, by the names that its steps know."""
    carried = {
        f"mask_{index}": argument.mask
        for index, argument in enumerate(arguments)
        if argument.mask is not None
    }
    return {**carried, **{name: (value.name, value.shape) for name, value in explicit.items()}}


def with_masks(layer: Layer, masks: Mapping[str, tuple[str, Shape]], generation: int) -> Layer:
    """Return the layer with its masks in the configuration, where its rule looks for them."""
    shapes = {name: shape for name, (_, shape) in masks.items()}
    return replace(layer, config={**layer.config, "masks": Masks(shapes, generation)})


def with_given_masks(
    arguments: Sequence[Value], layer: Layer, masks: Mapping[str, tuple[str, Shape]]
) -> list[Value]:
    """Return the inputs of a nested model with the masks that its call was given."""
    names = [masks_of(layer).of_input(index) for index in range(len(arguments))]
    return [
        replace(argument, mask=None if name is None else masks[name])
        for argument, name in zip(arguments, names, strict=True)
    ]


def masks_of(layer: Layer) -> Masks:
    """Return the masks that reach a layer; for rules of `mask="use"`."""
    found = layer.config.get("masks")
    return found if isinstance(found, Masks) else Masks()


def mask_use(rule: LayerRule) -> str | None:
    """Return what a layer does with masks: what its rule says, else what is known of Keras's own class."""
    if rule.mask is not None:
        return rule.mask
    if rule.class_name in PASSING:
        return "pass"
    return "drop" if rule.class_name in MASKLESS or rule.class_name.startswith("ops.") else None


def check_masks(layer: Layer, use: str | None, masks: Mapping[str, tuple[str, Shape]]) -> None:
    """Raise UnsupportedError if a layer gets or makes a mask, and its rule does not say what becomes of it."""
    if layer.config.get("mask_zero") is True and use != "use":
        msg = (
            f"layer '{layer.name}' ({layer.class_name}) makes a mask (mask_zero); no rule for that"
        )
        raise UnsupportedError(msg)
    if masks and use is None:
        msg = f"layer '{layer.name}' ({layer.class_name}) gets a mask; its rule does not say what becomes of it"
        raise UnsupportedError(msg, hint="a rule says so with @layer(..., mask=...)")
    given = [name for name in masks if not name.removeprefix("mask_").isdigit()]
    if given and use != "use":
        msg = (
            f"layer '{layer.name}' ({layer.class_name}) is called with {given[0]}; no rule for that"
        )
        raise UnsupportedError(msg)


def output_masks(
    found: Lowered | None,
    use: str | None,
    names: Mapping[str, tuple[str, Shape]],
    made: Mapping[str, tuple[str, Shape]],
) -> list[tuple[str, Shape] | None]:
    """Return the masks of a layer's outputs.

    Args:
        found: what a rule returned that names its outputs.
        use: what the layer does with masks.
        names: the masks that reach it.
        made: all values of its steps, by the rule's own names.
    """
    if use == "pass":
        return [names.get("mask_0")]
    if use == "use" and found is not None:
        known = {**made, **names}
        return [None if name is None else known[name] for name in found.masks]
    return []


def masked_outputs(graph: Graph, values: Mapping[TensorRef, Value]) -> list[str]:
    """Return a note for every output that has a mask."""
    return [
        f"output '{ref.layer}' has a mask: Keras multiplies its training loss and metrics by it; the module returns "
        "the output alone"
        for ref in graph.outputs
        if ref in values and values[ref].mask is not None
    ]


PASSING = frozenset(("QuantizedDense", "Float8Dense"))
"""Classes of the converter's own for layers of Keras that hand a mask on."""
MASKLESS = frozenset(
    (
        "AdaptiveAveragePooling1D",
        "AdaptiveAveragePooling2D",
        "AdaptiveAveragePooling3D",
        "AdaptiveMaxPooling1D",
        "AdaptiveMaxPooling2D",
        "AdaptiveMaxPooling3D",
        "AveragePooling1D",
        "AveragePooling2D",
        "AveragePooling3D",
        "CategoryEncoding",
        "CenterCrop",
        "Conv1D",
        "Conv1DTranspose",
        "Conv2D",
        "Conv2DTranspose",
        "Conv3D",
        "Conv3DTranspose",
        "Cropping1D",
        "Cropping2D",
        "Cropping3D",
        "DepthwiseConv1D",
        "DepthwiseConv2D",
        "Discretization",
        "EinsumDense",
        "Flatten",
        "Float8EinsumDense",
        "GlobalAveragePooling2D",
        "GlobalAveragePooling3D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "GlobalMaxPooling3D",
        "Hashing",
        "IntegerLookup",
        "MaxPooling1D",
        "MaxPooling2D",
        "MaxPooling3D",
        "Permute",
        "RMSNormalization",
        "RepeatVector",
        "QuantizedEinsumDense",
        "Reshape",
        "Resizing",
        "SeparableConv1D",
        "SeparableConv2D",
        "SpectralNormalization",
        "SlicingOpLambda",
        "StringLookup",
        "TFOpLambda",
        "TensorFlowOpLayer",
        "UpSampling1D",
        "UpSampling2D",
        "UpSampling3D",
        "ZeroPadding1D",
        "ZeroPadding2D",
        "ZeroPadding3D",
    )
)
"""Keras's own layers that lose a mask (`supports_masking` is False, keras 3.15.1); a test asks the installed Keras."""
