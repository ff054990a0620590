"""Optimizers of several kinds in one object, beside each of them alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from torch_impl.keras_compat.optimizers import SGD, Adam, RMSprop
from torch_impl.keras_compat.several_optimizers import SeveralOptimizers

ALONE: dict[str, tuple[Any, dict[str, object]]] = {
    "Adam": (Adam, {"learning_rate": 0.01, "epsilon": 1e-8}),
    "RMSprop": (RMSprop, {"learning_rate": 0.02, "momentum": 0.5, "centered": True}),
    "SGD": (SGD, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
}


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(5)
    return [nn.Parameter(torch.randn(4, 3, generator=generator)) for _ in ALONE]


def together(weights: list[nn.Parameter]) -> SeveralOptimizers:
    groups = zip(weights, ALONE.items(), strict=True)
    return SeveralOptimizers(
        [{"params": [weight], "kind": kind, **options} for weight, (kind, (_, options)) in groups]
    )


def train(weights: list[nn.Parameter], optimizers: list[Any], count: int) -> None:
    for _ in range(count):
        for weight in weights:
            weight.grad = 2 * weight.detach() + 0.5
        for optimizer in optimizers:
            optimizer.step()


def test_every_group_is_updated_as_its_class_does_alone() -> None:
    weights, others = parameters(), parameters()
    alone = [
        make([weight], **options)
        for weight, (make, options) in zip(others, ALONE.values(), strict=True)
    ]

    train(weights, [together(weights)], 4)
    train(others, alone, 4)

    for weight, other in zip(weights, others, strict=True):
        assert torch.equal(weight, other)


def test_a_saved_state_goes_on_where_it_stopped() -> None:
    weights, others = parameters(), parameters()
    first = together(weights)
    train(weights, [first], 3)
    second = together(others)
    with torch.no_grad():
        for weight, other in zip(weights, others, strict=True):
            other.copy_(weight)

    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(weights, [first], 2)
    train(others, [second], 2)

    for weight, other in zip(weights, others, strict=True):
        assert torch.equal(weight, other)


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="names 'LBFGS' as its optimizer; known: Adadelta"):
        SeveralOptimizers([{"params": parameters(), "kind": "LBFGS"}])
