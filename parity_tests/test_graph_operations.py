"""Single operations and idioms of TensorFlow's graphs, frozen, against what TensorFlow computes on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import UnsupportedError
from converters.tensorflow_graphs import loops

pytestmark = pytest.mark.tf
Built = Callable[[Any, Any], Mapping[str, Any]]
"""Outputs by name of a function of the module tf.compat.v1 and an input."""


def resized(tf1: Any, x: Any) -> Mapping[str, Any]:
    images = tf1.reshape(x, [-1, 4, 3, 2])
    return {
        "nearest": tf1.image.resize_nearest_neighbor(images, [7, 6]),
        "aligned": tf1.image.resize_nearest_neighbor(images, [7, 5], align_corners=True),
        "bilinear": tf1.image.resize_bilinear(images, [7, 5]),
        "bilinear_aligned": tf1.image.resize_bilinear(images, [3, 6], align_corners=True),
        "middles": tf1.image.resize_bilinear(images, [9, 2], half_pixel_centers=True),
        "blocks": tf1.nn.space_to_depth(tf1.image.resize_bilinear(images, [6, 4]), 2),
        "cells": tf1.nn.depth_to_space(tf1.concat([images, images], -1), 2),
        "responses": tf1.nn.lrn(images, 1, bias=0.5, alpha=0.3, beta=0.7),
    }


def mirrored(tf1: Any, x: Any) -> Mapping[str, Any]:
    rows = tf1.reshape(x, [-1, 6, 4])
    return {
        mode.lower(): tf1.pad(rows, [[0, 0], [2, 1], [0, 3]], mode)
        for mode in ("REFLECT", "SYMMETRIC")
    }


def gathered(tf1: Any, x: Any) -> Mapping[str, Any]:
    values = tf1.reshape(x, [-1, 6, 4])
    best = tf1.argmax(values[:, :, 0], axis=1, output_type="int32")
    rows = tf1.range(tf1.shape(x)[0])
    return {
        "chosen": tf1.gather_nd(values, tf1.stack([rows, best], axis=1)),
        "cells": tf1.gather_nd(values, tf1.stack([rows, best, best // 2], axis=1)),
        "of_rows": tf1.gather(values, best, batch_dims=1, axis=1),
        "pairs": tf1.gather(values, tf1.stack([best, 5 - best], 1), batch_dims=1, axis=1),
        "masked": tf1.boolean_mask(
            values, np.array([True, False, True, True, False, False]), axis=1
        ),
    }


def open_sizes(tf1: Any, x: Any) -> Mapping[str, Any]:
    count = tf1.shape(x)[0]
    zeros = tf1.zeros(tf1.stack([count, 3]))
    share = tf1.ones([count, 1]) / tf1.cast(count, "float32")
    column = tf1.reduce_mean(x[:, :2], axis=0, keepdims=True)
    return {
        "state": tf1.tanh(tf1.concat([zeros, x[:, :2]], 1)) + zeros[:, :1],
        "share": share,
        "tiled": tf1.tile(column, tf1.stack([count, 2])),
        "spread": tf1.broadcast_to(column, tf1.stack([count, 2])),
        "turned": x[::-1],
    }


def matrices(tf1: Any, x: Any) -> Mapping[str, Any]:
    square = tf1.reshape(x, [-1, 2, 12])[:, :, :2]
    whole = tf1.cast(x * 10, "int32")
    return {
        "lower": tf1.linalg.band_part(square, -1, 0),
        "diagonal": tf1.linalg.diag_part(square),
        "spread": tf1.linalg.diag(x[:, :3]),
        "sum": tf1.add_n([x, x * 2, x]),
        "cut": tf1.truncatediv(whole, 3),
        "rest": tf1.truncatemod(whole, 3),
        "entropy": tf1.math.xlogy(tf1.nn.relu(x), tf1.nn.relu(x)),
        "rolled": tf1.roll(x, 2, 1),
        "finite": tf1.cast(tf1.math.is_finite(1 / tf1.nn.relu(x)), "float32"),
        "support": tf1.linspace(-1.0, 1.0, 24) * x,
    }


def losses(tf1: Any, x: Any) -> Mapping[str, Any]:
    labels = tf1.cast(tf1.argmax(x[:, 4:8], 1), "int32")
    logits = x[:, :4]
    sparse = tf1.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    whole = tf1.nn.softmax_cross_entropy_with_logits_v2(
        labels=tf1.one_hot(labels, 4), logits=logits
    )
    return {"sparse": sparse, "whole": whole, "together": tf1.reduce_logsumexp(logits, axis=1)}


def instance_norm(tf1: Any, x: Any) -> Mapping[str, Any]:
    images = tf1.reshape(x, [-1, 4, 3, 2])
    gamma, beta = tf1.constant([1.5, 0.5]), tf1.constant([0.1, -0.2])
    results = {}
    for name, axes in (("instance", [1, 2]), ("all", [1, 2, 3])):
        mean, variance = tf1.nn.moments(images, axes, keepdims=True)
        results[name] = tf1.nn.batch_normalization(images, mean, variance, beta, gamma, 1e-6)
    return results


def running(tf1: Any, x: Any) -> Mapping[str, Any]:
    values = tf1.reshape(x, [-1, 4, 6])
    results = {}
    for name, compute in (("sum", tf1.cumsum), ("product", tf1.cumprod)):
        results[f"{name}_before"] = compute(values, 1, exclusive=True)
        results[f"{name}_to_come"] = compute(values, -1, reverse=True)
        results[f"{name}_behind"] = compute(values, 2, exclusive=True, reverse=True)
    positive = tf1.nn.relu(x)
    allowed = tf1.linalg.band_part(tf1.ones([4, 4], "bool"), -1, 0)
    seen = tf1.linalg.band_part(values[:, :, :4] > 0, 0, -1)
    return results | {
        "half": tf1.nn.l2_loss(x),
        "entropy": tf1.math.xlog1py(positive, positive - 1.0),
        "causal": values[:, :, :4] * tf1.cast(allowed, "float32"),
        "seen": tf1.cast(seen, "float32"),
    }


def fused_layer_norm(tf1: Any, x: Any) -> Mapping[str, Any]:
    """Layer normalization as Keras 2.15 computes it: every row as a channel of one image."""
    values = tf1.reshape(x, [-1, 4, 6])
    sizes = tf1.shape(values)
    results: dict[str, Any] = {}
    for name, axis in (("last", 2), ("both", 1)):
        rows, features = tf1.reduce_prod(sizes[:axis]), tf1.reduce_prod(sizes[axis:])
        image = tf1.reshape(values, tf1.stack([1, rows, features, 1]))
        normal, _, _ = tf1.nn.fused_batch_norm(
            image,
            tf1.ones(tf1.stack([rows])),
            tf1.zeros(tf1.stack([rows])),
            epsilon=0.01,
            data_format="NCHW",
        )
        shape = [6] if axis == 2 else [4, 6]
        count = int(np.prod(shape))
        gamma = tf1.constant(np.linspace(0.5, 2, count, dtype=np.float32).reshape(shape))
        beta = tf1.constant(np.linspace(-1, 1, count, dtype=np.float32).reshape(shape))
        plain = tf1.reshape(normal, sizes)
        results |= {
            name: plain * gamma + beta,
            f"{name}_plain": plain,
            f"{name}_scaled": plain * gamma,
        }
    return results


def chosen(tf1: Any, x: Any) -> Mapping[str, Any]:
    """Whole rows chosen by constants in TensorFlow 1, elements in 2; also where the graph is constant."""
    columns = tf1.reshape(x, [-1, 4, 6])[0, :, :4]
    mask = np.array([True, False, False, True])
    square = tf1.constant(np.arange(16, dtype=np.float32).reshape(4, 4))
    return {
        "rows": tf1.where(mask, columns, -columns),
        "elements": tf1.where_v2(mask, columns, -columns),
        "rows_of_constants": tf1.where(tf1.constant(mask), square, -square) + columns,
        "elements_of_constants": tf1.where_v2(tf1.constant(mask), square, -square) + columns,
    }


def ties(tf1: Any, x: Any) -> Mapping[str, Any]:
    steps = tf1.round(x)
    values, places = tf1.nn.top_k(steps, 20)
    return {"values": values, "places": tf1.cast(places, "int64"), "best": tf1.argmax(steps, 1)}


def whole_numbers(tf1: Any, x: Any) -> Mapping[str, Any]:
    steps = tf1.reshape(tf1.cast(x * 5, "int32"), [-1, 6, 4])
    return {
        "mean": tf1.reduce_mean(steps, 2),
        "kept": tf1.reduce_mean(steps, [1, 2], keepdims=True),
        "looked_up": tf1.cast(tf1.gather(tf1.constant([0.5, 1.7]), steps[:, 0] % 2), "int32"),
    }


def wide(tf1: Any, x: Any) -> Mapping[str, Any]:
    """Numbers of 64 bits stay such through poolings and beside whole numbers."""
    images = tf1.cast(tf1.reshape(x, [-1, 4, 3, 2]), "float64") / 3
    table = tf1.constant(np.arange(12.0).reshape(3, 2, 2) / 3)
    return {
        "pooled": tf1.nn.avg_pool(images, [1, 2, 2, 1], [1, 1, 1, 1], "VALID"),
        "rows": tf1.gather(table, tf1.cast(tf1.abs(x[:, 0]) % 1 * 3, "int32")),
    }


def outside_of_bands(tf1: Any, x: Any) -> Mapping[str, Any]:
    endless = 1 / tf1.nn.relu(tf1.reshape(x, [-1, 4, 6]))
    return {
        "lower": tf1.linalg.band_part(endless, 1, 0),
        "diagonal": tf1.linalg.diag(endless[:, :, 0]),
    }


def scattered(tf1: Any, x: Any) -> Mapping[str, Any]:
    rows = tf1.reshape(x, [-1, 6, 4])
    best = tf1.argmax(rows[:, :, 0], axis=1, output_type="int32")
    count = tf1.shape(x)[0]
    places = tf1.stack([tf1.range(count), best], axis=1)
    owners = best - 1  # -1 belongs to none
    by_time = tf1.transpose(rows, [1, 0, 2])
    segments = np.array([0, 0, 1, 2, 2, 2], np.int32)
    return {
        "mask": tf1.scatter_nd(places, tf1.ones([count]), tf1.stack([count, 6])),
        "fixed": tf1.scatter_nd([[4], [1], [4]], x[:3, :2], [6, 2]),
        "replaced": tf1.tensor_scatter_nd_update(x[:, :6], places, x[:, 7]),
        "taken_away": tf1.tensor_scatter_nd_sub(x[:, :6], places, x[:, 7]),
        "sums": tf1.segment_sum(by_time, segments),
        "means": tf1.segment_mean(by_time, segments),
        "largest": tf1.segment_max(by_time, segments),
        "with_gaps": tf1.unsorted_segment_sum(by_time, [3, -1, 0, 0, 3, 1], 5),
        "messages": tf1.unsorted_segment_sum(x[:, :3], owners, count),
        "among_best": tf1.nn.in_top_k(rows[:, 0], best // 2, 2),
    }


def bounded(tf1: Any, x: Any) -> Mapping[str, Any]:
    square = tf1.reshape(x[:, :16], [-1, 4, 4])
    allowed = x[:, :4] > 0
    return {
        "clipped": tf1.clip_by_value(x, -0.5, 1.25),
        "crossed": tf1.maximum(tf1.minimum(x, -0.5), 0.25),
        "each": tf1.clip_by_value(x[:, :2], [-0.2, -0.1], [0.2, 0.3]),
        "masked": x[:, :4]
        + tf1.maximum(tf1.log(tf1.cast(allowed, "float32")), np.finfo("float32").min),
        "forbidden": tf1.where(allowed, x[:, :4], tf1.fill(tf1.shape(allowed), -np.inf)),
        "unknown": tf1.where(allowed, x[:, :4], tf1.constant(np.nan) * tf1.ones_like(x[:, :4])),
        "diagonal": tf1.matrix_set_diag(square, x[:, 16:20]),
        "no_nan": tf1.math.multiply_no_nan(x / tf1.zeros_like(x), tf1.nn.relu(x)),
        "neutral": (x * 1.0 + 0.0) / tf1.ones([24]) - 0.0,
        "wider": x[:, :1] * tf1.ones([3]),
        "unlike": tf1.math.squared_difference(x, 0.0) + tf1.math.squared_difference(x, 0.5),
    }


BUILDERS = [
    scattered,
    bounded,
    *(resized, mirrored, gathered, open_sizes, matrices, losses, instance_norm, running),
    *(fused_layer_norm, chosen, ties, whole_numbers, wide, outside_of_bands),
]


def frozen(build: Built, path: Path, values: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Write the graph of a function; return what TensorFlow gives, and the names of the outputs."""
    tensorflow = pytest.importorskip("tensorflow")
    tf1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default() as graph:
        x = tf1.placeholder("float32", [None, 24], name="x")
        outputs = build(tf1, x)
        with tf1.Session() as session:
            found = session.run(dict(outputs), {x: values})
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return found, {name: tensor.name for name, tensor in outputs.items()}


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_operations_give_what_tensorflow_gives(build: Built, tmp_path: Path) -> None:
    values = np.random.default_rng(3).normal(size=(5, 24)).astype(np.float32)
    wanted, names = frozen(build, tmp_path / "graph.pb", values)

    torchward.convert(tmp_path / "graph.pb", tmp_path / "out.pth", inputs=["x:0"], outputs=names)
    model = torchward.load(tmp_path / "out.pth")

    for count in (5, 3):  # the number of rows is open
        with torch.no_grad():
            found = model(torch.from_numpy(values[:count]))
        if count == 3:
            wanted, _ = frozen(build, tmp_path / "again.pb", values[:count])
        assert set(found) == set(wanted)
        for name, value in wanted.items():
            assert found[name].dtype != torch.float32 or value.dtype == np.float32, name
            np.testing.assert_allclose(
                found[name].numpy(), value, rtol=2e-6, atol=2e-6, err_msg=name
            )


def test_rows_that_are_not_the_batch_are_not_taken_for_it(tmp_path: Path) -> None:
    def build(tf1: Any, x: Any) -> Mapping[str, Any]:
        other = tf1.placeholder("float32", [None, None, 2], name="other")
        pairs = tf1.reshape(tf1.tanh(tf1.reshape(x, [-1, 2])) * 2.0, [-1, 2])
        sizes = tf1.shape(other)
        return {"y": tf1.reshape(pairs, tf1.stack([sizes[0], sizes[1], 2]))}

    tensorflow = pytest.importorskip("tensorflow")
    with tensorflow.Graph().as_default() as graph:
        x = tensorflow.compat.v1.placeholder("float32", [None, 24], name="x")
        names = {key: each.name for key, each in build(tensorflow.compat.v1, x).items()}
        (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())

    with pytest.raises(UnsupportedError, match="first size is not the number of rows"):
        torchward.convert(
            tmp_path / "graph.pb",
            tmp_path / "out.pth",
            inputs=["x:0", "other:0"],
            outputs=names,
        )


def test_long_loops_are_refused_with_their_number_of_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "MAX_WRITTEN_OPERATIONS", 150)

    def build(tf1: Any, x: Any) -> Mapping[str, Any]:
        def turn(i: Any, value: Any) -> tuple[Any, Any]:
            return i + 2, tf1.tanh(value) * x

        _, found = tf1.while_loop(lambda i, _: i < 200, turn, [0, tf1.zeros_like(x)])
        return {"y": found}

    _, names = frozen(build, tmp_path / "graph.pb", np.ones((2, 24), np.float32))

    with pytest.raises(
        UnsupportedError, match=r"'while' .*: a loop of 100 turns, each of \d operations"
    ):
        torchward.convert(tmp_path / "graph.pb", tmp_path / "out.pth", outputs=names)


def test_loops_in_loops_do_not_take_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "MAX_FOLLOWED_NODES", 5_000)

    def build(tf1: Any, x: Any) -> Mapping[str, Any]:
        def nested(depth: int, value: Any) -> Any:
            if depth == 0:
                return value + 1

            def turn(i: Any, value: Any) -> tuple[Any, Any]:
                return i + 1, nested(depth - 1, value)

            return tf1.while_loop(lambda i, _: i < 8, turn, [0, value])[1]

        return {"y": x + tf1.cast(nested(5, tf1.constant(0)), "float32")}

    _, names = frozen(build, tmp_path / "graph.pb", np.ones((2, 24), np.float32))

    with pytest.raises(UnsupportedError, match="take more than 5,000 operations to follow"):
        torchward.convert(tmp_path / "graph.pb", tmp_path / "out.pth", outputs=names)
