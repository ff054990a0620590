"""How a file stores weights, where that is not as Keras 2 and TensorFlow do, and what only the stored shapes tell.

Keras 1 kept the axes of its backends, and Theano's convolutions turn their kernels round: what is stored is the kernel
of a correlation from its end to its start. Layer rules find both in a layer's configuration, as "kernel_order" and
"kernel_turned", and say it in their layouts, so that the weights, the optimizer's slots and the way back all follow. Keras 1 did not store
along which axes slopes are shared; their shapes show it.

Source: keras 1.2.2, layers/convolutional.py, `build`; keras 2.3.1, engine/saving.py, `preprocess_weights_for_loading`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.checkpoint import ArrayInfo, Checkpoint
from converters.graph import Graph, Layer
from converters.registry import Param, Shape

CONVOLUTIONS = tuple(
    f"{kind}{rank}D{end}"
    for kind, end in (("Conv", ""), ("Conv", "Transpose"), ("SeparableConv", ""), ("ConvLSTM", ""))
    for rank in (1, 2, 3)
)
CHANNELS_FIRST, FLAT, FLAT_CHANNELS_FIRST = "channels first", "flat", "flat, channels first"
"""Orders of Keras 1: Theano's; that of an image of height 1 for one spatial axis; the same in Theano's order."""
_NUMBERED = re.compile(r":\d+$")
_POOLINGS = ("MaxPooling", "AveragePooling")
_SLOPES = {"PReLU": "alpha", "SReLU": "t_left", "ParametricSoftplus": "alphas"}
"""A weight of the layers of Keras 1 that may share it along some axes."""
Arrays = Mapping[tuple[str, ...], Mapping[str, ArrayInfo]]


def kernel_param(
    layer: Layer,
    role: str,
    stored: tuple[str, str],
    sizes: tuple[int, int],
    kernel: Sequence[int],
    *,
    axes: str,
    given: str,
    name: str = "weight",
) -> Param:
    """Return where the kernel of a convolution comes from.

    Args:
        layer: whose configuration may have "kernel_order" and "kernel_turned".
        role: of the stored kernel.
        stored: names of its two axes of channels, in the order in which Keras 2 stores them.
        sizes: of these.
        kernel: sizes of the spatial axes.
        axes: names of the spatial axes: "h w".
        given: what torch wants in front of the spatial axes: "out in".
        name: of torch's parameter.
    """
    order = layer.config.get("kernel_order")
    if order in (CHANNELS_FIRST, FLAT_CHANNELS_FIRST):
        one = ["()"] if order == FLAT_CHANNELS_FIRST else []
        left = [*reversed(stored), axes, *one]
        shape: Shape = (*reversed(sizes), *kernel, *(1 for _ in one))
    else:
        one = ["()"] if order == FLAT else []
        left = [axes, *one, *stored]
        shape = (*kernel, *(1 for _ in one), *sizes)
    turned = " ".join(f"~{axis}" for axis in axes.split())
    right = turned if layer.config.get("kernel_turned") is True else axes
    return Param(name, role, f"{' '.join(left)} -> {given} {right}", shape)


def settle_forms(graph: Graph, arrays: Arrays, checkpoint: Checkpoint) -> Graph:
    """Return the graph with what the file shows beside its configuration in the configurations of its layers."""
    if graph.generation > 2:
        return graph
    return _settled(graph, (), arrays, theano=_is_from_theano(checkpoint))


def _is_from_theano(checkpoint: Checkpoint) -> bool:
    """Tell whether Theano trained the weights: the file says so, or the weights lack the numbers of TensorFlow's names."""
    backend = checkpoint.provenance.details.get("backend")
    if backend is not None:
        return backend == "theano"
    stored = [info.name for entry in checkpoint.layers for info in entry.arrays.values()]
    is_keras = checkpoint.provenance.format in ("keras-h5", "keras-h5-weights")
    return bool(stored) and is_keras and not any(_NUMBERED.search(name) for name in stored)


def _settled(graph: Graph, prefix: tuple[str, ...], arrays: Arrays, *, theano: bool) -> Graph:
    layers = tuple(
        replace(layer, graph=_settled(layer.graph, (*prefix, layer.name), arrays, theano=theano))
        if layer.graph is not None
        else _settled_layer(layer, arrays.get((*prefix, layer.name), {}), graph, theano=theano)
        for layer in graph.layers
    )
    return replace(graph, layers=layers)


def _settled_layer(
    layer: Layer, arrays: Mapping[str, ArrayInfo], graph: Graph, *, theano: bool
) -> Layer:
    inner = {
        name: _settled_layer(part, _below(arrays, name), graph, theano=theano)
        for name, part in layer.inner.items()
    }
    settings: dict[str, object] = {}
    if theano and layer.class_name == "BatchNormalization":
        settings["moving_average"] = (
            "plain"  # what takes the weight of the start away is TensorFlow's
        )
    if theano and layer.class_name.startswith((*CONVOLUTIONS, *_POOLINGS)):
        settings["theano_windows"] = True
    if theano and layer.class_name == "SReLU":
        settings["theano_clips"] = True
    if layer.class_name in CONVOLUTIONS:
        if theano:
            settings["kernel_turned"] = True
        kernel = arrays.get("kernel")
        if graph.generation == 1 and layer.class_name == "Conv1D" and kernel is not None:
            settings["kernel_order"] = _order_of_line(layer, kernel.shape)
    slope = arrays.get(_SLOPES.get(layer.class_name, ""))
    if graph.generation == 1 and slope is not None:
        settings["shared_axes"] = [axis for axis, size in enumerate(slope.shape, 1) if size == 1]
    return replace(layer, inner=inner, config={**layer.config, **settings})


def _order_of_line(layer: Layer, shape: tuple[int, ...]) -> str:
    """Return how a Conv1D of Keras 1 is stored; releases before 1.1 had the channels in front."""
    older = len(shape) == 4 and shape[0] == layer.config.get("filters") and shape[1] != 1
    return FLAT_CHANNELS_FIRST if older and shape[3] == 1 else FLAT


def _below(arrays: Mapping[str, ArrayInfo], name: str) -> dict[str, ArrayInfo]:
    start = f"{name}/"
    return {
        role.removeprefix(start): info for role, info in arrays.items() if role.startswith(start)
    }
