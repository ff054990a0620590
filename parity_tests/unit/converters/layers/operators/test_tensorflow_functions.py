"""Functions of TensorFlow in configurations of Keras 2 compute what their documentation says, worked out with NumPy."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from converters.configuration.models import parse_model_config
from converters.errors import UnsupportedError
from converters.live.build import build_model
from converters.lowering import Lowering, lower_model

X = np.random.default_rng(1).normal(size=(3, 4, 6))
Y = np.random.default_rng(2).normal(size=(3, 4, 6))
Reference = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


def run(layers: list[dict[str, Any]]) -> Any:
    """Return the last layer's output for X and Y, in a network of inputs "x" and "y" and these layers."""
    inputs: list[dict[str, Any]] = [
        {
            "class_name": "InputLayer",
            "name": name,
            "config": {"name": name, "batch_input_shape": [None, 4, 6], "dtype": "float64"},
            "inbound_nodes": [],
        }
        for name in ("x", "y")
    ]
    config = {
        "name": "network",
        "layers": [*inputs, *layers],
        "input_layers": [["x", 0, 0], ["y", 0, 0]],
        "output_layers": [[layers[-1]["name"], 0, 0]],
    }
    text = json.dumps({"class_name": "Functional", "config": config})
    lowering = Lowering()
    architecture = lower_model(parse_model_config(text, generation=2), lowering)
    if lowering.problems:
        raise lowering.problems[0]
    return build_model(architecture, {})(torch.from_numpy(X), torch.from_numpy(Y)).numpy()


def operation(
    function: str, node: Any, name: str = "op", class_name: str = "TFOpLambda"
) -> dict[str, Any]:
    config = {"name": name, "trainable": True, "dtype": "float32", "function": function}
    return {"class_name": class_name, "name": name, "config": config, "inbound_nodes": [node]}


def softmax(x: NDArray[Any], axis: int = -1) -> NDArray[Any]:
    e = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def of_x(**kwargs: Any) -> list[Any]:
    return ["x", 0, 0, kwargs]


PAIR = [["x", 0, 0, {"axis": 1}], ["y", 0, 0, {"axis": 1}]]
WITH_Y = of_x(y=["y", 0, 0])
FUNCTIONS: dict[str, tuple[str, Any, Reference]] = {
    "two tensors": ("math.add", WITH_Y, lambda x, y: x + y),
    "operator": ("__operators__.add", of_x(y=2.0, name=None), lambda x, _: x + 2),
    "number first": ("math.subtract", ["_CONSTANT_VALUE", -1, 0.5, {"y": ["x", 0, 0]}], lambda x, _: 0.5 - x),
    "array": ("math.multiply", of_x(y=[1, 2, 3, 4, 5, 6]), lambda x, _: x * np.arange(1, 7)),
    "maximum": ("math.maximum", WITH_Y, np.maximum),
    "mean": ("math.reduce_mean", of_x(axis=-1, keepdims=True), lambda x, _: x.mean(-1, keepdims=True)),
    "sum over all": ("math.reduce_sum", of_x(axis=None), lambda x, _: x.sum()),
    "deviation": ("math.reduce_std", of_x(axis=[1, 2]), lambda x, _: x.std((1, 2))),
    "argmax along the batch by default": ("math.argmax", of_x(), lambda x, _: x.argmax(0)),
    "concat": ("concat", PAIR, lambda x, y: np.concatenate([x, y], 1)),
    "stack": ("stack", PAIR, lambda x, y: np.stack([x, y], 1)),
    "largest of two": (
        "nn.max_pool1d", of_x(ksize=2, strides=2, padding="VALID"), lambda x, _: x.reshape(3, 2, 2, 6).max(2),
    ),
    "mean of those inside": (
        "nn.avg_pool1d",
        of_x(ksize=[1, 3, 1], strides=[1, 2, 1], padding="SAME", data_format="NWC"),
        lambda x, _: np.stack([x[:, :3].mean(1), x[:, 2:].mean(1)], 1),
    ),
    "diagonal": ("linalg.diag_part", of_x(), lambda x, _: np.diagonal(x, axis1=1, axis2=2)),
    "trace": ("linalg.trace", of_x(), lambda x, _: np.trace(x, axis1=1, axis2=2)),
    "lower triangle": ("linalg.band_part", of_x(num_lower=-1, num_upper=0), lambda x, _: np.tril(x)),
    "upper triangle": ("linalg.band_part", of_x(num_lower=0, num_upper=-1), lambda x, _: np.triu(x)),
    "largest first": ("sort", of_x(direction="DESCENDING"), lambda x, _: np.sort(x)[..., ::-1]),
    "places of the largest first": (
        "argsort", of_x(axis=1, direction="DESCENDING"), lambda x, _: np.argsort(-x, 1),
    ),
    "sums from behind": (
        "math.cumsum", of_x(axis=1, reverse=True), lambda x, _: x[:, ::-1].cumsum(1)[:, ::-1],
    ),
    "from right to left": ("image.flip_left_right", of_x(), lambda x, _: x[:, ::-1]),
    "clip": ("clip_by_value", of_x(clip_value_min=-1, clip_value_max=0.5), lambda x, _: x.clip(-1, 0.5)),
    "softmax": ("nn.softmax", of_x(axis=1), lambda x, _: softmax(x, 1)),
    "leaky": ("nn.leaky_relu", of_x(alpha=0.25), lambda x, _: np.where(x > 0, x, 0.25 * x)),
    "reshape": ("reshape", of_x(shape=[-1, 24]), lambda x, _: x.reshape(-1, 24)),
    "transpose": ("compat.v1.transpose", of_x(perm=[0, 2, 1]), lambda x, _: x.transpose(0, 2, 1)),
    "matmul": (
        "linalg.matmul", of_x(b=["y", 0, 0], transpose_b=True), lambda x, y: x @ y.transpose(0, 2, 1)
    ),
    "where": (
        "where",
        ["_CONSTANT_VALUE", -1, [True, False, True, True, False, False], {"x": ["x", 0, 0], "y": 7.0}],
        lambda x, _: np.where([True, False, True, True, False, False], x, 7.0),
    ),
    "gather": ("compat.v1.gather", of_x(indices=[2, 0], axis=1), lambda x, _: x[:, [2, 0]]),
    "unit length": (
        "math.l2_normalize", of_x(axis=-1), lambda x, _: x / np.sqrt((x * x).sum(-1, keepdims=True))
    ),
    "pad": (
        "pad", of_x(paddings=[[0, 0], [1, 0], [0, 2]], constant_values=3.0),
        lambda x, _: np.pad(x, [(0, 0), (1, 0), (0, 2)], constant_values=3.0),
    ),
    "cast": ("cast", of_x(dtype="int32"), lambda x, _: x.astype(np.int32)),
    "reverse": ("reverse", of_x(axis=[1]), lambda x, _: x[:, ::-1]),
    "scaled": ("math.scalar_mul", ["_CONSTANT_VALUE", -1, 0.5, {"x": ["x", 0, 0]}], lambda x, _: x / 2),
    "bias": ("nn.bias_add", of_x(bias=[1, 2, 3, 4, 5, 6]), lambda x, _: x + np.arange(1, 7)),
    "checked shape": ("ensure_shape", of_x(shape=[None, 4, 6]), lambda x, _: x),
    "turned matrices": ("linalg.matrix_transpose", of_x(), lambda x, _: x.transpose(0, 2, 1)),
    "length": ("math.reduce_euclidean_norm", of_x(axis=2), lambda x, _: np.sqrt((x * x).sum(2))),
    "running sum": ("math.cumsum", of_x(axis=2), lambda x, _: x.cumsum(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_computes_what_tensorflow_documents(name: str) -> None:
    function, node, reference = FUNCTIONS[name]

    found = run([operation(function, node)])

    np.testing.assert_allclose(found, reference(X, Y), rtol=1e-12, atol=1e-12)


def test_slices_are_read() -> None:
    whole = {"start": None, "stop": None, "step": None}
    node = of_x(slice_spec=[whole, 1, {"start": 1, "stop": None, "step": 2}])

    found = run([operation("__operators__.getitem", node, class_name="SlicingOpLambda")])

    np.testing.assert_array_equal(found, X[:, 1, 1::2])


def test_second_part_of_a_split_is_found() -> None:
    split = operation("split", of_x(num_or_size_splits=[2, 4], axis=-1), name="split")
    doubled = operation("math.multiply", ["split", 0, 1, {"y": 2.0}])

    np.testing.assert_allclose(run([split, doubled]), 2 * X[:, :, 2:])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("math.reduce_meen", "no rule for the TensorFlow function 'math.reduce_meen'; nearest: reduce_mean"),
        ("strings.split", "no rule for the TensorFlow function 'strings.split'"),
        ("os.system", "no rule for the TensorFlow function 'os.system'"),
        ("", "no rule for the TensorFlow function ''"),
    ],
)  # fmt: skip
def test_unknown_function_is_refused_by_name(function: str, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message.replace("(", r"\(")):
        run([operation(function, of_x())])


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("math.cumsum", {"exclusive": True}),
        ("one_hot", {"depth": 3, "on_value": 2.0}),
        ("reshape", {"shape": [["y", 0, 0], 6]}),
        ("math.add", {"y": 1.0, "other": 3}),
        ("math.reduce_mean", {"axis": 7}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_argument_without_counterpart_is_refused(function: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=r"layer 'op'"):
        run([operation(function, of_x(**arguments))])


def test_each_sample_takes_its_own_places() -> None:
    best = operation("math.argmax", of_x(axis=1), "best")
    taken = operation("gather", ["x", 0, 0, {"indices": ["best", 0, 0], "batch_dims": 1}])

    found = run([best, taken])

    places = X.argmax(1)
    np.testing.assert_array_equal(
        found, np.stack([x[index] for x, index in zip(X, places, strict=True)])
    )


def test_places_before_a_length_are_masked() -> None:
    lengths = operation("math.argmax", of_x(axis=1), "lengths")
    mask = operation("sequence_mask", ["lengths", 0, 0, {"maxlen": 5, "dtype": "float32"}])

    np.testing.assert_array_equal(run([lengths, mask]), np.arange(5) < X.argmax(1)[..., None])


def test_places_of_deeper_batches_are_refused() -> None:
    best = operation("math.argmax", of_x(axis=2), "best")
    taken = operation("gather", ["x", 0, 0, {"indices": ["best", 0, 0], "batch_dims": 2}])

    with pytest.raises(UnsupportedError, match="0 or 1 is needed"):
        run([best, taken])


def test_inverse_and_determinant_are_of_the_last_two_axes() -> None:
    product = operation("linalg.matmul", of_x(b=["y", 0, 0], transpose_b=True), "product")
    square = X @ Y.transpose(0, 2, 1)

    for function, wanted in (
        ("linalg.inv", np.linalg.inv(square)),
        ("linalg.det", np.linalg.det(square)),
    ):
        found = run([product, operation(function, ["product", 0, 0, {"name": None}])])
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_blocks_of_cells_become_channels_and_channels_blocks() -> None:
    images = operation("reshape", of_x(shape=[-1, 2, 2, 6]), "images")
    deeper = operation("nn.space_to_depth", ["images", 0, 0, {"block_size": 2}], "deeper")
    back = operation("nn.depth_to_space", ["deeper", 0, 0, {"block_size": 2}], "back")

    np.testing.assert_array_equal(run([images, deeper]), X.reshape(3, 1, 1, 24))
    np.testing.assert_array_equal(run([images, deeper, back]), X.reshape(3, 2, 2, 6))


@pytest.mark.parametrize(
    ("function", "node", "said"),
    [
        ("einsum", ["_CONSTANT_VALUE", -1, "bij->bji", {}], "not what tensors it takes"),
        ("linalg.band_part", of_x(num_lower=1, num_upper=1), "a band"),
        ("nn.max_pool1d", of_x(ksize=2, strides=2, padding=[[0, 0], [1, 1], [0, 0]]), "SAME or"),
        ("nn.avg_pool1d", of_x(ksize=[2, 2, 1], strides=1, padding="SAME"), "along samples"),
    ],
)
def test_what_cannot_be_told_or_said_is_refused_by_name(
    function: str, node: Any, said: str
) -> None:
    with pytest.raises(UnsupportedError, match=said):
        run([operation(function, node)])
