"""Offline agents of both frameworks train together; a planted fault drives them apart."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.offline_pairs import CONFIGS, PAIR_NAMES, recipe, specification

pytest.importorskip("torch")

UPDATES = 1_000
COPY_EVERY = 100
# Weights are of the order of 1; 1e-14 was measured after 1,000 updates, the issue promises 1e-11 after 10,000.
LIMIT = 1e-11


def settings(pair: str, *, config: str | None = None) -> dict[str, Any]:
    name = specification("torch_impl", pair).partition(":")[2]
    configs = CONFIGS[name]
    return dict(configs[config or next(iter(configs))])


def build(side: str, pair: str, **changes: Any) -> Any:
    module, _, name = specification(side, pair).partition(":")
    agent_class = getattr(importlib.import_module(module), name)
    return agent_class(**{**settings(pair), **changes}, dtype="float64", seed=1)


def worst_difference(legacy: Any, torch: Any) -> float:
    left, right = legacy.read_variables(), torch.read_variables()
    assert set(left) == set(right)
    return max(float(np.max(np.abs(left[name] - right[name]))) for name in left)


def train(pair: str, agents: tuple[Any, ...], updates: int) -> None:
    rng, draw = np.random.default_rng(5), recipe(pair)
    for number in range(1, updates + 1):
        batch, noise = draw(settings(pair), rng)
        for agent in agents:
            agent.update(batch, noise)
            if number % COPY_EVERY == 0 and "tau" not in agent.settings:
                agent.update_target_network()


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIR_NAMES)
def test_all_variables_and_targets_stay_together_in_float64(pair: str) -> None:
    pytest.importorskip("tensorflow")
    legacy, torch = (build(side, pair) for side in ("legacy_tf", "torch_impl"))
    assert worst_difference(legacy, torch) == 0.0
    first = torch.read_variables()

    train(pair, (legacy, torch), UPDATES)

    assert worst_difference(legacy, torch) < LIMIT
    # Nothing stood still: every array, targets included, has moved.
    last = torch.read_variables()
    assert all(np.abs(last[name] - first[name]).max() > 1e-4 for name in last)


FAULTS = {
    # pair: setting that differs on one side only, as if its formula were wrong
    "offline_dqn-discount": ("offline_dqn", {"gamma": 0.9901}),
    "offline_dqn-double": ("offline_dqn", {"double": True}),
    "discrete_cql-no-conservative-term": ("discrete_cql", {"alpha": 0.0}),
    "discrete_bcq-penalty": ("discrete_bcq", {"beta": 0.4999}),
    "behavioral_cloning-penalty": ("behavioral_cloning", {"beta": 1e-4}),
    "continuous_bc-bounds": ("continuous_bc", {"action_high": [1, 3, 2.001]}),
    "td3_bc-smoothing": ("td3_bc", {"target_smoothing_clip": 0.1}),
    "iql-expectile-side": ("iql", {"expectile": 0.3}),
    "iql-weight-clip": ("iql", {"max_weight": 1.0}),
    "cql-samples-weight": ("cql", {"conservative_weight": 4.999}),
    "awac-lambda": ("awac", {"lam": 1.001}),
    "awac-entropy": ("awac", {"temperature": 0.0}),
}
FAULTS_OF_UPDATES = {
    "td3_bc-interval": ("td3_bc", {"update_actor_interval": 1}),
    "cql-soft-target-rate": ("cql", {"tau": 0.00501}),
}


@pytest.mark.tf
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_seen_in_the_gradients(fault: str) -> None:
    pytest.importorskip("tensorflow")
    pair, changes = FAULTS[fault]
    sides = [
        build("legacy_tf", pair),
        build("torch_impl", pair),
        build("torch_impl", pair, **changes),
    ]
    draw = recipe(pair)(settings(pair), np.random.default_rng(2))
    for agent in sides:
        # Targets differ from online networks, else which of them a formula uses would not show.
        targets = {k: v for k, v in agent.read_variables().items() if k.startswith("target")}
        agent.write_variables({name: 0.7 * array for name, array in targets.items()})

    legacy, torch, faulty = (agent.loss_and_gradients(*draw)[1] for agent in sides)

    def worst(other: dict[str, Any]) -> float:
        return max(float(np.max(np.abs(legacy[name] - other[name]))) for name in legacy)

    scale = max(float(np.max(np.abs(array))) for array in legacy.values())
    assert worst(torch) < 1e-13 * scale
    assert worst(faulty) > 1e-7 * scale


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS_OF_UPDATES)
def test_planted_fault_is_seen_within_four_updates(fault: str) -> None:
    pytest.importorskip("tensorflow")
    pair, changes = FAULTS_OF_UPDATES[fault]
    legacy, torch = build("legacy_tf", pair), build("torch_impl", pair, **changes)

    train(pair, (legacy, torch), 4)

    assert worst_difference(legacy, torch) > 1e-8


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize("fault", ["terminated ignored", "data term left out"])
def test_wrong_formula_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    dqn = importlib.import_module("torch_impl.offline_dqn")
    if fault == "terminated ignored":
        right = dqn.td_target
        monkeypatch.setattr(
            dqn, "td_target", lambda r, d, v, gamma: right(r, 0.0 * d, v, gamma=gamma)
        )
    else:
        monkeypatch.setattr(
            dqn, "conservative_loss", lambda values, action: values.logsumexp(dim=1).mean()
        )
    legacy, torch = (build(side, "discrete_cql") for side in ("legacy_tf", "torch_impl"))

    train("discrete_cql", (legacy, torch), 1)

    assert worst_difference(legacy, torch) > 1e-5


@pytest.mark.tf
def test_both_sides_begin_with_equal_weights_and_draw_equal_noise() -> None:
    pytest.importorskip("tensorflow")
    legacy, torch = (build(side, "cql") for side in ("legacy_tf", "torch_impl"))

    noises = [agent.draw_noise(4) for agent in (legacy, torch)]

    assert worst_difference(legacy, torch) == 0.0
    assert all(np.array_equal(noises[0][name], noises[1][name]) for name in noises[0])


@pytest.mark.tf
@pytest.mark.parametrize("pair", ["discrete_bcq", "iql"])
def test_saved_legacy_agent_predicts_and_trains_on_as_before(pair: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    kept, draw = build("legacy_tf", pair), recipe(pair)
    rng = np.random.default_rng(0)
    for _ in range(3):
        kept.update(*draw(settings(pair), rng))
    kept.save(tmp_path / "agent")

    loaded = type(kept).load(tmp_path / "agent")
    batch, noise = draw(settings(pair), rng)
    losses = [agent.update(batch, noise)["loss"] for agent in (kept, loaded)]

    assert losses[0] == losses[1]
    assert worst_difference(kept, loaded) == 0.0
    np.testing.assert_array_equal(
        kept.predict(batch.observation), loaded.predict(batch.observation)
    )
