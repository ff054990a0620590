from __future__ import annotations

import pytest

from converters.architecture import Step
from converters.passes.blocks import depth_first, name_blocks


def block(name: str, taken: str, size: int, *, activation: str = "F.relu") -> list[Step]:
    """Return dense, activation, dense: three layers named after their block."""
    sizes = {"in_features": size, "out_features": size}
    return [
        Step("nn.Linear", (taken,), f"{name}_1", f"{name}_1_dense", sizes, ("weight", "bias")),
        Step(activation, (f"{name}_1",), f"{name}_act"),
        Step("nn.Linear", (f"{name}_act",), name, f"{name}_2_dense", sizes, ("weight", "bias")),
    ]


def origins(steps: list[Step]) -> list[tuple[str, ...]]:
    return [(step.attribute or step.output,) for step in steps]


def test_layers_named_alike_become_submodules() -> None:
    steps = [*block("block_1", "x", 4), *block("block_2", "block_1", 5)]

    found, renamed = name_blocks(steps, origins(steps), {})

    assert renamed == {
        "block_1_1_dense": "block_1.dense_1",
        "block_1_2_dense": "block_1.dense_2",
        "block_2_1_dense": "block_2.dense_1",
        "block_2_2_dense": "block_2.dense_2",
    }
    assert [step.blocks for step in found] == [(("block_1", 0),)] * 3 + [(("block_2", 0),)] * 3


@pytest.mark.parametrize(
    "steps",
    [
        block("block_1", "x", 4),
        [*block("block_1", "x", 4), *block("block_2", "block_1", 4, activation="torch.tanh")],
        [*block("first", "x", 4), *block("second", "first", 4)],
        [
            *block("block_1", "x", 4)[:2],
            *block("block_2", "x", 4)[:2],
            *block("block_1", "x", 4)[2:],
            *block("block_2", "x", 4)[2:],
        ],
    ],
    ids=["once", "other activation", "without numbers", "interleaved"],
)
def test_what_does_not_repeat_stays_as_it_is(steps: list[Step]) -> None:
    found, renamed = name_blocks(steps, origins(steps), {})

    assert not renamed
    assert found == steps


def gated(name: str, taken: str) -> list[Step]:
    """Return two dense layers of one block, and their product, which has a name of its own."""
    sizes = {"in_features": 4, "out_features": 4}
    return [
        Step("nn.Linear", (taken,), f"{name}_gate", f"{name}_gate", sizes, ("weight", "bias")),
        Step("nn.Linear", (taken,), f"{name}_up", f"{name}_up", sizes, ("weight", "bias")),
        Step("operator.mul", (f"{name}_gate", f"{name}_up"), f"multiply_{name}"),
        Step("nn.Linear", (f"multiply_{name}",), name, f"{name}_down", sizes, ("weight", "bias")),
    ]


def test_function_between_layers_of_a_block_belongs_to_it() -> None:
    steps = [*gated("layer_1", "x"), *gated("layer_2", "layer_1")]

    found, _ = name_blocks(steps, origins(steps), {})

    assert [step.blocks for step in found] == [(("layer_1", 0),)] * 4 + [(("layer_2", 0),)] * 4


def test_function_between_layers_that_others_use_too_keeps_them_apart() -> None:
    steps = [
        *gated("layer_1", "x"),
        *gated("layer_2", "layer_1"),
        Step("operator.add", ("layer_2", "multiply_layer_1"), "sum"),
    ]

    found, _ = name_blocks(steps, origins(steps), {})

    assert found == steps


def test_move_of_axes_before_a_block_stays_outside() -> None:
    moved = Step("torch.permute", ("x",), "moved", kwargs={"dims": (0, 2, 1)})
    steps = [moved, *block("block_1", "moved", 4), *block("block_2", "block_1", 4)]
    paths = origins(steps)
    paths[0] = paths[1]

    found, _ = name_blocks(steps, paths, {})

    assert [bool(step.blocks) for step in found] == [False] + [True] * 6


def test_letter_behind_the_number_counts_on() -> None:
    steps = [*block("block1a", "x", 4), *block("block1b", "block1a", 5)]

    found, _ = name_blocks(steps, origins(steps), {})

    assert [step.blocks[0][0] for step in found] == ["block1a"] * 3 + ["block1b"] * 3


def test_layer_that_others_call_too_stays_outside() -> None:
    steps = [*block("block_1", "x", 4), *block("block_2", "block_1", 4)]
    again = Step("nn.Linear", ("block_2",), "y", "block_1_1_dense", state=("weight", "bias"))

    _, renamed = name_blocks([*steps, again], [*origins(steps), ("block_1_1_dense",)], {})

    assert not renamed


def test_submodule_does_not_take_a_name_that_is_taken() -> None:
    steps = [*block("block_1", "x", 4), *block("block_2", "block_1", 5)]

    _, renamed = name_blocks(steps, origins(steps), {"block_1": 1})

    assert renamed["block_1_1_dense"] == "block_1_2.dense_1"


def test_submodules_of_another_level_are_within_their_model() -> None:
    around = (("encoder", 0),)
    steps = [
        Step(s.op, s.inputs, s.output, s.attribute and f"encoder.{s.attribute}", blocks=around)
        for s in [*block("b1", "x", 4), *block("b2", "b1", 4)]
    ]
    paths = [
        ("encoder", (step.attribute or step.output).removeprefix("encoder.")) for step in steps
    ]

    found, renamed = name_blocks(steps, paths, {"encoder": 1})

    assert renamed["encoder.b1_1_dense"] == "encoder.b1.dense_1"
    assert found[0].blocks == (("encoder", 0), ("b1", 0))


def test_names_are_in_the_order_in_which_torch_lists_them() -> None:
    keys = ["a.weight", "block.x.weight", "b.weight", "block.y.weight", "c.weight"]

    assert depth_first(keys) == [
        "a.weight",
        "block.x.weight",
        "block.y.weight",
        "b.weight",
        "c.weight",
    ]


def test_a_name_of_thousand_numbers_costs_nothing() -> None:
    step = Step("F.relu", ("x",), "y")

    found, renamed = name_blocks([step] * 2, [("1_" * 100_000,)] * 2, {})

    assert len(found) == 2
    assert not renamed
