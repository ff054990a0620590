"""What Keras 1 and 2 called the settings of convolutions, poolings and resizing, in the words of Keras 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.matching.stored_forms import CHANNELS_FIRST

RENAMED_CLASSES = {f"Convolution{rank}D": f"Conv{rank}D" for rank in (1, 2, 3)}
"""Keras 1 names; later ones write the short ones."""
_POOLINGS = tuple(f"{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (1, 2, 3))
UNSTATED = tuple(
    f"{kind}{rank}D"
    for kind in ("UpSampling", "ZeroPadding", "Cropping", "SpatialDropout")
    for rank in (2, 3)
)
"""Layers whose order of axes Keras 1 did not store."""
_CONVOLUTION = {
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "border_mode": "padding",
    "subsample": "strides",
    "subsample_length": "strides",
    "atrous_rate": "dilation_rate",
}
_POOLING = {
    "pool_length": "pool_size",
    "stride": "strides",
    "border_mode": "padding",
}
SPATIAL_SETTINGS: dict[str, dict[str, str]] = {
    **dict.fromkeys(
        (
            *RENAMED_CLASSES.values(),
            *("Conv2DTranspose", "SeparableConv2D", "LocallyConnected1D", "LocallyConnected2D"),
        ),
        _CONVOLUTION,
    ),
    **dict.fromkeys(_POOLINGS, _POOLING),
    "UpSampling1D": {"length": "size"},
    "ConvLSTM2D": {
        **_CONVOLUTION,
        "inner_activation": "recurrent_activation",
        "dropout_W": "dropout",
        "dropout_U": "recurrent_dropout",
    },
}
_KERNEL_SIZES = {
    **dict.fromkeys(
        ("Conv2D", "Conv2DTranspose", "SeparableConv2D", "ConvLSTM2D", "LocallyConnected2D"),
        ("nb_row", "nb_col"),
    ),
    "Conv3D": ("kernel_dim1", "kernel_dim2", "kernel_dim3"),
}
"""Keras 1 stored the axes of a kernel one by one."""
_SIDES = {
    "ZeroPadding1D": ("left_pad", "right_pad"),
    "ZeroPadding2D": ("top_pad", "bottom_pad", "left_pad", "right_pad"),
}
"""What Keras 1 called the sides of an image, and the order of their sizes without names."""


def settle_spatial(
    class_name: str,
    settings: Mapping[str, object],
    *,
    standalone: bool = False,
    channels_first: bool = False,
) -> dict[str, object]:
    """Return renamed settings with Keras 3's values.

    Args:
        class_name: what Keras 3 calls the layer.
        settings: under the names of Keras 3.
        standalone: written by Keras 2 as a package of its own.
        channels_first: the order of layers that do not state theirs.
    """
    result = dict(settings)
    parts = _KERNEL_SIZES.get(class_name, ())
    if parts and all(part in result for part in parts):
        result["kernel_size"] = [result.pop(part) for part in parts]
    if standalone and result.get("interpolation") == "bilinear":
        result["interpolation"] = "bilinear between corners"  # TensorFlow 1; no torch mode is that
    if channels_first and class_name in UNSTATED:
        result.setdefault("data_format", "th")
    if class_name in _SIDES:
        result["padding"] = _by_axis(result.get("padding"), _SIDES[class_name])
    order = result.get("data_format")
    if order == "th":
        result["kernel_order"] = CHANNELS_FIRST
    if order in ("tf", "th", "default"):
        result["data_format"] = {"th": "channels_first"}.get(str(order), "channels_last")
    return result


def _by_axis(padding: object, sides: Sequence[str]) -> object:
    """Return what Keras 1 stated for every side in pairs, one for each axis; other statements as they are."""
    if isinstance(padding, Mapping) and set(padding) <= set(sides):
        padding = [padding.get(side, 0) for side in sides]
    if len(sides) > 2 and isinstance(padding, (list, tuple)) and len(padding) == len(sides):
        return [list(padding[place : place + 2]) for place in range(0, len(sides), 2)]
    return padding


def is_channels_first(config: object) -> bool:
    """Tell whether all layers of a Keras 1 configuration that state an order have Theano's."""
    return _stated_orders(config) == {"th"}


def _stated_orders(config: object) -> set[object]:
    if isinstance(config, Mapping):
        own = {config["dim_ordering"]} if isinstance(config.get("dim_ordering"), str) else set()
        return own.union(*map(_stated_orders, config.values()))
    if isinstance(config, (list, tuple)):
        return set().union(*map(_stated_orders, config))
    return set()
