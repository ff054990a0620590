from __future__ import annotations

import torch
from torch import Tensor, nn

from converters.own_pair.first_difference import find_first_difference
from converters.own_pair.tracing import INPUT, trace


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu = nn.Linear(3, 2), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        return x.add_(1.0) * torch.ones(2)


def test_calls_have_names_values_and_sources() -> None:
    module, x = InPlace(), torch.randn(4, 3)

    calls, result = trace(module, [x])

    assert [call.name for call in calls] == ["first", "relu", "add", "mul"]
    assert [call.sources for call in calls] == [(INPUT,), (0,), (1,), (2,)]
    assert torch.equal(calls[0].output, module.first(x))
    assert torch.equal(calls[1].output, module.first(x).relu())
    assert torch.equal(calls[2].input, module.first(x).relu())
    assert isinstance(result, Tensor)
    assert torch.equal(result, module.first(x).relu() + 1)


def test_correction_changes_what_follows() -> None:
    module, x = InPlace(), torch.randn(4, 3)

    calls, result = trace(module, [x], {0: [lambda call: call.output * 0]})

    assert torch.equal(calls[0].output, torch.zeros(4, 2))
    assert isinstance(result, Tensor)
    assert torch.equal(result, torch.ones(4, 2))


def test_hooks_are_gone_afterwards() -> None:
    module = InPlace()

    trace(module, [torch.randn(4, 3)])

    assert not module.first._forward_hooks
    assert not module.first._forward_pre_hooks


def test_other_order_of_channels_and_another_route_are_no_difference() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)

    class Routes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.permute(0, 2, 3, 1) + 5).exp().log() - 5

    calls, _ = trace(Routes(), [x])

    same = find_first_difference(calls, [x])
    other = find_first_difference(calls, [x * 2])

    assert same.number == len(calls)  # what lies between comes back to a value that is known
    assert other.number == 0
    assert other.describe() == "after layer 1 of 5, 'permute' (the first)"
