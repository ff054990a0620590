"""What Keras 1 called settings and classes, in the words of Keras 3; some of the words lived on in Keras 2."""

from __future__ import annotations

from collections.abc import Mapping

from converters.spatial_words import RENAMED_CLASSES, SPATIAL_SETTINGS

_RECURRENT_SETTINGS = {
    "output_dim": "units",
    "inner_activation": "recurrent_activation",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
}
# Keras 1 and 2 words to Keras 3's, by class; "*" holds for every class.
RENAMED_SETTINGS: dict[str, dict[str, str]] = {
    "*": {"batch_input_shape": "batch_shape"},
    "Dense": {
        "output_dim": "units",
        "bias": "use_bias",
        "W_regularizer": "kernel_regularizer",
        "b_regularizer": "bias_regularizer",
    },
    **SPATIAL_SETTINGS,
    "Dropout": {"p": "rate"},
    "SimpleRNN": _RECURRENT_SETTINGS,
    "LSTM": _RECURRENT_SETTINGS,
    "GRU": _RECURRENT_SETTINGS,
    "LeakyReLU": {"alpha": "negative_slope"},
}


def rename_class(class_name: str) -> str:
    """Return what Keras 3 calls a class of Keras 1 or 2."""
    return RENAMED_CLASSES.get(class_name, class_name)


def rename_settings(class_name: str, settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of Keras 1 or 2 under the names that Keras 3 gives them; values stay as they are."""
    renamed = {**RENAMED_SETTINGS["*"], **RENAMED_SETTINGS.get(class_name, {})}
    return {renamed.get(key, key): value for key, value in settings.items()}
