"""Kernels are read in the order, and from the end, in which their backend stored them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, Provenance
from converters.graph import Graph, Layer
from converters.layouts import Layout
from converters.matching.stored_forms import kernel_param, settle_forms

CONVOLUTION = Layer("conv", "Conv1D", {"filters": 4, "kernel_size": [3]})


def array(name: str, shape: tuple[int, ...]) -> ArrayInfo:
    return ArrayInfo(name, shape, np.dtype("f4"), lambda: np.zeros(shape, dtype=np.float32))


def settled(
    layer: Layer,
    shape: tuple[int, ...],
    *,
    generation: int = 1,
    name: str = "conv/conv_W:0",
    details: Mapping[str, str] | None = None,
    role: str = "kernel",
) -> Mapping[str, object]:
    graph = Graph("net", "Sequential", generation, (layer,), (), (), ())
    info = array(name, shape)
    source = Provenance("a.h5", lambda: "", 1, "keras-h5", None, generation, details or {})
    checkpoint = Checkpoint(
        [LayerArrays("conv", "conv", {role: info})], graph, None, None, [], source
    )
    return settle_forms(graph, {(layer.name,): {role: info}}, checkpoint).layers[0].config


@pytest.mark.parametrize(
    ("shape", "order"), [((3, 1, 2, 4), "flat"), ((4, 2, 3, 1), "flat, channels first")]
)
def test_the_shape_of_a_line_of_keras_1_tells_its_order(shape: tuple[int, ...], order: str) -> None:
    assert settled(CONVOLUTION, shape)["kernel_order"] == order


@pytest.mark.parametrize(
    ("name", "details", "turned"),
    [
        ("conv/conv_W:0", {}, None),
        ("conv/conv_W", {}, True),
        ("conv/conv_W", {"backend": "cntk"}, None),
        ("conv/conv_W:0", {"backend": "theano"}, True),
    ],
)
def test_kernels_of_theano_are_known_by_the_backend_or_by_names_without_number(
    name: str, details: Mapping[str, str], turned: bool | None
) -> None:
    config = settled(CONVOLUTION, (3, 2, 4), generation=2, name=name, details=details)

    assert config.get("kernel_turned") is turned
    assert config.get("theano_windows") is turned


def test_keras_3_files_are_left_alone() -> None:
    config = settled(CONVOLUTION, (3, 2, 4), generation=3, name="conv/kernel")

    assert config == CONVOLUTION.config


def test_the_shape_of_slopes_of_keras_1_tells_the_axes_that_share_them() -> None:
    config = settled(Layer("conv", "PReLU", {}), (1, 1, 4), role="alpha")

    assert config["shared_axes"] == [1, 2]


@pytest.mark.parametrize("order", [None, "channels first", "flat", "flat, channels first"])
@pytest.mark.parametrize("turned", [False, True])
def test_every_order_gives_torch_the_same_kernel(order: str | None, turned: bool) -> None:
    wanted = np.arange(4 * 2 * 3.0).reshape(4, 2, 3)  # out in time
    stored = wanted[..., ::-1] if turned else wanted
    stored = {
        None: stored.transpose(2, 1, 0),
        "channels first": stored,
        "flat": stored.transpose(2, 1, 0)[:, None],
        "flat, channels first": stored[..., None],
    }[order]
    layer = Layer("conv", "Conv1D", {"kernel_order": order, "kernel_turned": turned})

    param = kernel_param(layer, "kernel", ("in", "out"), (2, 4), (3,), axes="time", given="out in")

    assert param.shape == stored.shape
    assert np.array_equal(Layout.parse(param.layout).apply(stored), wanted)
