"""The cases of test_layers.py: every example of every rule in both precisions, with what is known to differ and why."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import converters.layers  # noqa: F401  # fills LAYERS
from converters.registry import LAYERS, Example

BATCH = 9
TOLERANCE = {"float64": 1e-12, "float32": 5e-6}
"""Relative to the largest value, at least 1. float64 shows that the formulas are equal: a few roundings of 1e-16.
float32 is held against the float64 reference: some ten roundings of 6e-8, and eight digits lost in an exponential."""
OF_APPLICATIONS = {
    **dict.fromkeys(("LayerScale", "StochasticDepth"), "convnext"),
    "CustomScaleLayer": "inception_resnet_v2",
}
"""Not in keras.layers: Keras has them for its own networks, in these modules of keras.applications."""
ELSEWHERE = (
    *("RNN", "StackedRNNCells", "LSTMCell", "GRUCell", "SimpleRNNCell"),  # test_cells.py
    *("Sequential", "Functional", "Model"),  # inside a wrapper: test_wrappers.py
    *(
        "TFOpLambda",
        "SlicingOpLambda",
        "TensorFlowOpLayer",
    ),  # operators/: Keras 3 writes no such layer
    "StringLookup",  # test_text.py: words are no numbers
    "TextVectorization",
    *("IndexLookup", "TFDConcat", "TFDIdentity"),  # test_text.py: of words, and of a FeatureSpace
    "Variable",  # test_tensorflow_graphs.py: Keras has no such layer
)
"""Compared with Keras in unit/converters/layers: their arguments or calls are more than an example can say."""
KERAS_2_ONLY = (
    *("ThresholdedReLU", "RandomHeight", "RandomWidth", "Equalization"),
    *("MaxoutDense", "Highway", "SReLU", "ParametricSoftplus", "Merge"),
    *("LocallyConnected1D", "LocallyConnected2D"),
)
"""Keras 3 has no such class, or builds no model with it; worked by hand in unit/converters and unit/torch_impl, recorded in
test_recorded.py."""
NOT_IN_H5 = dict.fromkeys(
    (
        *("RandomBrightness", "RandomColorDegeneration", "RandomPosterization"),
        *("RandomSaturation", "RandomSharpness", "Solarization"),
    ),
    "Keras 3.15.1 cannot copy their configuration: it holds their seed generator, with the backend's module",
)
"""Keras writes these to .keras and .weights.h5 only."""
ROUNDED_CONSTANTS = {
    "leaky_relu": "the slope is a float32 attribute of TensorFlow's LeakyRelu",
    "LeakyReLU": "as leaky_relu",
    "ReLU-0.1-6": "as leaky_relu",
    "UpSampling2D-2-bilinear": "tf.image.resize gives float32 whatever it gets",
    "gelu": "tf.nn.gelu makes sqrt(2) a float32 constant before it casts it",
    "MultiHeadAttention": "Keras makes 1 / sqrt(size) a float32 constant",
    "GroupQueryAttention": "as MultiHeadAttention",
    "Rescaling": "Keras makes the scale a float32 constant before it casts it",
    "hard_sigmoid": "the backward pass of torch multiplies by a float32 sixth",
}
ROUNDED_CONSTANT_TOLERANCE = 1e-7
"""One float32 rounding of a constant (6e-8), in networks of float64 only."""
FLOAT32_ONLY = (
    dict.fromkeys(
        (
            *("AveragePooling3D", "MaxPooling3D"),
            *("AdaptiveAveragePooling3D", "AdaptiveMaxPooling3D"),
        ),
        "TensorFlow has no kernel for float64 on the CPU",
    )
    | dict.fromkeys(
        ("Resizing", "CenterCrop-6", "UpSampling2D-3-bicubic"),
        "tf.image.resize computes in float32 whatever it gets",
    )
    | {
        "ContrastLimitedAdaptiveHistogramEqualization": "Keras casts the images to float32",
        "MelSpectrogram": "Keras makes the bands of float32, and decibels of float64 not at all",
    }
)
"""Held against the float32 layer."""
CANCELLING = {
    "MultiHeadAttention": "key/bias",
    "GroupQueryAttention": "key/bias",
}
"""Weights whose exact gradient is 0: softmax does not see the key's bias, so in float32 the terms cancel to rounding."""
CANCELLING_TOLERANCE = 2e-4
"""float32 roundings of terms up to some hundred, where the sum is 0; float64 is held to the usual limit."""
BENDS = {
    "celu": "Keras adds the gradients of both sides at 0, torch takes one",
    "selu": "at 0 TensorFlow takes the slope of the right, torch of the left",
    "hard_tanh": "at -1 and 1 TensorFlow takes the inner slope, torch the outer",
    "PReLU": "at 0 Keras's relu(x) - alpha * relu(-x) has slope 0, nn.PReLU alpha",
}
"""Gradients exactly at a bend are a convention: there these inputs are moved off it. All others must agree there too."""
TIES = {
    "MaxPooling3D": "TensorFlow gives every largest cell of a window the whole gradient, torch the first",
    "AdaptiveMaxPooling3D": "as MaxPooling3D",
    "AutoContrast": "the gradient of an image of one value is 0 / 0",
    "MelSpectrogram": "a constant sound has magnitudes of nothing but rounding, whose slope is anything",
}
"""As BENDS: without equal cells there. In one and two dimensions both give it to the first."""
CORNERS = (0.0, 1.0, -1.0, 6.0, 0.5, 3.0, -3.0, -0.5, 2.0)
"""Where activations bend: the first feature of every sample takes one of them."""


PADDING = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 1, 0, 0],
        [1, 0, 1, 1, 0, 1, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1],
        [0, 1, 1, 1, 1, 1, 1],
    ],
    dtype=bool,
)
"""Masked steps of each sample, where an example masks: none, at the end, all, at the start, in between."""
NEEDS_A_STEP = dict.fromkeys(
    ("GlobalAveragePooling1D", "Attention", "AdditiveAttention"),
    "without a step left, the mean is 0 / 0, and Keras's scores are what rounding leaves of them beside 1e9",
)
"""Their last step is never masked."""


@dataclass(frozen=True)
class Case:
    """One example of one rule in one precision."""

    class_name: str
    index: int
    dtype: str

    @property
    def example(self) -> Example:
        """The example of the rule."""
        return LAYERS[self.class_name].examples[self.index]

    @property
    def draws(self) -> np.random.Generator:
        """The generator of the weights: the same in both precisions, whatever ran before."""
        return np.random.default_rng(zlib.crc32(f"{self.class_name} {self.index}".encode()))

    @property
    def tolerance(self) -> float:
        """The largest difference allowed, relative to the largest value or 1."""
        if self.dtype == "float64" and self._matches(ROUNDED_CONSTANTS):
            return ROUNDED_CONSTANT_TOLERANCE
        return TOLERANCE[self.dtype]

    @property
    def cancelling(self) -> str | None:
        """The weight whose gradient is nothing but rounding in this case."""
        return CANCELLING.get(self.class_name) if self.dtype == "float32" else None

    @property
    def avoids_bends(self) -> bool:
        """Whether the inputs are moved off the corners of activations."""
        return self._matches(BENDS)

    @property
    def float32_only(self) -> bool:
        """Whether TensorFlow or Keras has nothing but float32 here."""
        return self._matches(FLOAT32_ONLY)

    def _matches(self, names: Mapping[str, str]) -> bool:
        return any(str(self).removeprefix("Activation-").startswith(f"{name}-") for name in names)

    def __str__(self) -> str:
        words = [str(value) for value in self.example.kwargs.values()]
        shapes = "+".join("x".join(map(str, shape)) for shape in self.example.shapes)
        masked = ["masked"] if self.example.masked or self.example.pooled else []
        return "-".join([self.class_name, *words, shapes, *masked, self.dtype])


CASES = [
    case
    for class_name, rule in sorted(LAYERS.items())
    for index in range(len(rule.examples))
    for dtype in TOLERANCE
    if not (case := Case(class_name, index, dtype)).float32_only or dtype == "float32"
]


def layer_class(name: str) -> type[Any]:  # Keras has no types
    """Return the Keras class of a rule."""
    import keras

    module = keras.layers
    if name in OF_APPLICATIONS:
        module = importlib.import_module(f"keras.src.applications.{OF_APPLICATIONS[name]}")
    found: type[Any] = getattr(module, name)
    return found


def inputs_of(case: Case) -> list[NDArray[np.float32]]:
    """Return inputs with negatives, zeros, corners of activations, and ties between inputs and inside rows."""
    draws = np.random.default_rng(zlib.crc32(f"inputs {case.class_name} {case.index}".encode()))
    result = []
    for index, shape in enumerate(case.example.shapes):
        if case.example.below is not None:
            result.append(
                draws.integers(case.example.below, size=(BATCH, *shape)).astype(np.float32)
            )
            continue
        x = (2 * draws.normal(size=(BATCH, *shape))).astype(np.float32)
        flat = x.reshape(BATCH, -1)
        # The same in every input: ties for Maximum and Minimum.
        flat[:, 0] = np.add(CORNERS, 0.125) if case.avoids_bends else CORNERS
        if case.class_name not in TIES:
            flat[3] = 0.25  # all equal: ties inside the row
        flat[4, -1] *= 40.0
        if index in case.example.masked:
            x[PADDING[:BATCH, index : index + x.shape[1]]] = 0.0
            if case.example.pooled or case.class_name in NEEDS_A_STEP:
                x[:, -1] += 0.5
        result.append(x)
    return result


def upstream_of(case: Case, shape: Sequence[int]) -> NDArray[np.float32]:
    """Return what the gradients of the outputs are multiplied by."""
    draws = np.random.default_rng(zlib.crc32(f"upstream {case.class_name}".encode()))
    return draws.normal(size=tuple(shape)).astype(np.float32)


def input_dtype(case: Case, dtype: str) -> str:
    """Return the dtype of the inputs: integers where the example draws such."""
    return dtype if case.example.below is None else "int32"
