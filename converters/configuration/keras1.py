"""What Keras 1 called settings and classes, in the words of Keras 3; some of the words lived on in Keras 2."""

from __future__ import annotations

from collections.abc import Mapping

from converters.configuration.spatial_words import RENAMED_CLASSES, SPATIAL_SETTINGS

_RECURRENT_SETTINGS = {
    "output_dim": "units",
    "inner_activation": "recurrent_activation",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}
_KINDS = ("regularizer", "constraint")
# Keras 1 and 2 words to Keras 3's, by class; "*" holds for every class.
RENAMED_SETTINGS: dict[str, dict[str, str]] = {
    "*": {
        "batch_input_shape": "batch_shape",
        "bias": "use_bias",
        "dim_ordering": "data_format",
        **{f"W_{kind}": f"kernel_{kind}" for kind in _KINDS},
        **{f"U_{kind}": f"recurrent_{kind}" for kind in _KINDS},
        **{f"b_{kind}": f"bias_{kind}" for kind in _KINDS},
    },
    "Dense": {"output_dim": "units"},
    "MaxoutDense": {"output_dim": "units"},
    "Embedding": {f"W_{kind}": f"embeddings_{kind}" for kind in _KINDS},
    **SPATIAL_SETTINGS,
    **{
        name: {"p": "rate"}
        for name in (
            "Dropout",
            "GaussianDropout",
            *(f"SpatialDropout{rank}D" for rank in (1, 2, 3)),
        )
    },
    "GaussianNoise": {"sigma": "stddev"},
    "SimpleRNN": _RECURRENT_SETTINGS,
    "LSTM": _RECURRENT_SETTINGS,
    "GRU": _RECURRENT_SETTINGS,
    "LeakyReLU": {"alpha": "negative_slope"},
}


_FURTHER_CLASSES = {
    "TimeDistributedDense": "Dense",  # Dense of later versions works on the last axis, whatever lies before it
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "Deconvolution2D": "Conv2DTranspose",
}


def rename_class(class_name: str) -> str:
    """Return what Keras 3 calls a class of Keras 1 or 2."""
    return {**RENAMED_CLASSES, **_FURTHER_CLASSES}.get(class_name, class_name)


def rename_settings(class_name: str, settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of Keras 1 or 2 under the names that Keras 3 gives them; values stay as they are."""
    renamed = RENAMED_SETTINGS["*"] | RENAMED_SETTINGS.get(class_name, {})
    return {renamed.get(key, key): value for key, value in settings.items()}
