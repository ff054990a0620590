"""Short trainings of three weights by every optimizer of keras_compat, and how far two of them are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torch_impl.keras_compat import optimizers
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer

SHAPES = ((6, 4), (4,), (1, 3))
STEPS = 60
LEARNING_RATE = 0.01
Options = dict[str, Any]

CASES: list[tuple[str, Options]] = [
    ("Adam", {}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    ("Adam", {"amsgrad": True, "beta_2": 0.9}),
    ("Adam", {"weight_decay": 0.05}),
    ("Adam", {"clipnorm": 0.5}),
    ("Adam", {"global_clipnorm": 0.5}),
    ("Adam", {"clipvalue": 0.01}),
    ("Adam", {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7}),
    ("AdamW", {}),
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"global_clipnorm": 0.5}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "clipnorm": 0.5}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "epsilon": 1e-3}),
    ("Adagrad", {"epsilon": 1e-3}),
    ("Adadelta", {"rho": 0.5, "epsilon": 1e-2}),
    ("Adamax", {"beta_1": 0.5, "epsilon": 1e-3}),
    ("Nadam", {"beta_1": 0.7, "beta_2": 0.9}),
    ("Ftrl", {}),
    ("Ftrl", {"l1_regularization_strength": 0.01, "beta": 0.3, "learning_rate_power": -0.7}),
    ("Ftrl", {"l2_regularization_strength": 0.1, "l2_shrinkage_regularization_strength": 0.2}),
    ("Lion", {"beta_1": 0.8, "weight_decay": 0.01}),
    ("Lamb", {"beta_2": 0.95}),
    ("Adafactor", {}),
    ("Adafactor", {"clip_threshold": 0.5, "beta_2_decay": -0.6, "epsilon_2": 0.1}),
    ("Muon", {"rms_rate": None, "adam_lr_ratio": 0.5}),
    ("Muon", {"rms_rate": None, "nesterov": False, "ns_steps": 2, "weight_decay": None}),
    ("ScheduleFreeAdamW", {"weight_decay": 0.01}),
    ("ScheduleFreeAdamW", {"warmup_steps": 7, "beta_1": 0.8}),
    ("Adam", {"gradient_accumulation_steps": 3, "use_ema": True, "ema_overwrite_frequency": 4}),
    ("Nadam", {"gradient_accumulation_steps": 4}),
    ("SGD", {"loss_scale_factor": 3.0, "momentum": 0.9, "clipvalue": 0.01}),
]
IDS = ["-".join([name, *options]) for name, options in CASES]


def initial_weights() -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=shape) for shape in SHAPES]


def gradients() -> Iterator[list[NDArray[np.float64]]]:
    """Gradients over seven orders of magnitude, with one element that is always 0."""
    rng = np.random.default_rng(0)
    magnitudes = [10.0 ** rng.integers(-5, 2, size=shape) for shape in SHAPES]
    for _ in range(STEPS):
        step = [
            rng.normal(size=shape) * size for shape, size in zip(SHAPES, magnitudes, strict=True)
        ]
        step[0][0, 0] = 0.0
        yield step


def train_torch(
    make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer], dtype: str
) -> list[NDArray[np.floating]]:
    parameters = [torch.nn.Parameter(torch.tensor(w.astype(dtype))) for w in initial_weights()]
    optimizer = make(parameters)
    for step in gradients():
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.tensor(gradient.astype(dtype))
        if isinstance(optimizer, KerasOptimizer):
            optimizer.scale_loss(
                torch.ones(())
            )  # Keras takes all gradients for those of a scaled loss
        optimizer.step()
    return [parameter.detach().numpy() for parameter in parameters]


def ours(
    name: str, options: Options, dtype: str, learning_rate: Any = LEARNING_RATE
) -> list[NDArray[np.floating]]:
    return train_torch(lambda p: getattr(optimizers, name)(p, learning_rate, **options), dtype)


def difference(legacy: list[NDArray[np.floating]], torch_side: list[NDArray[np.floating]]) -> float:
    """The largest difference, relative to the weight or to 1, whichever is larger."""
    pairs = zip(legacy, torch_side, strict=True)
    return max(float(np.max(np.abs(t - k) / np.maximum(np.abs(k), 1))) for k, t in pairs)
