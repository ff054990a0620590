"""Steps before and after the pass are run on the same values; what is taken out is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest
import torch

from converters.architecture import Architecture, InputValue, Step
from converters.live.model import ConvertedModel
from converters.passes.channels import moved_pads, settle_channels
from converters.registry import Plain

FRONT, BACK = (0, 3, 1, 2), (0, 2, 3, 1)
WHOLE = ("slice", None, None, None)


def permute(source: str, output: str, dims: tuple[int, ...]) -> Step:
    return Step("torch.permute", (source,), output, kwargs={"dims": dims})


def function(op: str, *sources: str, to: str, **kwargs: Plain) -> Step:
    return Step(op, sources, to, kwargs=kwargs)


def settle(steps: Sequence[Step], *outputs: str) -> tuple[list[Step], tuple[str, ...]]:
    numbers = count(1)
    settled, origins, names = settle_channels(
        steps,
        [(step.output,) for step in steps],
        outputs,
        fresh=lambda name: f"{name}_new{next(numbers)}",
    )
    assert len(origins) == len(settled)
    return settled, names


def operations(steps: Sequence[Step]) -> list[str]:
    return [step.op.rpartition(".")[2] for step in steps]


def assert_same_values(steps: Sequence[Step], output: str) -> list[Step]:
    """Run the steps before and after the pass on (2, 4, 5, 3) values; return those after."""
    settled, (name,) = settle(steps, output)
    before = Architecture(
        "Net", (InputValue("x", (None, 4, 5, 3), "float64"),), (output,), tuple(steps)
    )
    after = replace(before, steps=tuple(settled), outputs=(name,))
    x = torch.randn(2, 4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        ConvertedModel(after).double().eval()(x),
        ConvertedModel(before).double().eval()(x),
        rtol=0,
        atol=1e-14,
    )
    return settled


def test_moves_that_cancel_are_taken_out() -> None:
    steps = [
        permute("x", "a", FRONT),
        function("F.relu", "a", to="b"),
        permute("b", "c", BACK),
        permute("c", "d", FRONT),
        function("torch.tanh", "d", to="e"),
        permute("e", "f", BACK),
    ]

    settled = assert_same_values(steps, "f")

    assert operations(settled) == ["relu", "tanh"]


@pytest.mark.parametrize("dims", [FRONT, BACK, (0, 2, 1, 3)])
@pytest.mark.parametrize(
    "step",
    [
        function("F.softmax", "a", to="b", dim=-1),
        function("F.softmax", "a", to="b", dim=1),
        function("F.pad", "a", to="b", pad=(0, 0, 1, 2)),
        function("F.pad", "a", to="b", pad=(1, 2, -1, 0, 0, 3)),
        function("torch.mean", "a", to="b", dim=(1, 2)),
        function("torch.mean", "a", to="b", dim=1, keepdim=True),
        function("torch.amax", "a", to="b", dim=(-1,)),
        function("torch.flatten", "a", to="b", start_dim=1),
        function("operator.add", "a", "a", to="b"),
        function("operator.add", "a", "a", "a", to="b"),
        function("torch.cat", "a", "a", to="b", dim=-1),
        function("torch.sum", "a", to="b", dim=-1),
        function("torch.square", "a", to="b"),
        function("operator.getitem", "a", to="b", index=(WHOLE, ("slice", 1, -1, None))),
        function(
            "operator.getitem", "a", to="b", index=(WHOLE, WHOLE, WHOLE, ("slice", 0, 2, None))
        ),
        function("operator.getitem", "a", to="b", index=(WHOLE, 0)),
        Step("compat.BatchNorm", ("a",), "b", "norm", {"num_features": 3, "axis": 3}, ()),
    ],
    ids=lambda value: value.op if isinstance(value, Step) else None,
)
def test_values_stay_the_same_across_every_kind_of_operation(
    step: Step, dims: tuple[int, ...]
) -> None:
    if step.attribute:
        sizes = [(4, 5, 3)[axis - 1] for axis in dims[1:]]
        names = ("weight", "bias", "running_mean", "running_var")
        step = replace(step, kwargs={"num_features": sizes[2], "axis": -1}, state=names)

    settled = assert_same_values([permute("x", "a", dims), step], "b")

    assert len(settled) <= 2


def test_axes_with_one_draw_follow_the_move() -> None:
    kwargs: dict[str, Plain] = {"p": 0.5, "axes": (1, 2)}
    drop = Step("compat.SharedDropout", ("b",), "c", "drop", kwargs)

    settled, _ = settle([permute("x", "b", BACK), drop, permute("c", "d", FRONT)], "d")

    assert [step.kwargs["axes"] for step in settled] == [(2, 3)]


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [((4, 1, 1), True), ((1, 4, 1), False), ((2, 2, 1), False), ((4, 1, 1, 1), False)],
    ids=["pixel", "channels in the middle", "two axes", "one axis more"],
)
def test_axes_that_are_put_back_at_once_are_kept(sizes: tuple[int, ...], kept: bool) -> None:
    steps = [
        function("torch.mean", "x", to="b", dim=(2, 3)),
        function("torch.unflatten", "b", to="c", dim=1, sizes=sizes),
        permute("c", "d", BACK if len(sizes) == 3 else (0, 1, 2, 4, 3)),
    ]

    settled = assert_same_values(steps, "d")

    assert ("unflatten" not in operations(settled)) == kept


def test_mean_that_others_use_too_keeps_its_axes_away() -> None:
    steps = [
        function("torch.mean", "x", to="b", dim=(2, 3)),
        function("torch.unflatten", "b", to="c", dim=1, sizes=(4, 1, 1)),
        function("torch.amax", "b", to="d", dim=1),
        function("operator.add", "c", "d", to="e"),
        permute("e", "f", BACK),
    ]

    settled, _ = settle(steps, "f")

    assert "unflatten" in operations(settled)


def test_order_that_an_operation_needs_is_made_once() -> None:
    steps = [
        permute("x", "a", FRONT),
        function("torch.flatten", "a", to="b", start_dim=1),
        permute("x", "c", FRONT),
        function("torch.flatten", "c", to="d", start_dim=1),
        function("operator.add", "b", "d", to="e"),
    ]

    settled = assert_same_values(steps, "e")

    assert operations(settled).count("permute") == 1


def test_sum_of_values_that_lie_differently_is_computed_in_order() -> None:
    steps = [
        permute("x", "a", (0, 2, 1, 3)),
        permute("a", "b", (0, 2, 1, 3)),
        function("F.relu", "a", to="c"),
        permute("c", "d", (0, 2, 1, 3)),
        function("operator.sub", "b", "d", to="e"),
    ]

    assert operations(assert_same_values(steps, "e")) == ["relu", "sub"]


def test_module_that_is_called_twice_keeps_its_arguments() -> None:
    names = ("weight", "bias", "running_mean", "running_var")
    norm = Step("compat.BatchNorm", ("a",), "b", "norm", {"num_features": 3, "axis": -1}, names)
    steps = [
        permute("x", "f", FRONT),
        permute("f", "a", BACK),
        norm,
        replace(norm, inputs=("b",), output="c"),
    ]

    settled = assert_same_values(steps, "c")

    assert {step.kwargs["axis"] for step in settled} == {-1}


def test_input_that_is_only_moved_and_moved_back_is_the_output() -> None:
    assert settle([permute("x", "a", FRONT), permute("a", "b", BACK)], "b") == ([], ("x",))


def test_steps_without_moves_are_left_alone() -> None:
    steps = [function("F.relu", "x", to="a"), function("torch.flatten", "a", to="b", start_dim=1)]

    assert settle(steps, "b") == (steps, ("b",))


def test_pads_follow_their_axes() -> None:
    # (0, 2, 3, 1): the last axis of the moved value is axis 1, the two before it are 3 and 2.
    assert moved_pads((0, 0, 1, 2, 3, 4), (0, 2, 3, 1)) == (1, 2, 3, 4)
    assert moved_pads((5, 6), (0, 2, 3, 1)) == (0, 0, 0, 0, 5, 6)


def test_parts_of_the_state_take_nothing_and_keep_their_place() -> None:
    steps = [
        permute("x", "a", FRONT),
        Step("compat.Variable", (), "scale", attribute="scale"),
        function("torch.mul", "a", "scale", to="y"),
    ]

    settled, _ = settle(steps, "y")

    assert [step.output for step in settled if not step.inputs] == ["scale"]
