from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import Tensor

from converters.architecture import Architecture, InputValue, Step
from converters.live.build import build_model
from converters.live.model import ConvertedModel


def model() -> ConvertedModel:
    """Return sum(leaky_relu(x W)[:, 1:] * 2, over the numbered rows) in float32."""
    steps = (
        Step("nn.Linear", ("x",), "a", "fc", {"in_features": 3, "out_features": 4}, ("weight", "bias")),
        Step("F.leaky_relu", ("a",), "b", kwargs={"negative_slope": 0.2}),
        Step("operator.getitem", ("b",), "c", kwargs={"index": (("slice", None, None, None), ("slice", 1, None, None))}),
        Step("operator.mul", ("c",), "d", kwargs={"right": 2.0}),
        Step("torch.cat", ("d", "c"), "e", kwargs={"dim": -1}),
    )  # fmt: skip
    inputs = (InputValue("x", (None, 3), "float32"), InputValue("row", (None,), "int32"))
    draws = torch.Generator().manual_seed(0)
    state = {
        "fc.weight": torch.randn(4, 3, generator=draws),
        "fc.bias": torch.randn(4, generator=draws),
    }
    return build_model(Architecture("Net", inputs, ("e",), steps), state)


def batch() -> tuple[Tensor, Tensor]:
    return torch.linspace(-2, 2, 6).reshape(2, 3), torch.tensor([0, 1])


def saved_and_loaded(network: ConvertedModel) -> ConvertedModel:
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    loaded: ConvertedModel = torch.load(file, weights_only=False)
    return loaded


def test_model_can_be_saved_as_a_whole_and_copied() -> None:
    network = model()
    wanted = network(*batch())

    for same in (saved_and_loaded(network), copy.deepcopy(network)):
        assert torch.equal(same(*batch()), wanted)
        assert same.fc.weight.data_ptr() != network.fc.weight.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_inputs_follow_the_parameters_into_another_type(dtype: torch.dtype) -> None:
    x, rows = batch()
    wanted = model()(x, rows)

    network = model().to(dtype)

    for given in (x, x.to(dtype)):
        found = network(given, rows)
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)


def test_type_of_whole_numbers_is_kept() -> None:
    assert model().double()._dtypes == (torch.float64, torch.int32)
