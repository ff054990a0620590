"""Both data formats and free sizes agree with what is compared with Keras: channels last and sizes that are known."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from converters.errors import ConversionError
from converters.graph import Call, Graph, Input, Layer, TensorRef
from converters.live.model import ConvertedModel
from converters.lowering import Lowering, lower_model

SPATIAL = [
    ("Conv1D", 1, {"filters": 4, "kernel_size": 4, "padding": "causal", "strides": 2}),
    ("Conv2D", 2, {"filters": 4, "kernel_size": 3, "activation": "relu"}),
    ("Conv2D", 2, {"filters": 4, "kernel_size": [4, 3], "padding": "same", "groups": 2}),
    ("Conv2D", 2, {"filters": 4, "kernel_size": 5, "padding": "same", "strides": [2, 3]}),
    ("Conv3D", 3, {"filters": 3, "kernel_size": 2, "padding": "same", "strides": 2}),
    ("DepthwiseConv2D", 2, {"kernel_size": 3, "padding": "same", "strides": 2}),
    ("SeparableConv2D", 2, {"filters": 3, "kernel_size": 3, "padding": "same", "strides": 2}),
    ("Conv2DTranspose", 2, {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}),
    ("MaxPooling2D", 2, {"pool_size": 3, "strides": 2, "padding": "same"}),
    ("MaxPooling1D", 1, {"pool_size": 2, "strides": 1, "padding": "same"}),
    ("AveragePooling2D", 2, {"pool_size": 3, "strides": 2, "padding": "same"}),
    ("AveragePooling3D", 3, {"pool_size": 2, "strides": 1, "padding": "same"}),
    ("GlobalMaxPooling2D", 2, {"keepdims": True}),
    ("GlobalAveragePooling3D", 3, {"keepdims": True}),
    ("ZeroPadding2D", 2, {"padding": [[0, 1], [2, 3]]}),
    ("Cropping3D", 3, {"cropping": [[0, 1], [2, 1], [1, 0]]}),
    ("UpSampling2D", 2, {"size": [2, 3]}),
    ("UpSampling2D", 2, {"size": [2, 3], "interpolation": "bilinear"}),
    ("UpSampling2D", 2, {"size": [2, 3], "interpolation": "bicubic"}),
]
SIZES = (8, 7, 5)
CHANNELS = 4


def build(
    class_name: str, config: Mapping[str, object], shape: tuple[int | None, ...]
) -> ConvertedModel:
    layers = (Layer("x", "InputLayer", {}), Layer("layer", class_name, config))
    call = Call("layer", 0, (TensorRef("x"),), {})
    entry = Input(TensorRef("x"), (None, *shape), "float32")
    graph = Graph("net", "Functional", 3, layers, (call,), (entry,), (TensorRef("layer"),))
    lowering = Lowering()
    architecture = lower_model(graph, lowering)
    if lowering.problems:
        raise lowering.problems[0]
    return ConvertedModel(architecture).eval()


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


def values(*shape: int) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("class_name", "rank", "config"), SPATIAL)
def test_channels_first_computes_the_same_in_its_order(
    class_name: str, rank: int, config: Mapping[str, object]
) -> None:
    x = values(*SIZES[:rank], CHANNELS)
    last = build(class_name, config, (*SIZES[:rank], CHANNELS))
    first = build(
        class_name, {**config, "data_format": "channels_first"}, (CHANNELS, *SIZES[:rank])
    )
    copy_weights(last, first)

    y_last, y_first = last(x), first(x.movedim(-1, 1))

    torch.testing.assert_close(y_first.movedim(1, -1), y_last)


@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize(("class_name", "rank", "config"), SPATIAL)
def test_free_sizes_compute_what_known_sizes_compute(
    class_name: str, rank: int, config: Mapping[str, object], extra: int
) -> None:
    sizes = tuple(size + extra for size in SIZES[:rank])
    known = build(class_name, config, (*sizes, CHANNELS))
    free = build(class_name, config, ((None,) * rank + (CHANNELS,)))
    copy_weights(known, free)
    x = values(*sizes, CHANNELS)

    torch.testing.assert_close(free(x), known(x))


@pytest.mark.parametrize(("class_name", "rank", "config"), SPATIAL)
def test_stated_shape_is_that_of_the_result(
    class_name: str, rank: int, config: Mapping[str, object]
) -> None:
    from converters.registry import find_layer_rule

    shape = (2, *SIZES[:rank], CHANNELS)
    model = build(class_name, config, shape[1:])
    steps = find_layer_rule(class_name).lower(Layer("layer", class_name, config), shape)
    assert isinstance(steps, list)
    shapes = [step.shape for step in steps if step.shape is not None]

    assert shapes[-1] == tuple(model(values(*shape[1:])).shape)


@pytest.mark.parametrize(
    ("class_name", "config"),
    [
        ("Conv2D", {"filters": 3, "kernel_size": 3, "padding": "causal"}),
        ("Conv2D", {"filters": 3, "kernel_size": 3, "padding": "reflect"}),
        ("Conv2D", {"filters": 3, "kernel_size": 9}),
        ("Conv2D", {"filters": 3}),
        ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "padding": "causal"}),
        ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "output_padding": 1}),
        ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "output_padding": [1]}),
        ("MaxPooling2D", {"padding": "causal"}),
        ("Conv1D", {"filters": 3, "kernel_size": 3}),
        ("UpSampling2D", {"interpolation": "cubic"}),
        ("ZeroPadding2D", {"padding": [1, 2, 3]}),
        ("ZeroPadding2D", {"padding": -1}),
        ("Cropping2D", {"cropping": [[3, 4], [0, 0]]}),
    ],
)
def test_setting_without_a_counterpart_is_refused(
    class_name: str, config: Mapping[str, object]
) -> None:
    with pytest.raises(ConversionError, match="layer 'layer'"):
        build(class_name, config, (7, 5, 4))
