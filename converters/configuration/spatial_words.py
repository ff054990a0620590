"""What Keras 1 and 2 called the settings of convolutions, poolings and resizing, in the words of Keras 3."""

from __future__ import annotations

from collections.abc import Mapping

from converters.errors import UnsupportedError

RENAMED_CLASSES = {f"Convolution{rank}D": f"Conv{rank}D" for rank in (1, 2, 3)}
"""Keras 1 names; later ones write the short ones."""
_POOLINGS = tuple(f"{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (1, 2, 3))
_FORMATTED = (
    "Flatten",
    *(f"Global{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (2, 3)),
    *(f"{kind}{rank}D" for kind in ("UpSampling", "ZeroPadding", "Cropping") for rank in (2, 3)),
)
_CONVOLUTION = {
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "border_mode": "padding",
    "subsample": "strides",
    "subsample_length": "strides",
    "dim_ordering": "data_format",
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
}
_POOLING = {
    "pool_length": "pool_size",
    "stride": "strides",
    "border_mode": "padding",
    "dim_ordering": "data_format",
}
SPATIAL_SETTINGS: dict[str, dict[str, str]] = {
    **dict.fromkeys(RENAMED_CLASSES.values(), _CONVOLUTION),
    **dict.fromkeys(_POOLINGS, _POOLING),
    **{name: {"dim_ordering": "data_format"} for name in _FORMATTED},
    "UpSampling1D": {"length": "size"},
    "ConvLSTM2D": {
        **_CONVOLUTION,
        "inner_activation": "recurrent_activation",
        "dropout_W": "dropout",
        "dropout_U": "recurrent_dropout",
        "U_regularizer": "recurrent_regularizer",
    },
}
_KERNEL_SIZES = {
    "Conv2D": ("nb_row", "nb_col"),
    "ConvLSTM2D": ("nb_row", "nb_col"),
    "Conv3D": ("kernel_dim1", "kernel_dim2", "kernel_dim3"),
}
"""Keras 1 stored the axes of a kernel one by one."""


def settle_spatial(
    class_name: str, settings: Mapping[str, object], *, standalone: bool = False
) -> dict[str, object]:
    """Return renamed settings with Keras 3's values; `standalone`: written by Keras 2 as a package of its own.

    Raises:
        UnsupportedError: Keras 1 convolutions in Theano's order: their kernels are stored in another layout, and flipped
            if Theano trained them, which the file does not tell.
    """
    result = dict(settings)
    parts = _KERNEL_SIZES.get(class_name, ())
    if parts and all(part in result for part in parts):
        result["kernel_size"] = [result.pop(part) for part in parts]
    if standalone and result.get("interpolation") == "bilinear":
        result["interpolation"] = "bilinear between corners"  # TensorFlow 1; no torch mode is that
    order = result.get("data_format")
    if order == "th" and class_name in (*RENAMED_CLASSES.values(), "ConvLSTM2D"):
        msg = f"layer '{result.get('name')}' ({class_name}): dim_ordering 'th' stores kernels in Theano's layout"
        raise UnsupportedError(msg, hint="save the model with dim_ordering='tf'")
    if order in ("tf", "th", "default"):
        result["data_format"] = {"th": "channels_first"}.get(str(order), "channels_last")
    return result
