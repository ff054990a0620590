"""Networks as Keras configurations, in the form `model.to_json` writes: what converted modules are measured on.

Their counterparts written by hand are in `benchmarks.subjects.plain_networks`, in the same order of layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.subjects.transitions import ACTIONS, OBSERVATION_SIZE

IMAGE_SIZE, CLASSES = 64, 10
TIME, FEATURES, UNITS = 32, 24, 64
TOKENS, WIDTH, HEADS, DEPTH = 64, 128, 4, 4
GATES = {"activation": "tanh", "recurrent_activation": "sigmoid"}
RESNET_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Channels inside of the blocks, and number of blocks: ResNet50."""


@dataclass(slots=True)
class _Model:
    """A functional configuration while it is written."""

    layers: list[dict[str, object]] = field(default_factory=list)

    def add(self, class_name: str, name: str, inputs: Sequence[str], **config: object) -> str:
        """Add a layer that is called with the outputs of others; returns its name."""
        nodes = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
        entry = {"class_name": class_name, "name": name, "config": {"name": name, **config}}
        self.layers.append({**entry, "inbound_nodes": nodes})
        return name

    def configuration(self, name: str, output: str) -> Mapping[str, object]:
        """Return the whole configuration."""
        config = {
            "name": name,
            "layers": self.layers,
            "input_layers": [[self.layers[0]["name"], 0, 0]],
            "output_layers": [[output, 0, 0]],
        }
        return {"class_name": "Functional", "config": config, "keras_version": "3.15.1"}


def resnet() -> Mapping[str, object]:
    """Return ResNet50 as `keras.applications` builds it, for small images."""
    model = _Model()
    shape = [None, IMAGE_SIZE, IMAGE_SIZE, 3]
    x = model.add("InputLayer", "image", [], batch_shape=shape, dtype="float32")
    x = model.add("ZeroPadding2D", "conv1_pad", [x], padding=[[3, 3], [3, 3]])
    x = _convolution(model, "conv1", x, 64, kernel=7, stride=2)
    x = model.add("ZeroPadding2D", "pool1_pad", [x], padding=[[1, 1], [1, 1]])
    x = model.add("MaxPooling2D", "pool1_pool", [x], pool_size=[3, 3], strides=[2, 2])
    for stage, (channels, blocks) in enumerate(RESNET_STAGES, start=2):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            name = f"conv{stage}_block{block}"
            y = _convolution(model, f"{name}_1", x, channels, stride=stride)
            y = _convolution(model, f"{name}_2", y, channels, kernel=3)
            if block == 1:
                x = _convolution(model, f"{name}_0", x, 4 * channels, stride=stride, relu=False)
            y = _convolution(model, f"{name}_3", y, 4 * channels, relu=False)
            x = model.add("Add", f"{name}_add", [x, y])
            x = model.add("Activation", f"{name}_out", [x], activation="relu")
    x = model.add("GlobalAveragePooling2D", "avg_pool", [x])
    return model.configuration("resnet", model.add("Dense", "logits", [x], units=CLASSES))


def _convolution(
    model: _Model,
    name: str,
    x: str,
    filters: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    relu: bool = True,
) -> str:
    x = model.add(
        "Conv2D",
        f"{name}_conv",
        [x],
        filters=filters,
        kernel_size=[kernel, kernel],
        strides=[stride, stride],
        padding="same" if kernel == 3 else "valid",
    )
    x = model.add("BatchNormalization", f"{name}_bn", [x], axis=3, epsilon=1.001e-5)
    return model.add("Activation", f"{name}_relu", [x], activation="relu") if relu else x


def lstm() -> Mapping[str, object]:
    """Return two LSTM layers and a dense one."""
    model = _Model()
    x = model.add("InputLayer", "signal", [], batch_shape=[None, TIME, FEATURES], dtype="float32")
    x = model.add("LSTM", "lstm_1", [x], units=UNITS, return_sequences=True, **GATES)
    x = model.add("LSTM", "lstm_2", [x], units=UNITS, **GATES)
    return model.configuration("lstm", model.add("Dense", "logits", [x], units=CLASSES))


def transformer() -> Mapping[str, object]:
    """Return four transformer blocks with the normalization behind, and a dense layer over the mean."""
    model = _Model()
    x = model.add("InputLayer", "tokens", [], batch_shape=[None, TOKENS, WIDTH], dtype="float32")
    for block in range(1, DEPTH + 1):
        name = f"block_{block}"
        y = model.add(
            "MultiHeadAttention",
            f"{name}_attention",
            [x, x],
            num_heads=HEADS,
            key_dim=WIDTH // HEADS,
        )
        x = model.add("Add", f"{name}_add_1", [x, y])
        x = model.add("LayerNormalization", f"{name}_norm_1", [x], axis=[-1], epsilon=1e-6)
        y = model.add("Dense", f"{name}_up", [x], units=4 * WIDTH, activation="gelu")
        y = model.add("Dense", f"{name}_down", [y], units=WIDTH)
        x = model.add("Add", f"{name}_add_2", [x, y])
        x = model.add("LayerNormalization", f"{name}_norm_2", [x], axis=[-1], epsilon=1e-6)
    x = model.add("GlobalAveragePooling1D", "mean", [x])
    return model.configuration("transformer", model.add("Dense", "logits", [x], units=CLASSES))


def dqn() -> Mapping[str, object]:
    """Return the guide's network 12-128-64-32-5 with its two dropouts."""
    model = _Model()
    shape = [None, OBSERVATION_SIZE]
    x = model.add("InputLayer", "observation", [], batch_shape=shape, dtype="float32")
    for index, units in enumerate((128, 64, 32), start=1):
        x = model.add("Dense", f"hidden_{index}", [x], units=units, activation="relu")
        if index < 3:
            x = model.add("Dropout", f"dropout_{index}", [x], rate=0.2)
    return model.configuration("dqn", model.add("Dense", "q_values", [x], units=ACTIONS))


CONFIGURATIONS = {"dqn": dqn, "resnet": resnet, "lstm": lstm, "transformer": transformer}
