"""Classes of blocks: emitted, run beside the live module, and read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from converters.architecture import Architecture, InputValue, Step
from converters.emit import emit_source
from converters.live.build import build_model


def dense(
    block: str, name: str, taken: str, made: str, sizes: tuple[int, int], call: int = 0
) -> Step:
    return Step(
        "nn.Linear",
        (taken,),
        made,
        f"{block}.{name}",
        {"in_features": sizes[0], "out_features": sizes[1]},
        ("weight", "bias"),
        blocks=((block, call),),
    )


def function(block: str, op: str, taken: tuple[str, ...], made: str, call: int = 0) -> Step:
    return Step(op, taken, made, blocks=((block, call),))


def network(*steps: Step, outputs: tuple[str, ...] = (), width: int = 4) -> Architecture:
    outputs = outputs or (steps[-1].output,)
    structure = "single" if len(outputs) == 1 else "list"
    return Architecture(
        "Network", (InputValue("entry", (None, width), "float32"),), outputs, steps, structure
    )


def emitted(architecture: Architecture) -> tuple[str, torch.nn.Module]:
    source = emit_source(architecture, origin="m.h5", weights="m.pth")
    namespace: dict[str, Any] = {}
    exec(compile(source, "m.py", "exec"), namespace)  # noqa: S102  # that it runs is what is tested
    module: torch.nn.Module = namespace["Network"]()
    return source, module


def assert_same(architecture: Architecture, module: torch.nn.Module) -> None:
    live = build_model(architecture, module.state_dict())
    x = torch.linspace(-2, 2, 12).reshape(3, 4)
    assert list(live.state_dict()) == list(module.state_dict())
    for y, z in zip(live(x), module(x), strict=True):
        torch.testing.assert_close(y, z, rtol=0, atol=0)


TWICE = (
    dense("block_1", "up", "entry", "a", (4, 7)),
    function("block_1", "F.relu", ("a",), "b"),
    dense("block_1", "down", "b", "c", (7, 4)),
    function("block_1", "operator.add", ("entry", "c"), "d"),
    dense("block_2", "up", "d", "e", (4, 6)),
    function("block_2", "F.relu", ("e",), "f"),
    dense("block_2", "down", "f", "g", (6, 4)),
    function("block_2", "operator.add", ("d", "g"), "h"),
)


def test_blocks_that_differ_in_sizes_share_a_class_with_arguments() -> None:
    architecture = network(*TWICE)

    source, module = emitted(architecture)

    assert source.count("class Block(") == 1
    assert "def __init__(self, *, out_features: int) -> None:" in source
    assert "self.block_2 = Block(out_features=6)" in source
    assert '    """The submodules `block_1`, `block_2`."""\n' in source
    assert "        y = F.relu(self.up(x))\n        return x + self.down(y)\n" in source
    assert "        x = self.block_1(x)\n        return self.block_2(x)\n" in source
    assert_same(architecture, module)


@pytest.mark.parametrize(
    ("place", "step"),
    [
        (5, function("block_2", "torch.tanh", ("e",), "f")),
        (7, function("block_2", "operator.add", ("g", "d"), "h")),
    ],
    ids=["other function", "other order"],
)
def test_blocks_that_compute_otherwise_have_classes_of_their_own(place: int, step: Step) -> None:
    architecture = network(*TWICE[:place], step, *TWICE[place + 1 :])

    source, module = emitted(architecture)

    assert source.count("(nn.Module)") == 3
    assert_same(architecture, module)


def test_block_of_which_nothing_trains_shares_the_class_and_is_frozen_as_a_whole() -> None:
    steps = [*TWICE[:4], *(replace(step, frozen=bool(step.attribute)) for step in TWICE[4:])]

    source, module = emitted(network(*steps))

    assert source.count("(nn.Module)") == 2
    assert "        self.block_2.requires_grad_(False)\n" in source
    assert [name for name, each in module.named_parameters() if each.requires_grad] == [
        f"block_1.{layer}.{name}" for layer in ("up", "down") for name in ("weight", "bias")
    ]
    assert_same(network(*steps), module)


def test_block_of_which_a_part_trains_has_a_class_of_its_own() -> None:
    steps = [*TWICE[:4], replace(TWICE[4], frozen=True), *TWICE[5:]]

    source, module = emitted(network(*steps))

    assert source.count("(nn.Module)") == 3
    assert "        self.up.requires_grad_(False)\n" in source
    assert_same(network(*steps), module)


def test_model_called_twice_is_one_submodule() -> None:
    steps = [
        dense("shared", "up", "entry", "a", (4, 4)),
        function("shared", "F.relu", ("a",), "b"),
        dense("shared", "up", "b", "c", (4, 4), call=1),
        function("shared", "F.relu", ("c",), "d", call=1),
    ]

    source, module = emitted(network(*steps))

    assert "        x = self.shared(x)\n        return self.shared(x)\n" in source
    assert_same(network(*steps), module)


def test_model_called_in_two_ways_only_holds_its_layers() -> None:
    steps = [
        dense("shared", "up", "entry", "a", (4, 4)),
        function("shared", "F.relu", ("a",), "b"),
        dense("shared", "up", "b", "c", (4, 4), call=1),
    ]

    source, module = emitted(network(*steps))

    assert "        x = F.relu(self.shared.up(x))\n        return self.shared.up(x)\n" in source
    assert_same(network(*steps), module)


def test_block_with_several_results_returns_a_tuple() -> None:
    steps = [
        dense("trunk", "first", "entry", "a", (4, 4)),
        dense("trunk", "second", "a", "b", (4, 4)),
        Step("operator.mul", ("a", "b"), "product"),
        Step("operator.add", ("a", "product"), "sum_"),
    ]

    source, module = emitted(network(*steps, outputs=("product", "sum_")))

    assert "-> tuple[Tensor, Tensor]" in source
    assert_same(network(*steps, outputs=("product", "sum_")), module)
