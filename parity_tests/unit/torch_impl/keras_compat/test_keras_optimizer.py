"""What all optimizers share, with numbers worked by hand: scales, states, groups, averages, the learning rate."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from parity_tests.unit.torch_impl.keras_compat.short_trainings import (
    CASES,
    IDS,
    LEARNING_RATE,
    STEPS,
    Options,
    difference,
    gradients,
    initial_weights,
    ours,
)
from torch_impl.keras_compat import optimizers


def test_only_gradients_of_a_scaled_loss_are_divided_by_the_scale() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optimizers.SGD([parameter], 1.0, dynamic_scale=8.0)

    (2 * parameter).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert parameter.item() == -2
    optimizer.zero_grad()
    optimizer.scale_loss((2 * parameter).sum()).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert parameter.item() == -4
    optimizer.zero_grad()
    (2 * parameter).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert parameter.item() == -6


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_saved_state_continues_and_is_plain(name: str, options: Options) -> None:
    whole = ours(name, options, "float64")
    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in initial_weights()]
    optimizer = getattr(optimizers, name)(parameters, LEARNING_RATE, **options)
    for number, step in enumerate(gradients()):
        if number == STEPS // 2:
            buffer = io.BytesIO()
            torch.save(optimizer.state_dict(), buffer)
            buffer.seek(0)
            optimizer = getattr(optimizers, name)(parameters, 123.0)
            optimizer.load_state_dict(torch.load(buffer, weights_only=True))
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.scale_loss(torch.ones(()))
        optimizer.step()
    assert difference(whole, [p.detach().numpy() for p in parameters]) == 0
    assert optimizer.param_groups[0]["iterations"] == STEPS


def test_schedule_survives_saving() -> None:
    schedule = {
        "class_name": "ExponentialDecay",
        "config": {"initial_learning_rate": 1.0, "decay_steps": 2, "decay_rate": 0.25},
    }
    parameter = torch.nn.Parameter(torch.zeros(1))
    first = optimizers.SGD([parameter], schedule)
    parameter.grad = torch.ones(1)
    for _ in range(3):
        first.step()
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second = optimizers.SGD([parameter])
    second.load_state_dict(torch.load(buffer, weights_only=True))
    assert parameter.item() == -(1 + 0.5 + 0.25)
    assert second.learning_rate(second.param_groups[0]) == 0.125


def test_loaded_slots_continue_where_the_file_stopped() -> None:
    parameter = torch.nn.Parameter(torch.ones(2, 3, dtype=torch.float64))
    optimizer = optimizers.RMSprop([parameter], 0.5, rho=0.5, epsilon=0.0)
    optimizer.load_slots(7, {"square_avg": [torch.full((2, 3), 4.0)]})
    parameter.grad = torch.full((2, 3), 2.0, dtype=torch.float64)
    optimizer.step()
    # 0.5 * 4 + 0.5 * 4 = 4, the step is 0.5 * 2 / 2.
    assert torch.equal(parameter.detach(), torch.full((2, 3), 0.5, dtype=torch.float64))
    assert optimizer.param_groups[0]["iterations"] == 8


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ({"exp_avg": [torch.zeros(3, 2)]}, "parameter"),
        ({"exp_avg": []}, "0 tensors"),
        ({"momentum_buffer": [torch.zeros(2, 3)]}, "names"),
    ],
    ids=["transposed", "missing", "of another class"],
)
def test_slots_that_do_not_fit_are_refused(
    slots: dict[str, list[torch.Tensor]], message: str
) -> None:
    optimizer = optimizers.Adam([torch.nn.Parameter(torch.zeros(2, 3))])
    with pytest.raises(ValueError, match=message):
        optimizer.load_slots(1, slots)


def test_parameter_without_gradient_is_left_alone() -> None:
    used, unused = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    optimizer = optimizers.AdamW([used, unused], weight_decay=0.5)
    used.grad = torch.ones(1)
    optimizer.step()
    assert unused.item() == 1.0
    assert used.item() < 1.0


def test_average_starts_at_the_first_updated_weight() -> None:
    parameter = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = optimizers.SGD([parameter], 1.0, use_ema=True, ema_momentum=0.5)
    parameter.grad = torch.full((1,), 2.0, dtype=torch.float64)
    optimizer.step()
    optimizer.step()
    # weights -1, -3: the average is -1, then (-1 - 3) / 2
    assert optimizer.state[parameter]["average"].item() == -2.0


def test_legacy_decay_divides_by_the_iterations() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optimizers.SGD([parameter], 1.0, decay=1.0)
    parameter.grad = torch.ones(1, dtype=torch.float64)
    for _ in range(3):
        optimizer.step()
    assert parameter.item() == pytest.approx(-(1 + 1 / 2 + 1 / 3), abs=1e-15)


def test_learning_rate_is_a_float32_unless_the_model_was_float64() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    usual = optimizers.SGD([parameter], 0.1)
    wide = optimizers.SGD([parameter], 0.1, learning_rate_dtype="float64")
    assert usual.learning_rate(usual.param_groups[0]) == float(np.float32(0.1))
    assert wide.learning_rate(wide.param_groups[0]) == 0.1


def test_closure_is_evaluated_with_gradients() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = optimizers.SGD([parameter], 0.25)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (parameter**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    assert optimizer.step(closure) == 1.0
    assert parameter.item() == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "only one clipping"),
        ({"learning_rate_dtype": "float16"}, "learning_rate_dtype"),
    ],
    ids=["two clippings", "unknown dtype"],
)
def test_contradictory_options_are_refused(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimizers.Adam([torch.nn.Parameter(torch.zeros(1))], **options)


def test_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"clip_norm; known: .*clipnorm"):
        optimizers.Adam([torch.nn.Parameter(torch.zeros(1))], clip_norm=1.0)  # type: ignore[call-arg]


def test_mixed_dtypes_need_groups_of_their_own() -> None:
    single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    with pytest.raises(ValueError, match="one group for each"):
        optimizers.SGD([torch.nn.Parameter(single), torch.nn.Parameter(double)])
    groups = [{"params": [torch.nn.Parameter(t)]} for t in (single, double)]
    assert len(optimizers.SGD(groups).param_groups) == 2


def test_non_finite_gradient_is_not_hidden_by_the_global_clip() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = optimizers.SGD([parameter], 1.0, global_clipnorm=1.0)
    parameter.grad = torch.tensor([math.inf, 1.0])
    optimizer.step()
    assert torch.isnan(parameter).all()


@pytest.mark.slow
def test_training_does_not_import_the_compiler() -> None:
    code = """
import sys, torch
from torch_impl.keras_compat.optimizers import Adam
weight = torch.nn.Parameter(torch.ones(2))
optimizer = Adam([weight])
optimizer.zero_grad()
weight.sum().backward()
optimizer.step()
Adam([weight]).load_state_dict(optimizer.state_dict())
sys.exit(int("torch._dynamo" in sys.modules))
"""
    root = Path(__file__).parents[4]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_group_of_a_converted_file_names_only_what_the_file_states() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optimizers.Adam([parameter])
    group = {"learning_rate": 0.5, "beta_1": 0.75, "iterations": 4, "params": [0]}
    optimizer.load_state_dict({"state": {}, "param_groups": [group]})
    loaded = optimizer.param_groups[0]
    assert (loaded["lr"], loaded["beta_1"], loaded["iterations"]) == (0.5, 0.75, 4)
    assert loaded["beta_2"] == 0.999
