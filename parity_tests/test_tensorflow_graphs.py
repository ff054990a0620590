"""Graphs of TensorFlow 1 and 2 as people write them, against what TensorFlow computes on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.live.model import ConvertedModel

pytestmark = pytest.mark.tf
Arrays = dict[str, NDArray[Any]]
Built = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Inputs and outputs of a graph by name."""
tf1: Any = None


@pytest.fixture(scope="module", autouse=True)
def tensorflow() -> Iterator[None]:
    global tf1
    tf = pytest.importorskip("tensorflow")
    tf1 = tf.compat.v1
    yield
    tf1 = None


@pytest.fixture(params=["frames", "functions"])
def control_flow(request: pytest.FixtureRequest) -> Iterator[str]:
    """Conditions and loops as TensorFlow 1 wrote them, and as TensorFlow 2 does."""
    if request.param == "frames":
        tf1.disable_control_flow_v2()
    yield request.param
    tf1.enable_control_flow_v2()


@contextmanager
def fresh_graph(seed: int = 3) -> Iterator[Any]:
    with tf1.Graph().as_default() as graph:
        tf1.set_random_seed(seed)
        yield graph


def weight(name: str, *shape: int, seed: int = 0) -> Any:
    rng = np.random.default_rng([seed, *shape, len(name)])
    values = rng.normal(size=shape).astype(np.float32) * 0.5
    return tf1.get_variable(name, initializer=values)


def dense(x: Any, units: int, name: str) -> Any:
    with tf1.variable_scope(name):
        return tf1.matmul(x, weight("kernel", x.shape[-1], units)) + weight("bias", units)


def observation(*shape: int | None, name: str = "x", dtype: str = "float32") -> Any:
    return tf1.placeholder(dtype, shape, name=name)


def slim_batch_norm() -> Built:
    x, training = observation(None, 6), tf1.placeholder(tf1.bool, (), name="is_training")
    h = tf1.matmul(x, weight("fc/weights", 6, 5))
    with tf1.variable_scope("fc/BatchNorm"):
        beta, gamma = weight("beta", 5), weight("gamma", 5, seed=2)
        mean = weight("moving_mean", 5)
        variance = tf1.get_variable(
            "moving_variance", initializer=np.linspace(0.5, 2, 5).astype(np.float32)
        )
    batch = tf1.nn.moments(h, [0])
    used_mean, used_variance = tf1.cond(
        training, lambda: tuple(batch), lambda: (tf1.identity(mean), tf1.identity(variance))
    )
    h = tf1.nn.batch_normalization(h, used_mean, used_variance, beta, gamma, 0.001)
    return {"x": x}, {"y": tf1.nn.relu(h)}


def dueling_q_network() -> Built:
    x = observation(None, 7)
    h = tf1.nn.relu(dense(x, 9, "q/fc1"))
    value, advantage = dense(h, 1, "q/value"), dense(h, 4, "q/advantage")
    q = value + advantage - tf1.reduce_mean(advantage, axis=1, keepdims=True)
    action = tf1.argmax(q, axis=1)
    taken = tf1.reduce_sum(q * tf1.one_hot(action, 4), axis=1)
    return {"x": x}, {"q": q, "action": action, "value_of_action": taken}


def lstm_cell_over_time() -> Built:
    x = observation(None, 5, 4)
    kernel, bias = weight("rnn/cell/kernel", 4 + 3, 12), weight("rnn/cell/bias", 12)

    def step(time: Any, c: Any, h: Any, outputs: Any) -> Any:
        gates = tf1.matmul(tf1.concat([inputs.read(time), h], 1), kernel)
        i, j, f, o = tf1.split(tf1.nn.bias_add(gates, bias), 4, axis=1)
        c = tf1.add(c * tf1.sigmoid(f + 1.0), tf1.sigmoid(i) * tf1.tanh(j))
        h = tf1.tanh(c) * tf1.sigmoid(o)
        return time + 1, c, h, outputs.write(time, h)

    inputs = tf1.TensorArray(tf1.float32, 5).unstack(tf1.transpose(x, [1, 0, 2]))
    zeros = tf1.zeros([tf1.shape(x)[0], 3])
    start = (tf1.constant(0), zeros, zeros, tf1.TensorArray(tf1.float32, 5))
    _, c, h, outputs = tf1.while_loop(lambda time, *_: time < 5, step, start)
    return {"x": x}, {"outputs": tf1.transpose(outputs.stack(), [1, 0, 2]), "h": h, "c": c}


def contrib_layer_norm() -> Built:
    x = observation(None, 6)
    h = tf1.matmul(x, weight("fc/weights", 6, 5))
    mean, variance = tf1.nn.moments(h, [1], keepdims=True)
    with tf1.variable_scope("fc/LayerNorm"):
        h = tf1.nn.batch_normalization(
            h, mean, variance, weight("beta", 5), weight("gamma", 5), 1e-12
        )
    return {"x": x}, {"y": tf1.nn.elu(h)}


def baselines_layer_norm() -> Built:
    x = observation(None, 6)
    mean, variance = tf1.nn.moments(x, axes=[1], keepdims=True)
    y = (x - mean) / tf1.sqrt(variance + 1e-5) * weight("ln/g", 6) + weight("ln/b", 6)
    return {"x": x}, {"y": y}


def squashed_gaussian() -> Built:
    x, noise = observation(None, 4), observation(None, 2, name="noise")
    h = tf1.nn.relu(dense(x, 8, "pi/dense"))
    mean, raw = dense(h, 2, "pi/dense_1"), dense(h, 2, "pi/dense_2")
    log_std = tf1.clip_by_value(raw, -20.0, 2.0)
    std = tf1.exp(log_std)
    raw_action = mean + noise * std
    logp = -0.5 * (((raw_action - mean) / (std + 1e-8)) ** 2 + 2 * log_std + np.log(2 * np.pi))
    logp = tf1.reduce_sum(logp, axis=1)
    logp -= tf1.reduce_sum(2 * (np.log(2) - raw_action - tf1.nn.softplus(-2 * raw_action)), axis=1)
    return {"x": x, "noise": noise}, {
        "mu": tf1.tanh(mean),
        "pi": tf1.tanh(raw_action) * 2.0,
        "logp": logp,
    }


def categorical() -> Built:
    x, a = observation(None, 4), observation(None, name="a", dtype="int32")
    logits = dense(x, 3, "pi")
    logp_all = tf1.nn.log_softmax(logits)
    logp = tf1.reduce_sum(tf1.one_hot(a, depth=3) * logp_all, axis=1)
    entropy = -tf1.reduce_sum(tf1.nn.softmax(logits) * logp_all, axis=-1)
    return {"x": x, "a": a}, {"logp": logp, "entropy": entropy, "mode": tf1.argmax(logits, -1)}


def gaussian_with_variable() -> Built:
    x, a = observation(None, 4), observation(None, 2, name="a")
    mean = dense(tf1.tanh(dense(x, 6, "pi/dense")), 2, "pi/mean")
    log_std = weight("pi/log_std", 2)
    squares = tf1.square((a - mean) / tf1.exp(log_std))
    logp = -0.5 * tf1.reduce_sum(squares + 2 * log_std + np.float32(np.log(2 * np.pi)), axis=-1)
    return {"x": x, "a": a}, {
        "mean": mean,
        "logp": logp,
        "std": tf1.exp(log_std) + tf1.zeros_like(mean),
    }


def nature_network() -> Built:
    x = observation(None, 21, 19, 3, dtype="uint8")
    h = tf1.cast(x, tf1.float32) / 255.0
    for index, (filters, size, stride, padding) in enumerate(
        [(6, 5, 3, "SAME"), (7, 3, 2, "VALID")]
    ):
        kernel = weight(f"conv{index}/w", size, size, h.shape[-1], filters)
        bias = weight(f"conv{index}/b", 1, filters, 1, 1)
        h = tf1.nn.conv2d(h, kernel, strides=[1, stride, stride, 1], padding=padding)
        h = tf1.nn.relu(h + tf1.reshape(bias, [1, 1, 1, filters]))
    h = tf1.nn.max_pool(h, [1, 2, 2, 1], [1, 1, 1, 1], "SAME")
    flat = tf1.reshape(h, [-1, int(np.prod(h.shape[1:]))])
    return {"x": x}, {"q": dense(flat, 4, "fc")}


def embedding() -> Built:
    x = observation(None, 3, dtype="int32")
    rows = tf1.nn.embedding_lookup(weight("table", 9, 4), x)
    return {"x": x}, {"y": tf1.reduce_mean(rows, axis=1)}


def partitioned_variable() -> Built:
    x = observation(None, 6)
    kernel = tf1.get_variable(
        "fc/kernel",
        (6, 5),
        partitioner=tf1.fixed_size_partitioner(3),
        initializer=tf1.random_normal_initializer(seed=4),
    )
    return {"x": x}, {"y": tf1.matmul(x, tf1.convert_to_tensor(kernel)) + weight("fc/bias", 5)}


def dropout_and_stacks() -> Built:
    x = observation(None, 6)
    keep = tf1.placeholder_with_default(np.float32(0.5), (), name="keep_prob")
    h = tf1.nn.dropout(tf1.nn.relu(dense(x, 8, "fc1")), keep_prob=keep)
    first, second = tf1.split(h, [3, 5], axis=1)
    padded = tf1.pad(first, [[0, 0], [1, 1]])
    stacked = tf1.stack([padded, second], axis=1)
    chosen = tf1.where(stacked > 0.2, stacked, -tf1.ones_like(stacked))
    shaped = tf1.reshape(chosen, [tf1.shape(x)[0], 10])
    return {"x": x}, {"y": tf1.concat([shaped[:, 2:7:2], shaped[:, -1:]], axis=-1)}


def clipped_observations() -> Built:
    x = observation(None, 5)
    mean, std = weight("rms/mean", 5), weight("rms/std", 5, seed=1)
    normal = tf1.clip_by_value((x - mean) / tf1.maximum(tf1.abs(std), 0.1), -5.0, 5.0)
    top, places = tf1.nn.top_k(dense(normal, 6, "pi"), 2)
    return {"x": x}, {"top": top, "places": places, "sums": tf1.cumsum(top, axis=1)}


BUILDERS = [
    dueling_q_network, contrib_layer_norm, baselines_layer_norm,
    squashed_gaussian, categorical, gaussian_with_variable, nature_network, embedding, partitioned_variable,
    dropout_and_stacks, clipped_observations,
]  # fmt: skip


def saved(
    build: Callable[[], Built], folder: Path
) -> tuple[Arrays, Arrays, Mapping[str, str], Mapping[str, str]]:
    """Return inputs, what TensorFlow gives for them, and the names of both; the checkpoint is `folder`/model."""
    rng = np.random.default_rng(5)
    with fresh_graph():
        inputs, outputs = build()
        feeds = {key: _draw(rng, tensor) for key, tensor in inputs.items()}
        fed: dict[Any, Any] = {inputs[key]: value for key, value in feeds.items()}
        fixed = {"is_training:0": False, "keep_prob:0": 1.0}
        names = {operation.name + ":0" for operation in tf1.get_default_graph().get_operations()}
        fed |= {name: value for name, value in fixed.items() if name in names}
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            found = session.run(dict(outputs), fed)
            tf1.train.Saver().save(session, str(folder / "model"))
        return (
            feeds,
            found,
            {key: tensor.name for key, tensor in inputs.items()},
            {key: tensor.name for key, tensor in outputs.items()},
        )


def _draw(rng: np.random.Generator, tensor: Any) -> NDArray[Any]:
    shape = [11 if size is None else size for size in tensor.shape.as_list()]
    if tensor.dtype.name == "int32":
        return rng.integers(0, 3, shape).astype(np.int32)
    if tensor.dtype.name == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.normal(size=shape).astype(np.float32)


def run(model: ConvertedModel, feeds: Arrays) -> dict[str, NDArray[Any]]:
    with torch.no_grad():
        found = model(**{key: torch.from_numpy(value) for key, value in feeds.items()})
    return {key: value.numpy() for key, value in found.items()}


@pytest.mark.usefixtures("control_flow")
@pytest.mark.parametrize(
    "build", [slim_batch_norm, lstm_cell_over_time], ids=lambda build: build.__name__
)
def test_conditions_and_loops_are_settled(build: Callable[[], Built], tmp_path: Path) -> None:
    check(build, tmp_path)


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_graph_gives_what_tensorflow_gives(build: Callable[[], Built], tmp_path: Path) -> None:
    check(build, tmp_path)


def check(build: Callable[[], Built], tmp_path: Path) -> None:
    """Compare a converted graph with TensorFlow."""
    feeds, wanted, inputs, outputs = saved(build, tmp_path)

    torchward.convert(tmp_path / "model", tmp_path / "out.pth", inputs=inputs, outputs=outputs)
    found = run(torchward.load(tmp_path / "out.pth"), feeds)

    assert set(found) == set(wanted)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=2e-5, atol=2e-6, err_msg=key)


def test_functions_of_a_saved_model_are_put_in_line(tmp_path: Path) -> None:
    import tensorflow as tf

    class Policy(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(
                np.linspace(-1, 1, 12).reshape(4, 3).astype(np.float32), name="kernel"
            )
            self.bias = tf.Variable(np.ones(3, np.float32), name="bias")

        @tf.function  # type: ignore[untyped-decorator]
        def logits(self, x: Any, flag: Any) -> Any:
            h = tf.linalg.matmul(x, self.kernel) + self.bias
            return tf.cond(tf.reduce_any(flag > 0.5), lambda: h * 2.0, lambda: tf.tanh(h))

        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[
                tf.TensorSpec((None, 4), name="state"),
                tf.TensorSpec((None,), name="flag"),
            ]
        )
        def act(self, state: Any, flag: Any) -> dict[str, Any]:
            return {
                "probabilities": tf.nn.softmax(self.logits(state, flag)),
                "z": self.logits(state, flag),
            }

    policy = Policy()
    tf.saved_model.save(policy, str(tmp_path / "saved"), signatures=policy.act)
    rng = np.random.default_rng(1)

    torchward.convert(tmp_path / "saved", tmp_path / "out.pth")
    model = torchward.load(tmp_path / "out.pth")

    for flags in (np.zeros(6, np.float32), np.linspace(0, 1, 6).astype(np.float32)):
        state = rng.normal(size=(6, 4)).astype(np.float32)
        with torch.no_grad():
            found = model(torch.from_numpy(state), torch.from_numpy(flags))
        for key, value in policy.act(state, flags).items():
            np.testing.assert_allclose(found[key].numpy(), value.numpy(), rtol=2e-6, atol=1e-6)


def test_text_and_frozen_graphs_are_the_same_network(tmp_path: Path) -> None:
    with fresh_graph() as graph:
        x = tf1.placeholder("float32", (None, 4), name="x")
        y = tf1.nn.softplus(dense(x, 3, "fc"), name="y")
        feeds = np.linspace(-2, 2, 20).reshape(5, 4).astype(np.float32)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            wanted = session.run(y, {x: feeds})
            frozen = tf1.graph_util.convert_variables_to_constants(
                session, graph.as_graph_def(), ["y"]
            )
    tf1.train.write_graph(frozen, str(tmp_path), "graph.pb", as_text=False)
    tf1.train.write_graph(frozen, str(tmp_path), "graph.pbtxt", as_text=True)

    for name in ("graph.pb", "graph.pbtxt"):
        torchward.convert(tmp_path / name, tmp_path / f"{name}.pth", outputs=["y:0"])
        with torch.no_grad():
            [found] = torchward.load(tmp_path / f"{name}.pth")(torch.from_numpy(feeds))
        np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: tf1.train.AdamOptimizer(0.01, epsilon=1e-4),
        lambda: tf1.train.MomentumOptimizer(0.05, 0.9),
        lambda: tf1.train.MomentumOptimizer(0.05, 0.9, use_nesterov=True),
        lambda: tf1.train.RMSPropOptimizer(0.01, decay=0.95, momentum=0.5, epsilon=0.01),
        lambda: tf1.train.RMSPropOptimizer(0.01, decay=0.95, centered=True, epsilon=0.01),
        lambda: tf1.train.AdagradOptimizer(0.05),
        lambda: tf1.train.AdadeltaOptimizer(1.0, rho=0.9),
        lambda: tf1.train.FtrlOptimizer(0.05, l1_regularization_strength=0.001),
        lambda: tf1.train.GradientDescentOptimizer(0.1),
    ],
    ids=[
        "adam",
        "momentum",
        "nesterov",
        "rmsprop",
        "centered",
        "adagrad",
        "adadelta",
        "ftrl",
        "sgd",
    ],
)
def test_optimizer_goes_on_as_tensorflow_does(optimizer: Callable[[], Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x_values, t_values = (
        rng.normal(size=(16, 5)).astype(np.float32),
        rng.normal(size=(16, 2)).astype(np.float32),
    )
    with fresh_graph():
        x, t = observation(None, 5), observation(None, 2, name="t")
        y = dense(tf1.tanh(dense(x, 7, "h")), 2, "y")
        loss = tf1.reduce_mean(tf1.square(y - t))
        step = optimizer().minimize(loss)
        fed = {x: x_values, t: t_values}
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(4):
                session.run(step, fed)
            tf1.train.Saver().save(session, str(tmp_path / "model"))
            losses = []
            for _ in range(5):
                losses.append(session.run(loss, fed))
                session.run(step, fed)

    torchward.convert(tmp_path / "model", tmp_path / "out.pth", inputs=["x"], outputs={"y": y.name})
    model, found = torchward.load(tmp_path / "out.pth", optimizer=True)
    continued = []
    for _ in losses:
        found.zero_grad()
        value = ((model(torch.from_numpy(x_values))["y"] - torch.from_numpy(t_values)) ** 2).mean()
        value.backward()
        found.step()
        continued.append(value.item())

    np.testing.assert_allclose(continued, losses, rtol=2e-6)
