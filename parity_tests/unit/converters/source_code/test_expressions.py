"""Steps as expressions: what is written must mean what the step computes."""

from __future__ import annotations

import pytest

from converters.architecture import Step
from converters.source_code.expressions import function_call


@pytest.mark.parametrize("inner", ["x > y", "x + y", "-x"])
def test_an_index_is_of_the_whole_expression(inner: str) -> None:
    step = Step("operator.getitem", ("x",), "z", kwargs={"index": (("slice", 1, None, None),)})

    assert function_call(step, [inner]) == f"({inner})[1:]"


@pytest.mark.parametrize("inner", ["x", "torch.relu(x)", "self.mask", "x[0]"])
def test_an_index_needs_no_brackets_behind_what_binds_as_closely(inner: str) -> None:
    step = Step("operator.getitem", ("x",), "z", kwargs={"index": (0,)})

    assert function_call(step, [inner]) == f"{inner}[0]"
