from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_impl.variables import get_vars


def named() -> dict[str, torch.Tensor]:
    names = ("main/value/net/q/kernel", "main/value_1/net/q/kernel", "main/policy/net/pi/kernel")
    return {name: nn.Parameter(torch.zeros(2)) for name in names}


def test_prefix_takes_every_name_that_begins_so() -> None:
    variables = named()

    found = get_vars(variables, "main/value")

    assert [id(tensor) for tensor in found] == [
        id(tensor) for tensor in list(variables.values())[:2]
    ]


def test_parameters_that_are_not_trained_are_left_out() -> None:
    variables = named()
    variables["main/value/net/q/kernel"].requires_grad_(False)

    assert len(get_vars(variables, "main/value")) == 1


def test_module_has_its_own_names() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))

    assert get_vars(network, "1.") == [network[1].weight, network[1].bias]


def test_no_match_is_an_error_that_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no trained variable begins with 'critic'.*main/policy"):
        get_vars(named(), "critic")
