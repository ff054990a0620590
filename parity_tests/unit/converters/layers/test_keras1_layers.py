"""Rules of layers that only Keras 1 and 2 had: what they demand of the file, and what they make of it."""

from __future__ import annotations

from typing import Any

import pytest

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.registry import Lowered, Param, Shape, TorchStep, find_layer_rule


def steps(class_name: str, shape: Shape, **config: Any) -> list[TorchStep]:
    layer = Layer("layer", class_name, config)
    result = find_layer_rule(class_name).lower(layer, shape)
    return list(result.steps) if isinstance(result, Lowered) else result


def params(found: list[TorchStep]) -> dict[str, Param]:
    return {param.source: param for step in found for param in step.params}


def test_maxout_takes_all_its_kernels_as_one() -> None:
    (step,) = steps("MaxoutDense", (None, 5), units=6, nb_feature=3)

    assert step.op == "compat.MaxoutDense"
    assert [param.shape for param in step.params] == [(3, 5, 6), (3, 6)]
    assert step.shape == (None, 6)


def test_highway_activates_what_it_transforms_and_not_the_gate() -> None:
    found = steps("Highway", (None, 5), activation="relu")

    assert [step.op for step in found] == [
        *("nn.Linear", "nn.Linear", "torch.sigmoid", "F.relu", "compat.carry"),
    ]
    assert set(params(found)) == {"W_carry", "b_carry", "kernel", "bias"}
    assert found[-1].inputs == ("input_0", "transform_1", "gate_1")


@pytest.mark.parametrize("class_name", ["SReLU", "ParametricSoftplus"])
def test_slopes_have_a_number_for_every_position_but_along_shared_axes(class_name: str) -> None:
    found = steps(class_name, (None, 5, 4), shared_axes=[1])

    assert {param.shape for param in params(found).values()} == {(1, 4)}


@pytest.mark.parametrize(
    ("class_name", "shape", "size", "positions"),
    [
        ("LocallyConnected1D", (None, 7, 3), [3], 3),
        ("LocallyConnected2D", (None, 7, 4, 3), [3, 2], 3),
    ],
)
def test_locally_connected_layers_have_a_kernel_for_every_position(
    class_name: str, shape: Shape, size: list[int], positions: int
) -> None:
    strides = [2, 3][: len(size)]

    found = params(steps(class_name, shape, filters=4, kernel_size=size, strides=strides))

    patch = 3 * size[0] * (size[1] if len(size) == 2 else 1)
    assert found["kernel"].shape == (positions, patch, 4)
    assert found["bias"].shape[-1] == 4


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (4, 3), (9, 2)])
def test_a_row_of_kernels_has_a_number_for_every_cell_inside(
    padding: str, size: int, stride: int
) -> None:
    length = 7 if size <= 7 or padding == "same" else 11
    found = params(
        steps(
            *("LocallyConnected1D", (None, length, 3)), filters=2, kernel_size=[size],
            strides=[stride], padding=padding, implementation=3,
        )
    )  # fmt: skip

    before = size // 2 if padding == "same" else 0
    positions = range(-before, length - before if padding == "same" else length - size + 1, stride)
    inside = sum(0 <= first + cell < length for first in positions for cell in range(size))
    assert found["kernel"].shape == (inside * 3 * 2,)


@pytest.mark.parametrize("setting", [{"implementation": 4}, {"padding": "same"}])
def test_kernels_that_are_stored_otherwise_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=next(iter(setting))):
        steps("LocallyConnected1D", (None, 7, 3), filters=4, kernel_size=[3], **setting)


@pytest.mark.parametrize(
    ("mode", "op"), [(1, "compat.SampleNorm"), (2, "compat.BatchStatisticsNorm")]
)
def test_modes_of_batch_normalization_are_modules_of_their_own(mode: int, op: str) -> None:
    (step,) = steps("BatchNormalization", (None, 5, 4), mode=mode, epsilon=1e-4)

    assert step.op == op
    assert dict(step.kwargs) == {"num_features": 4, "eps": 1e-4}


def test_mode_1_along_another_axis_than_the_last_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="mode"):
        steps("BatchNormalization", (None, 5, 4), mode=1, axis=1)


def test_cosine_wants_two_vectors() -> None:
    (step,) = find_layer_rule("Merge").lower(
        Layer("m", "Merge", {"mode": "cos"}), (None, 4), (None, 4)
    )

    assert (step.op, step.shape) == ("compat.cosine_merge", (None, 1, 1))
    with pytest.raises(UnsupportedError, match="needed is cos of two vectors"):
        find_layer_rule("Merge").lower(
            Layer("m", "Merge", {"mode": "cos"}), (None, 3, 4), (None, 3, 4)
        )


def test_full_padding_adds_a_window_without_one_cell_on_every_side() -> None:
    config = {"filters": 2, "kernel_size": [3, 2], "padding": "full", "strides": 2}

    (step,) = [one for one in steps("Conv2D", (None, 5, 4, 1), **config) if one.op == "nn.Conv2d"]

    assert step.kwargs["padding"] == (2, 1)
    assert step.shape == (None, 2, 4, 3)
