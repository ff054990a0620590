"""Optimizers of torch.optim that go on with the state of Keras's: equal where the formulas are, else it is said."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from torch_impl.keras_compat import optimizers
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer
from torch_impl.keras_compat.stock_optimizers import CLASSES, stock_optimizer

EXACT = {"beta_1": 0.5, "beta_2": 0.75}  # float32 numbers, so that their powers are equal
# As in torch.optim: the only differences that are left are roundings of float32 numbers.
SAME: list[tuple[str, dict[str, Any]]] = [
    ("Adam", {"epsilon": 0.0, **EXACT}),
    ("Adam", {"epsilon": 0.0, **EXACT, "amsgrad": True, "weight_decay": 0.125}),
    ("AdamW", {"epsilon": 0.0, **EXACT}),
    ("SGD", {}),
    ("SGD", {"momentum": 0.5}),
    ("SGD", {"momentum": 0.5, "nesterov": True}),
    ("RMSprop", {"epsilon_inside_root": False, "momentum": 0.5, "centered": True}),
    ("Adagrad", {"epsilon_inside_root": False}),
    ("Adadelta", {}),
    ("Adamax", {"epsilon": 0.0}),
    ("Nadam", {}),
]


def trained(name: str, options: dict[str, Any]) -> tuple[KerasOptimizer, torch.Tensor]:
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    made: KerasOptimizer = getattr(optimizers, name)([parameter], 0.03125, **options)
    run(made, parameter, 4)
    return made, parameter


def run(optimizer: torch.optim.Optimizer, parameter: torch.Tensor, steps: int) -> torch.Tensor:
    for step in range(steps):
        parameter.grad = torch.tensor([0.5, -1.0, 0.25 * step + 0.125], dtype=torch.float64)
        optimizer.step()
    return parameter.detach().clone()


@pytest.mark.parametrize(
    ("name", "options"), SAME, ids=["-".join([name, *options]) for name, options in SAME]
)
def test_state_continues_where_the_formulas_agree(name: str, options: dict[str, Any]) -> None:
    keras_like, parameter = trained(name, options)
    stock = stock_optimizer(keras_like).optimizer
    assert type(stock).__module__.startswith("torch.optim")
    start = parameter.detach().clone()
    found = run(stock, parameter, 5)
    with torch.no_grad():
        parameter.copy_(start)
    wanted = run(keras_like, parameter, 5)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    assert (found - start).abs().min() > 1e-4


@pytest.mark.parametrize(
    ("name", "options", "change"),
    [
        ("Adam", {}, "after the bias correction"),
        ("RMSprop", {}, "added to the root"),
        ("Adamax", {}, "inside of the maximum"),
        ("SGD", {"momentum": 0.5}, "change with the learning rate"),
        ("SGD", {"global_clipnorm": 1.0}, "clip_grad_norm_"),
        ("SGD", {"dynamic_scale": 4.0}, "GradScaler"),
        ("SGD", {"use_ema": True}, "AveragedModel"),
        ("SGD", {"decay": 0.5}, "lr_scheduler"),
        ("Nadam", {"turns": [0]}, "once for each weight"),
    ],
)
def test_what_changes_is_said(name: str, options: dict[str, Any], change: str) -> None:
    assert any(change in text for text in stock_optimizer(trained(name, options)[0]).changes)


def test_a_product_of_momenta_that_is_not_kept_goes_along() -> None:
    optimizer, parameter = trained("Nadam", {})
    kept = optimizer.param_groups[0]["mu_product"]
    optimizer.param_groups[0]["mu_product"] = None
    stock = stock_optimizer(optimizer).optimizer
    assert stock.state[parameter]["mu_product"].item() == pytest.approx(kept, rel=1e-6)
    stock.step()


def test_nothing_changes_for_plain_gradient_descent() -> None:
    assert stock_optimizer(trained("SGD", {})[0]).changes == ()


@pytest.mark.parametrize("name", sorted({"Ftrl", "Lion", "Lamb", "Muon", "Adafactor"}))
def test_what_torch_does_not_have_is_refused(name: str) -> None:
    assert name not in CLASSES
    with pytest.raises(ValueError, match=f"nothing that updates as Keras's {name}"):
        stock_optimizer(trained(name, {})[0])


def test_weight_decay_of_another_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="adds weight decay to the gradient"):
        stock_optimizer(trained("SGD", {"weight_decay": 0.5})[0])


def test_momentum_without_learning_rate_is_refused() -> None:
    optimizer, _ = trained("SGD", {"momentum": 0.5})
    optimizer.param_groups[0]["lr"] = 0.0
    with pytest.raises(ValueError, match="learning rate of 0"):
        stock_optimizer(optimizer)
