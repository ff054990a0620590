"""Optimizers of Keras 3 taken over in the middle of a training, live: convert, go on in both, compare every weight.

The formulas are compared in unit/torch_impl/keras_compat/test_optimizers.py; here it is what a file holds of them, and
that weights which lie otherwise in torch are updated as Keras updates them. A new optimizer is a line in `EXAMPLES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.live.load import read_converted
from torch_impl.checkpoints import TorchCheckpoint
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:You are saving your model")]

STEPS = 5
"""Before saving, and again after."""
TOLERANCE = {"float64": 1e-12, "float32": 2e-5}
"""Relative to the largest weight. float32: ten updates, of which Adam's first ones turn rounding into steps."""


@dataclass(frozen=True)
class Example:
    """One optimizer with its options; `dtype` is the precision of the network."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float64"
    scaled: bool = False  # inside a LossScaleOptimizer
    constrained: bool = False  # weights are, after every step

    def __str__(self) -> str:
        words = [word for word in ("scaled", "constrained") if getattr(self, word)]
        return "-".join([self.kind, *self.options, self.dtype, *words])


SCHEDULE = (
    "CosineDecay",
    {"initial_learning_rate": 0.01, "decay_steps": 8, "warmup_target": 0.02, "warmup_steps": 3},
)
EXAMPLES = [
    Example("Adafactor", {"learning_rate": 0.1}),
    Example("Muon", {"rms_rate": None, "exclude_layers": ["out.ut$"], "adam_weight_decay": 0.01}),
    Example("Muon", {"exclude_embeddings": False, "weight_decay": None}, dtype="float32"),
    Example("Lamb", {"learning_rate": 0.01}),
    Example("ScheduleFreeAdamW", {"warmup_steps": 7, "use_ema": True}),
    Example("Adam", {"gradient_accumulation_steps": 3, "global_clipnorm": 0.5}),
    Example("AdamW", {"learning_rate": SCHEDULE, "amsgrad": True}),
    Example("Nadam", {"use_ema": True, "ema_overwrite_frequency": 3}),
    Example("SGD", {"loss_scale_factor": 8.0, "momentum": 0.9, "nesterov": True, "clipnorm": 0.1}),
    Example("RMSprop", {"centered": True, "momentum": 0.5}, scaled=True),
    Example("Adam", {"use_ema": True}, constrained=True),
    Example("Ftrl", {"l1_regularization_strength": 0.01, "beta": 0.1, "clipvalue": 0.01}),
]


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:  # a module without types
    tensorflow = pytest.importorskip("tensorflow")
    found = pytest.importorskip("keras")
    yield SimpleNamespace(tf=tensorflow, keras=found)
    found.utils.clear_session(free_memory=False)


def build(frameworks: Any, dtype: str, *, constrained: bool) -> Any:  # a Keras model
    kinds = frameworks.keras.constraints
    limits: dict[str, Any] = {}
    if constrained:
        limits = {
            "convolution": {"kernel_constraint": kinds.MaxNorm(0.3, axis=[0, 1, 2])},
            "recurrent": {
                "recurrent_constraint": kinds.UnitNorm(axis=0),
                "bias_constraint": kinds.NonNeg(),
            },
            "hidden": {"kernel_constraint": kinds.MinMaxNorm(0.5, 0.9, rate=0.75, axis=1)},
        }
    layers = frameworks.keras.layers
    image = frameworks.keras.Input((6, 5, 2), name="image", dtype=dtype)
    words = frameworks.keras.Input((3,), name="words", dtype="int32")
    x = layers.Conv2D(
        3,
        (2, 3),
        activation="tanh",
        name="convolution",
        dtype=dtype,
        **limits.get("convolution", {}),
    )(image)
    x = layers.Flatten(name="flat", dtype=dtype)(x)
    y = layers.Embedding(7, 4, name="embedding", dtype=dtype)(words)
    y = layers.LSTM(3, name="recurrent", dtype=dtype, **limits.get("recurrent", {}))(y)
    x = layers.Concatenate(name="both", dtype=dtype)([x, y])
    x = layers.Dense(4, activation="tanh", name="hidden", dtype=dtype, **limits.get("hidden", {}))(
        x
    )
    return frameworks.keras.Model([image, words], layers.Dense(2, name="output", dtype=dtype)(x))


def make_optimizer(frameworks: Any, example: Example) -> Any:  # a Keras optimizer
    options = dict(example.options)
    rate = options.get("learning_rate")
    if isinstance(rate, tuple):
        options["learning_rate"] = getattr(frameworks.keras.optimizers.schedules, rate[0])(
            **rate[1]
        )
    made = getattr(frameworks.keras.optimizers, example.kind)(**options)
    if example.scaled:
        return frameworks.keras.optimizers.LossScaleOptimizer(
            made, initial_scale=64.0, dynamic_growth_steps=3
        )
    return made


def batches(dtype: str) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any], float]]:
    """Image, words, target, and what the loss is multiplied with: once infinity, which only a loss scale survives."""
    draws = np.random.default_rng(5)
    for _ in range(2 * STEPS):
        image = draws.normal(size=(4, 6, 5, 2)).astype(dtype)
        yield image, draws.integers(7, size=(4, 3)), draws.normal(size=(4, 2)).astype(dtype), 1.0


def train_keras(
    frameworks: Any, model: Any, optimizer: Any, steps: list[Any]
) -> None:  # a Keras model and optimizer
    tf = frameworks.tf
    for image, words, target, factor in steps:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model([image, words], training=True) - target) ** 2) * factor
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_weights)
        optimizer.apply(
            [tf.convert_to_tensor(gradient) for gradient in gradients], model.trainable_weights
        )


def train_torch(model: torch.nn.Module, optimizer: KerasOptimizer, steps: list[Any]) -> None:
    for image, words, target, factor in steps:
        optimizer.zero_grad()
        output = model(torch.from_numpy(image), torch.from_numpy(words))
        loss = (output - torch.from_numpy(target)).square().mean() * factor
        optimizer.scale_loss(loss).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def with_overflow(steps: list[Any], *, at: int) -> list[Any]:
    return [(*s[:3], float("inf") if i == at else 1.0) for i, s in enumerate(steps)]


def continue_both(
    frameworks: Any, example: Example, folder: Path, disturb: Callable[[KerasOptimizer], None]
) -> tuple[TorchCheckpoint, torch.nn.Module, KerasOptimizer]:
    """Return what Keras has at the end, converted, and the model and optimizer that went on from the middle."""
    frameworks.keras.utils.set_random_seed(3)
    model = build(frameworks, example.dtype, constrained=example.constrained)
    optimizer = make_optimizer(frameworks, example)
    model.compile(optimizer, "mse")
    steps = list(batches(example.dtype))
    if example.scaled:
        steps = [*with_overflow(steps[:STEPS], at=1), *with_overflow(steps[STEPS:], at=3)]
    for name, part in (("middle", steps[:STEPS]), ("end", steps[STEPS:])):
        train_keras(frameworks, model, optimizer, part)
        model.save(folder / f"{name}.keras")
        torchward.convert(folder / f"{name}.keras", folder / f"{name}.pth")
    converted, continued = torchward.load(folder / "middle.pth", optimizer=True)
    assert isinstance(continued, KerasOptimizer)
    disturb(continued)
    train_torch(converted, continued, steps[STEPS:])
    return read_converted(folder / "end.pth"), converted, continued


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_training_goes_on_as_in_keras(example: Example, keras: Any, tmp_path: Path) -> None:
    wanted, converted, continued = continue_both(keras, example, tmp_path, lambda optimizer: None)

    assert_weights_near(wanted, converted, example.dtype)
    assert_same_state(wanted.optimizer_state_dict, continued, example.dtype)


def assert_weights_near(legacy: TorchCheckpoint, found: torch.nn.Module, dtype: str) -> None:
    for name, value in found.state_dict().items():
        assert_near(name, legacy.model_state_dict[name], value, dtype)


def assert_near(name: str, legacy: torch.Tensor, found: torch.Tensor, dtype: str) -> None:
    scale = max(float(legacy.abs().max()), 1e-30)
    difference = float((legacy - found).abs().max()) / scale
    assert difference <= TOLERANCE[dtype], f"{name} is off by {difference:.1e}"


def assert_same_state(legacy: Any, found: KerasOptimizer, dtype: str) -> None:
    """Compare the state that Keras would have saved after the last step with that of the continued optimizer."""
    own = found.state_dict()
    for place, slots in legacy["state"].items():
        assert set(slots) == set(own["state"][place])
        for slot, tensor in slots.items():
            assert_near(f"{slot} of {place}", tensor, own["state"][place][slot], dtype)
    group, legacy_group = own["param_groups"][0], legacy["param_groups"][0]
    for name in ("iterations", "dynamic_scale", "scaled_steps", "mu_product"):
        if name in legacy_group:
            assert group[name] == pytest.approx(legacy_group[name], rel=1e-12), name


@pytest.mark.parametrize(
    ("example", "option", "value"),
    [
        (EXAMPLES[0], "keras_order", None),
        (EXAMPLES[1], "with_adam", [False] * 10),
        (EXAMPLES[5], "iterations", 6),
    ],
    ids=["axes of torch", "no Adam for vectors", "another place in the accumulation"],
)
def test_planted_fault_shows(
    example: Example, option: str, value: object, keras: Any, tmp_path: Path
) -> None:
    def disturb(optimizer: KerasOptimizer) -> None:
        optimizer.param_groups[0][option] = value

    try:
        wanted, converted, _ = continue_both(keras, example, tmp_path, disturb)
    except (RuntimeError, IndexError):
        return  # shapes that do not fit show as well
    with pytest.raises(AssertionError, match="is off by"):
        assert_weights_near(wanted, converted, example.dtype)
