"""What Keras 2 and tf.keras meant by their settings, and by leaving them out, in the words of Keras 3.

The same settings computed otherwise over the years: `hard_sigmoid`, the defaults of recurrent layers, how batch
normalization moves its statistics. Who wrote a file is its `Dialect`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from converters.configuration.keras1 import rename_settings
from converters.configuration.spatial_words import settle_spatial

# Keras 1 and 2 computed clip(0.2 x + 0.5), Keras 3 computes clip(x / 6 + 0.5).
KERAS2_ACTIVATIONS = {"hard_sigmoid": "hard_sigmoid_keras2"}
# Standalone Keras 2, by minor version and patch (keras 2.1.2 to 2.3.0, engine/topology.py, layers/normalization.py and
# backend/tensorflow_backend.py).
FIRST_KEPT_STATISTICS = (1, 3)
"""Keeps the statistics of frozen layers as they are; has TensorFlow's fused kernel for images."""
FIRST_SCALED_VARIANCE = (1, 4)
"""Scales the variance of a batch by n / (n - 1 - epsilon) before it is averaged."""
DEBIASED_AVERAGES = ((1, 3), (3, 0))
"""From the first to before the second, moving averages took the weight of their start away."""
PENALTY_OF_ONE = ((0, 3), (2, 0))
"""From the first to before the second, a `Bidirectional` counts the regularizers of the layer that was given, which shares
its losses with the forward copy, but none of the backward one's (keras 2.1.6, layers/wrappers.py,
`Wrapper.get_losses_for`)."""
ACTIVATION_SETTINGS = ("activation", "recurrent_activation")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Whose words a configuration speaks."""

    generation: int
    standalone: (
        tuple[int, int] | None
    )  # (0, 8) for Keras 2.0.8 as a package of its own; None: tf.keras or Keras 3
    fused_ranks: tuple[int, ...]  # of the inputs that TensorFlow's fused kernel normalized
    channels_first: bool = False  # the order of Keras 1's layers that do not state theirs
    is_of_either_tensorflow: bool = (
        False  # "2.2.4-tf": tf.keras of TensorFlow 1 or of 2.0 and 2.1, the file does not say
    )


def find_dialect(generation: int, version: str | None) -> Dialect:
    """Return the dialect of a Keras generation, and of the version where it is known ("2.2.4", "2.2.4-tf")."""
    standalone = _standalone(version)
    if generation != 2:
        return Dialect(generation, standalone, ())
    if standalone is not None:
        return Dialect(generation, standalone, (4,) if standalone >= FIRST_KEPT_STATISTICS else ())
    if (version or "").endswith("-tf"):  # fused images only, later ones volumes as well
        return Dialect(generation, None, (4,), is_of_either_tensorflow=True)
    return Dialect(generation, None, (4, 5))


def _standalone(version: str | None) -> tuple[int, int] | None:
    """Return minor version and patch of a Keras 2 that was its own package: not "2.2.4-tf", "2.12.0" or "2.4.3"."""
    match = re.fullmatch(r"2\.([0-3])\.(\d{1,9})", version or "")
    return None if match is None else (int(match[1]), int(match[2]))


def settle_settings(
    class_name: str, config: Mapping[str, object], dialect: Dialect
) -> dict[str, object]:
    """Return a layer's settings in the words of Keras 3, with what the dialect meant by leaving them out."""
    result = {key: _plain(value) for key, value in config.items()}
    if dialect.generation < 3:
        result = rename_settings(class_name, result)
        result = settle_spatial(
            class_name,
            result,
            standalone=dialect.standalone is not None,
            channels_first=dialect.channels_first,
        )
        for key in ACTIVATION_SETTINGS:
            if key in result:
                result[key] = _settle_activation(result[key], dialect)
        _settle_recurrent(class_name, result, dialect)
    if class_name == "TimeDistributed" and dialect.generation < 3:
        # Where the batch is free, all time steps made one large batch (keras 2.15, layers/rnn/time_distributed.py).
        result["statistics"] = "joint"
    if class_name == "LayerNormalization" and dialect.generation < 3:
        axes = result.get("axis")
        if isinstance(axes, list) and axes != sorted(axes):
            result["axes_as_written"] = True  # Keras 3 sorts them, and so what it stores
    if class_name == "BatchNormalization":
        _settle_normalization(result, dialect)
    return result


def _settle_activation(value: object, dialect: Dialect) -> object:
    """Return an activation in the words of Keras 3: its name, or the layer that it is."""
    if isinstance(value, str):
        return KERAS2_ACTIVATIONS.get(value, value)
    if not isinstance(value, Mapping):
        return value
    kind, config = value.get("class_name"), value.get("config")
    if not isinstance(kind, str) or not isinstance(config, Mapping):
        return value
    return {**value, "config": settle_settings(kind, config, dialect)}


def _settle_recurrent(class_name: str, config: dict[str, object], dialect: Dialect) -> None:
    if class_name in ("LSTM", "GRU", "ConvLSTM2D"):
        # Every file since Keras 2.3 states both; before, the defaults were these.
        config.setdefault("recurrent_activation", "hard_sigmoid_keras2")
    if class_name == "GRU":
        config.setdefault("reset_after", False)
    if class_name == "ConvLSTM2D" and dialect.generation < 2 and "strides" not in config:
        config["strides_left_out"] = True


def backward_config(forward: Mapping[str, object], dialect: Dialect) -> dict[str, object]:
    """Return the settings of the copy of a layer that a `Bidirectional` runs backwards."""
    config = {**forward, "go_backwards": not forward.get("go_backwards", False)}
    release = dialect.standalone
    if release is not None and PENALTY_OF_ONE[0] <= release < PENALTY_OF_ONE[1]:
        config |= {key: None for key in config if key.endswith("_regularizer")}
    return config


def _plain(value: object) -> object:
    """Return the number that TensorFlow 2.12 to 2.15 stored as an array of NumPy, anything else as it is."""
    if isinstance(value, Mapping) and value.get("class_name") == "__numpy__":
        return cast("Mapping[str, object]", value["config"])["value"]
    return value


def _settle_normalization(settings: dict[str, object], dialect: Dialect) -> None:
    """Say in words of the rule how statistics move; no Keras states it."""
    release = dialect.standalone
    if release is not None and DEBIASED_AVERAGES[0] <= release < DEBIASED_AVERAGES[1]:
        settings["moving_average"] = "debiased"
    if release is not None and release >= FIRST_SCALED_VARIANCE:
        settings["moving_variance"] = "keras2"
    if release is not None or dialect.generation == 1:
        # Only tf.keras 2 stops to normalize by the batch when a layer is frozen.
        kept = release is not None and release >= FIRST_KEPT_STATISTICS
        settings["statistics_when_frozen"] = "kept" if kept else "moved"
    elif dialect.is_of_either_tensorflow:
        settings["statistics_when_frozen"] = "used or kept"
    if dtype_of(settings, "float32") != "float64" and settings.get("virtual_batch_size") is None:
        settings["fused_ranks"] = dialect.fused_ranks  # the kernel has no float64
    axis = settings.get("axis", -1)
    if isinstance(axis, list) and len(axis) == 1:  # Keras 2 stored a list of one
        settings["axis"] = axis[0]


def dtype_of(config: Mapping[str, object], default: str) -> str:
    """Return the dtype a layer computes in; Keras 3 stores a policy, older ones a name."""
    value = config.get("dtype")
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, object]", value.get("config") or {})
        value = inner.get("name")
    return value if isinstance(value, str) else default
