"""Layers that a graph spreads over several operations are one layer of the converted network, and give what TensorFlow gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward

pytestmark = [pytest.mark.tf, pytest.mark.slow]
Arrays = dict[str, NDArray[Any]]
Built = tuple[Mapping[str, Any], Mapping[str, Any]]
UNITS, FEATURES = 3, 4


def weight(tf1: Any, name: str, *shape: int) -> Any:
    values = np.random.default_rng([7, *shape, len(name)]).normal(size=shape)
    return tf1.get_variable(name, initializer=(values * 0.5).astype(np.float32))


def over_time(tf1: Any, turn: Callable[..., Any], x: Any, states: list[Any]) -> list[Any]:
    """Return the outputs (batch, time, features) of a turn taken for every time, as `dynamic_rnn` does, and the states."""
    inputs = tf1.TensorArray(x.dtype, tf1.shape(x)[1]).unstack(tf1.transpose(x, [1, 0, 2]))

    def step(time: Any, outputs: Any, *before: Any) -> Any:
        output, after = turn(inputs.read(time), *before)
        return (time + 1, outputs.write(time, output), *after)

    time = tf1.shape(x)[1]
    start = (tf1.constant(0), tf1.TensorArray(x.dtype, time), *states)
    _, outputs, *after = tf1.while_loop(lambda now, *_: now < time, step, start)
    stacked = tf1.transpose(outputs.stack(), [1, 0, 2])
    stacked.set_shape([None, None, None])
    return [stacked, *after]


def cells_on_top_of_each_other(tf1: Any) -> Built:
    x = tf1.placeholder("float32", [None, None, FEATURES], name="x")
    first = [tf1.placeholder("float32", [None, UNITS], name=name) for name in ("c", "h")]
    kernel, bias = weight(tf1, "lstm/kernel", FEATURES + UNITS, 12), weight(tf1, "lstm/bias", 12)
    gates, gate_bias = weight(tf1, "gru/gates", 2 * UNITS, 6), weight(tf1, "gru/gate_bias", 6)
    entering, enter_bias = weight(tf1, "gru/w", 2 * UNITS, 3), weight(tf1, "gru/enter_bias", 3)
    projection = weight(tf1, "projection/kernel", UNITS, 2)
    none = tf1.zeros([UNITS])

    def turn(entry: Any, c: Any, h: Any, state: Any) -> Any:
        cell = tf1.raw_ops.LSTMBlockCell(
            x=entry, cs_prev=c, h_prev=h, w=kernel, wci=none, wcf=none, wco=none, b=bias,
            forget_bias=1.0, cell_clip=-1.0,
        )  # fmt: skip
        gru = tf1.raw_ops.GRUBlockCell(
            x=cell.h, h_prev=state, w_ru=gates, w_c=entering, b_ru=gate_bias, b_c=enter_bias
        )
        output = tf1.matmul(cell.h + gru.h, projection)
        return output, (cell.cs, cell.h, gru.h)

    zeros = tf1.zeros([tf1.shape(x)[0], UNITS])
    outputs, c, h, state = over_time(tf1, turn, x, [*first, zeros])
    return {"x": x, "c": first[0], "h": first[1]}, {"y": outputs, "c2": c, "h2": h, "s2": state}


def states_from_outside(tf1: Any) -> Built:
    x = tf1.placeholder("float32", [None, None, FEATURES], name="x")
    first = [tf1.placeholder("float32", [1, UNITS], name=name) for name in ("c", "h")]
    kernel, bias = weight(tf1, "cell/kernel", FEATURES + UNITS, 12), weight(tf1, "cell/bias", 12)

    def turn(entry: Any, c: Any, h: Any) -> Any:
        product = tf1.nn.bias_add(tf1.matmul(tf1.concat([entry, h], 1), kernel), bias)
        i, j, f, o = tf1.split(product, 4, axis=1)
        c = c * tf1.sigmoid(f + 1.0) + tf1.sigmoid(i) * tf1.tanh(j)
        h = tf1.tanh(c) * tf1.sigmoid(o)
        return h, (c, h)

    outputs, c, h = over_time(tf1, turn, x, first)
    return {"x": x, "c": first[0], "h": first[1]}, {"y": outputs, "c2": c, "h2": h}


def rows_that_end_early(tf1: Any) -> Built:
    x = tf1.placeholder("float32", [None, None, FEATURES], name="x")
    share = tf1.placeholder("float32", [None], name="share")
    lengths = tf1.cast(tf1.abs(share) * 4, "int32")
    kernel, bias = weight(tf1, "cell/kernel", FEATURES + UNITS, 3), weight(tf1, "cell/bias", 3)
    count = tf1.shape(x)[0]
    zeros = tf1.zeros([count, UNITS])
    inputs = tf1.TensorArray("float32", tf1.shape(x)[1]).unstack(tf1.transpose(x, [1, 0, 2]))

    def step(time: Any, outputs: Any, before: Any) -> Any:
        joined = tf1.concat([inputs.read(time), before], 1)
        new = tf1.tanh(tf1.nn.bias_add(tf1.matmul(joined, kernel), bias))
        ended = tf1.greater_equal(time, lengths)
        kept, shown = tf1.where(ended, before, new), tf1.where(ended, zeros, new)
        return time + 1, outputs.write(time, shown), kept

    longest = tf1.maximum(1, tf1.reduce_max(lengths))
    turns = tf1.minimum(tf1.shape(x)[1], longest)
    start = (tf1.constant(0), tf1.TensorArray("float32", tf1.shape(x)[1]), zeros)
    _, outputs, last = tf1.while_loop(lambda time, *_: time < turns, step, start)
    seen = tf1.transpose(outputs.gather(tf1.range(tf1.shape(x)[1])), [1, 0, 2])
    return {"x": x, "share": share}, {"y": seen, "last": last}


def layers_over_time(tf1: Any) -> Built:
    x = tf1.placeholder("float32", [None, 8, FEATURES], name="x")
    kernel, bias = weight(tf1, "dense/kernel", FEATURES, 5), weight(tf1, "dense/bias", 5)
    hidden = tf1.nn.relu(tf1.nn.bias_add(tf1.tensordot(x, kernel, [[2], [0]]), bias))
    window = weight(tf1, "conv/kernel", 3, 5, 6)
    image = tf1.nn.conv2d(
        tf1.expand_dims(hidden, 1), tf1.expand_dims(window, 0), [1, 1, 2, 1], "SAME"
    )
    moved = tf1.nn.bias_add(tf1.squeeze(image, [1]), weight(tf1, "conv/bias", 6))
    pooled = tf1.nn.max_pool2d(tf1.expand_dims(moved, 2), [1, 2, 1, 1], [1, 2, 1, 1], "VALID")
    return {"x": x}, {"hidden": hidden, "y": tf1.squeeze(pooled, [2])}


def frozen(build: Callable[[Any], Built], path: Path, counts: Mapping[str, tuple[int, ...]]) -> Any:
    """Write the checkpoint of a graph; return what TensorFlow gives for inputs of these shapes, and all names."""
    tensorflow = pytest.importorskip("tensorflow")
    tf1 = tensorflow.compat.v1
    tf1.raw_ops = tensorflow.raw_ops
    rng = np.random.default_rng(5)
    with tf1.Graph().as_default():
        tf1.disable_control_flow_v2()  # as dynamic_rnn of TensorFlow 1 loops
        try:
            inputs, outputs = build(tf1)
        finally:
            tf1.enable_control_flow_v2()
        feeds = {key: rng.normal(size=counts[key]).astype(np.float32) for key in inputs}
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            found = session.run(dict(outputs), {inputs[key]: feeds[key] for key in inputs})
            tf1.train.Saver().save(session, str(path))
        names = [{key: tensor.name for key, tensor in group.items()} for group in (inputs, outputs)]
    return feeds, found, *names


@pytest.mark.parametrize(
    ("build", "shapes", "modules"),
    [
        (
            cells_on_top_of_each_other,
            {"x": (5, 70, FEATURES), "c": (5, UNITS), "h": (5, UNITS)},
            ["LSTM", "GRU", "Linear"],
        ),
        (
            states_from_outside,
            {"x": (1, 9, FEATURES), "c": (1, UNITS), "h": (1, UNITS)},
            ["LSTM"],
        ),
        (rows_that_end_early, {"x": (7, 6, FEATURES), "share": (7,)}, ["MaskedSimpleRNN"]),
        (layers_over_time, {"x": (5, 8, FEATURES)}, ["Linear", "Conv1d", "MaxPool1d"]),
    ],
    ids=[
        "cells on top of each other",
        "states from outside",
        "rows that end early",
        "layers over time",
    ],
)
def test_layers_are_found_and_give_what_tensorflow_gives(
    build: Callable[[Any], Built],
    shapes: Mapping[str, tuple[int, ...]],
    modules: list[str],
    tmp_path: Path,
) -> None:
    feeds, wanted, inputs, outputs = frozen(build, tmp_path / "model", shapes)

    torchward.convert(tmp_path / "model", tmp_path / "out.pth", inputs=inputs, outputs=outputs)
    model = torchward.load(tmp_path / "out.pth")
    with torch.no_grad():
        found = model(**{key: torch.from_numpy(value) for key, value in feeds.items()})

    kinds = [type(each).__name__ for each in model.modules() if not list(each.children())]
    assert kinds == modules
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key].numpy(), value, rtol=2e-5, atol=2e-6, err_msg=key)


def test_signature_of_a_keras_model_finds_its_variables(tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    keras = tensorflow.keras

    class Actor(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            # Of one size: only the graph of objects tells them apart.
            self.first = keras.layers.Dense(4, "relu", bias_initializer="normal")
            self.second = keras.layers.Dense(4, bias_initializer="normal")

        def call(self, x: Any) -> Any:
            return self.second(self.first(x))

    keras.utils.set_random_seed(3)
    actor = Actor()
    x = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    wanted = np.tanh(np.asarray(actor(x)))
    serve = tensorflow.function(
        lambda observation: {"action": tensorflow.tanh(actor(observation))},
        input_signature=[tensorflow.TensorSpec([None, 4], "float32", "observation")],
    )
    tensorflow.saved_model.save(actor, str(tmp_path / "saved"), signatures=serve)

    torchward.convert(
        tmp_path / "saved", tmp_path / "out.pth", inputs=["observation"], outputs=["action"]
    )

    with torch.no_grad():
        found = torchward.load(tmp_path / "out.pth")(torch.from_numpy(x))["action"]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-5, atol=2e-6)
