from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from parity_tests.actor_critic_inputs import (
    IMAGES,
    basis_transitions,
    numbered_transitions,
    small_arguments,
)
from torch_impl import mixed_precision
from torch_impl.actor_critic import ActorCritic
from torch_impl.sac import SAC
from torch_impl.value_dqn import ValueDQN


@pytest.fixture(autouse=True)
def _cpu_with_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_precision, "_cpu_has_bfloat16", lambda: True)


def pair_of(kind: type[ActorCritic], **flags: Any) -> tuple[ActorCritic, ActorCritic, Any]:
    """Return an agent in float32, one in mixed precision, and a draw."""
    plain, mixed = (kind(small_arguments(**flags), device="cpu") for _ in range(2))
    recipe = basis_transitions if "basis_alg" in flags else numbered_transitions
    return plain, mixed, recipe({"args": plain.args}, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("kind", "flags"),
    [(SAC, {"basis_alg": "sac"}), (ValueDQN, {**IMAGES, "dueling": True})],
    ids=["sac", "images"],
)
def test_losses_are_those_of_float32_up_to_bfloat16(
    kind: type[ActorCritic], flags: dict[str, Any]
) -> None:
    plain, mixed, (batch, noise) = pair_of(kind, **flags)
    assert mixed.use_mixed_precision() is None

    expected, found = plain.losses(batch, noise), mixed.losses(batch, noise)

    # 2^-8 is the precision of bfloat16.
    assert found == pytest.approx(expected, rel=4 * 2**-8)
    assert found != expected


def test_weights_optimizers_and_losses_stay_in_float32() -> None:
    _, mixed, (batch, noise) = pair_of(SAC, basis_alg="sac")
    mixed.use_mixed_precision()

    figures = mixed._steps.losses("joint", *mixed._tensors(batch, noise)).figures
    mixed.train(batch, noise)

    slots = (
        s for o in mixed.optimizers.values() for each in o.state.values() for s in each.values()
    )
    tensors = [*mixed.network_modules().parameters(), *slots, *figures.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


def test_acting_is_not_changed() -> None:
    plain, mixed, (batch, _) = pair_of(SAC, basis_alg="sac")
    mixed.use_mixed_precision()

    assert np.array_equal(mixed.step(batch.observation), plain.step(batch.observation))


def test_float64_and_a_cpu_without_instructions_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = SAC(small_arguments(), dtype="float64", device="cpu")
    assert wide.use_mixed_precision() == "the agent is of float64"

    monkeypatch.setattr(mixed_precision, "_cpu_has_bfloat16", lambda: False)
    plain, mixed, (batch, noise) = pair_of(SAC, basis_alg="sac")
    assert "no instructions for bfloat16" in str(mixed.use_mixed_precision())
    assert mixed.train(batch, noise) == plain.train(batch, noise)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of inductor's own imports
def test_compiled_steps_are_in_mixed_precision_too() -> None:
    plain, mixed, (batch, noise) = pair_of(SAC, basis_alg="sac")
    mixed.use_mixed_precision()
    assert mixed.compile_steps() is None

    expected, found = plain.train(batch, noise), mixed.train(batch, noise)

    assert found == pytest.approx(expected, rel=4 * 2**-8)
    assert found != expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_training_runs_on_a_gpu() -> None:
    agent = SAC(small_arguments(), device="cuda")
    agent.use_mixed_precision()
    draw = basis_transitions({"args": small_arguments(basis_alg="sac")}, np.random.default_rng(0))

    assert np.isfinite(list(agent.train(*draw).values())).all()
