"""Statements as they are written, and what they compute beside their steps one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from converters.architecture import Architecture, InputValue, Step
from converters.live.model import ConvertedModel
from converters.registry import Plain
from converters.source_code.statements import Item, write_statements


def function(op: str, *sources: str, to: str, **kwargs: Plain) -> Step:
    return Step(op, sources, to, kwargs=kwargs)


def forward(*steps: Step, outputs: Sequence[str] = ()) -> list[str]:
    """Return the lines of a forward pass of one output, the last behind `return`."""
    items = [Item(step.inputs, step.results, step.attribute, step) for step in steps]
    lines, results, comment = write_statements(
        items, {"x": "x"}, outputs or [steps[-1].output], taken=set(), named_outputs=False
    )
    last = f"return {', '.join(results)}" + (f"  {comment}" if comment else "")
    return [*(line.strip() for line in lines), last]


def computed(lines: Sequence[str], x: Tensor) -> Tensor:
    code = "def f(x):\n" + "\n".join(f"    {line}" for line in lines)
    names: dict[str, object] = {"torch": torch, "F": torch.nn.functional}
    exec(code, names)  # noqa: S102  # what it computes is what is tested
    return names["f"](x)  # type: ignore[operator, no-any-return]


ARITHMETIC = [
    (
        [
            function("torch.mean", "x", to="a", dim=1, keepdim=True),
            function("operator.sub", "x", "a", to="b"),
        ],
        ["return x - torch.mean(x, dim=1, keepdim=True)"],
    ),
    (
        [
            function("operator.mul", "x", to="a", left=2.0),
            function("operator.sub", "a", to="b", right=1.0),
        ],
        ["return 2.0 * x - 1.0"],
    ),
    (
        [
            function("operator.sub", "x", to="a", right=1.0),
            function("operator.mul", "a", "x", to="b"),
        ],
        ["return (x - 1.0) * x"],
    ),
    (
        [
            function("operator.sub", "x", to="a", right=1.0),
            function("operator.sub", "x", "a", to="b"),
        ],
        ["return x - (x - 1.0)"],
    ),
    (
        [
            function("operator.add", "x", to="a", right=3.0),
            function("operator.pow", "a", to="b", right=2.0),
        ],
        ["return (x + 3.0) ** 2.0"],
    ),
    ([function("operator.add", "x", to="a", right=-1.5)], ["return x - 1.5"]),
    (
        [
            function("operator.gt", "x", to="a", right=0.5),
            function("compat.cast", "a", to="b", dtype="float32"),
        ],
        ["return (x > 0.5).to(torch.float32)"],
    ),
    (
        [
            function("torch.square", "x", to="a"),
            function("torch.abs", "x", to="b"),
            function("torch.cat", "a", "b", to="c", dim=-1),
        ],
        ["return torch.cat([torch.square(x), torch.abs(x)], dim=-1)"],
    ),
]


@pytest.mark.parametrize(("steps", "lines"), ARITHMETIC, ids=lambda value: len(value))
def test_what_only_the_next_statement_takes_is_written_into_it(
    steps: list[Step], lines: list[str]
) -> None:
    architecture = Architecture(
        "Net", (InputValue("x", (None, 4), "float32"),), (steps[-1].output,), tuple(steps)
    )
    x = torch.linspace(-2, 2, 12).reshape(3, 4)

    assert forward(*steps) == lines
    assert torch.equal(computed(lines, x), ConvertedModel(architecture)(x))


def test_value_that_is_used_twice_has_a_variable() -> None:
    steps = [
        function("torch.abs", "x", to="a"),
        function("operator.mul", "a", "a", to="b"),
    ]

    assert forward(*steps) == ["x = torch.abs(x)", "return x * x"]


def test_calls_stay_in_their_order() -> None:
    first = Step("nn.Linear", ("x",), "a", "first")
    second = Step("nn.Linear", ("x",), "b", "second")

    lines = forward(first, second, function("operator.sub", "b", "a", to="c"))

    assert lines == ["y = self.first(x)", "return self.second(x) - y"]


def test_line_that_grows_too_long_is_written_in_parts() -> None:
    long = Step("nn.Linear", ("x",), "a", "a_layer_with_a_name_that_takes_half_of_the_whole_line")
    steps = [
        long,
        function("F.leaky_relu", "a", to="b", negative_slope=0.30000001192092896),
        function("operator.add", "x", "b", to="c"),
    ]

    lines = forward(*steps)

    assert lines == [
        f"y = self.{long.attribute}(x)",
        "y = F.leaky_relu(y, negative_slope=0.30000001192092896)",
        "return x + y",
    ]


def test_move_of_channels_that_is_returned_is_explained() -> None:
    lines = forward(function("torch.permute", "x", to="a", dims=(0, 3, 1, 2)))

    assert lines == ["return x.permute(0, 3, 1, 2)  # (batch, channels, height, width)"]
