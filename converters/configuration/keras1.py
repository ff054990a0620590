"""What Keras 1 called settings and classes, in the words of Keras 3; some of the words lived on in Keras 2."""

from __future__ import annotations

from collections.abc import Mapping

from converters.configuration.spatial_words import RENAMED_CLASSES, SPATIAL_SETTINGS
from converters.errors import UnsupportedError

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


_FURTHER_CLASSES = {
    "TimeDistributedDense": "Dense",  # Dense of later versions works on the last axis, whatever lies before it
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
}
MERGE_MODES = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
    "dot": "Dot",
}
"""What the one layer `Merge` of Keras 1 became in later ones, by its mode."""


def settle_merge(class_name: str, config: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    """Return the layer of Keras 2 and 3 that computes what a `Merge` of Keras 1 does; other layers as they are.

    Raises:
        UnsupportedError: Its mode is a function, or it holds the models that it merges.
    """
    if class_name != "Merge":
        return class_name, config
    name, mode = config.get("name"), config.get("mode")
    if config.get("layers"):
        msg = f"layer '{name}' (Merge) joins the models inside it at the start of a Sequential; no rule for that"
        raise UnsupportedError(msg, hint="save the model with the functional interface")
    if config.get("mode_type", "raw") != "raw" or mode not in MERGE_MODES:
        msg = f"layer '{name}' (Merge) has mode {mode!r:.40}; known: {', '.join(MERGE_MODES)}"
        raise UnsupportedError(msg)
    settings = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
    if mode == "concat":
        settings["axis"] = config.get("concat_axis", -1)
    elif mode == "dot":
        settings |= {"axes": config.get("dot_axes", -1), "normalize": False}
    return MERGE_MODES[str(mode)], settings


def rename_class(class_name: str) -> str:
    """Return what Keras 3 calls a class of Keras 1 or 2."""
    return {**RENAMED_CLASSES, **_FURTHER_CLASSES}.get(class_name, class_name)


def rename_settings(class_name: str, settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of Keras 1 or 2 under the names that Keras 3 gives them; values stay as they are."""
    renamed = {**RENAMED_SETTINGS["*"], **RENAMED_SETTINGS.get(class_name, {})}
    return {renamed.get(key, key): value for key, value in settings.items()}
