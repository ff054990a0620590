"""A user's own function for images, read from its stored bytecode. It is never made into a function, and never run.

A policy with `cnn_extractor=small_cnn` keeps that function by value. What it does is mostly a chain of `conv`, `conv_to_fc`,
`linear` and an activation with constants as arguments. The instructions of such a chain are followed here with names in the
place of values; anything else (branches, loops, other calls) gives no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.agents.stable_baselines.bytecode import Follower, Name, Unknown, code_of
from converters.readers.pickles import Reference


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One layer of variables.

    Attributes:
        stride: of a convolution; 0: a dense layer.
        padding: "VALID" or "SAME".
        activation: behind it, TensorFlow's name; "identity": none.
    """

    name: str
    stride: int
    padding: str
    activation: str


@dataclass(frozen=True, slots=True)
class _Value:
    """The images, or what became of them: the layers so far."""

    layers: tuple[ImageLayer, ...] = ()


_CONSTANTS_OF_INITIALIZERS = ("sqrt",)


def read_extractor(function: object) -> list[ImageLayer] | None:
    """Return the layers of a stored function; None: it is none, or does more than a chain of layers.

    Args:
        function: as cloudpickle stores it: a call that would make it from a code object.
    """
    if isinstance(function, Reference):
        return None
    code = code_of(function)
    if code is None:
        return None
    try:
        result = _ExtractorFollower(code, _Value()).run()
    except (Unknown, IndexError, KeyError, TypeError, ValueError):
        return None
    return list(result.layers) if isinstance(result, _Value) else None


class _ExtractorFollower(Follower):
    """Takes the first argument for the images."""

    def call(
        self, function: object, arguments: Sequence[object], named: Mapping[str, object]
    ) -> object:
        """Return the images behind one more layer, or the constant of an initializer."""
        if not isinstance(function, Name):
            raise Unknown
        name = function.path.rpartition(".")[2]
        value = arguments[0] if arguments else named.get("input_tensor")
        if not isinstance(value, _Value):
            if name in _CONSTANTS_OF_INITIALIZERS:
                return 0.0
            raise Unknown
        if name == "conv":
            return _with_layer(value, _convolution(arguments, named))
        if name == "linear":
            scope = arguments[1] if len(arguments) > 1 else named["scope"]
            return _with_layer(value, ImageLayer(str(scope), 0, "VALID", "identity"))
        if name in ("conv_to_fc", "flatten"):
            return value
        if len(arguments) == 1 and not named and value.layers:  # an activation
            *before, last = value.layers
            if last.activation != "identity":
                raise Unknown
            return _Value((*before, ImageLayer(last.name, last.stride, last.padding, name)))
        raise Unknown


def _with_layer(value: _Value, layer: ImageLayer) -> _Value:
    return _Value((*value.layers, layer))


def _convolution(arguments: Sequence[object], named: Mapping[str, object]) -> ImageLayer:
    """Return the layer of `conv(input_tensor, scope, *, n_filters, filter_size, stride, pad="VALID", ...)`."""
    scope = arguments[1] if len(arguments) > 1 else named["scope"]
    stride, padding = named["stride"], named.get("pad", "VALID")
    layout = named.get("data_format", "NHWC")
    if not isinstance(scope, str) or not isinstance(stride, int) or layout != "NHWC":
        raise Unknown
    if padding not in ("VALID", "SAME"):
        raise Unknown
    return ImageLayer(scope, stride, str(padding), "identity")
