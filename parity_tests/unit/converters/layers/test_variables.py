"""A variable of a graph on its own: a parameter, or a constant that does not train."""

from __future__ import annotations

import pytest
import torch

from converters.architecture import Architecture, InputValue, Step
from converters.graph import Layer
from converters.live.build import build_model
from converters.registry import find_layer_rule
from torch_impl.keras_compat.variables import Variable


def model_with(*, constant: bool) -> torch.nn.Module:
    config = {"shape": (3,), **({"constant": True} if constant else {})}
    found = find_layer_rule("Variable").lower(Layer("log_std", "Variable", config))
    assert isinstance(found, list)
    [step] = found
    steps = (
        Step(step.op, (), "log_std", "log_std", dict(step.kwargs), state=("value",)),
        Step("operator.add", ("x", "log_std"), "y"),
    )
    inputs = (InputValue("x", (None, 3), "float32"),)
    architecture = Architecture("Net", inputs, ("y",), steps)
    return build_model(architecture, {"log_std.value": torch.tensor([1.0, 2.0, 3.0])})


def test_variable_is_a_parameter_that_is_added_as_it_is() -> None:
    model = model_with(constant=False)

    assert [name for name, _ in model.named_parameters()] == ["log_std.value"]
    assert model(torch.ones(2, 3)).tolist() == [[2.0, 3.0, 4.0]] * 2


def test_constant_is_a_buffer() -> None:
    model = model_with(constant=True)

    assert not list(model.parameters())
    assert [name for name, _ in model.named_buffers()] == ["log_std.value"]


@pytest.mark.parametrize("dtype", ["bool", "int64"])
def test_constant_of_whole_numbers_takes_them_without_a_change_of_type(dtype: str) -> None:
    values = torch.tensor([1, 0, 1], dtype=getattr(torch, dtype))
    config = {"shape": (3,), "constant": True, "dtype": dtype}
    [step] = list(find_layer_rule("Variable").lower(Layer("mask", "Variable", config)))

    module = Variable(**step.kwargs)
    module.load_state_dict({"value": values})

    assert module().dtype == values.dtype
