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
