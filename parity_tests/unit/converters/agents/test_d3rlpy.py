from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from experience.agent import Batch
from parity_tests import FIXTURES
from torch_impl.stored_agents import load_agent

D3RLPY = FIXTURES / "d3rlpy"
DISCRETE = ["dqn", "double_dqn", "discrete_cql", "discrete_bc", "discrete_bcq"]
OFFLINE = [*DISCRETE, "bc", "td3_plus_bc", "iql", "awac", "cql"]
SUITE = ["sac", "td3", "ddpg"]
UPDATES = 6
TARGET_INTERVAL = 4


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("d3rlpy")
    for name in [*OFFLINE, *SUITE]:
        torchward.convert(D3RLPY / name / "model.d3", folder / f"{name}.pth")
    return {name: folder / f"{name}.pth" for name in [*OFFLINE, *SUITE]}


def _expected(name: str) -> dict[str, np.ndarray]:
    with np.load(D3RLPY / name / "expected.npz") as file:
        return dict(file)


def _batches(expected: dict[str, np.ndarray], *, discrete: bool) -> Iterator[Batch]:
    for number in range(UPDATES):
        found = {
            name: expected[f"batch{number}/{name}"]
            for name in ("observations", "actions", "rewards", "next_observations", "terminals")
        }
        actions = found["actions"]
        yield Batch(
            found["observations"],
            actions[:, 0].astype(np.int64) if discrete else actions,
            found["rewards"][:, 0],
            found["next_observations"],
            found["terminals"][:, 0] > 0,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OFFLINE, *SUITE])
def test_a_converted_agent_acts_as_d3rlpy_did(converted: dict[str, Path], name: str) -> None:
    expected = _expected(name)

    agent: Any = load_agent(converted[name])

    actions = agent.act(expected["observation"], np.random.default_rng(0), explore=False)
    np.testing.assert_allclose(actions, expected["predict"], rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dqn", "double_dqn", "discrete_cql", "discrete_bcq"])
def test_values_of_all_actions_are_those_of_d3rlpy(converted: dict[str, Path], name: str) -> None:
    expected = _expected(name)

    agent: Any = load_agent(converted[name])

    found = agent.get_q_values(expected["observation"])
    np.testing.assert_allclose(found, expected["values"], rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_logits_of_a_cloned_policy_are_those_of_d3rlpy(converted: dict[str, Path]) -> None:
    expected = _expected("discrete_bc")

    agent: Any = load_agent(converted["discrete_bc"])

    # d3rlpy keeps them normalised.
    logits = agent.get_logits(expected["observation"])
    normalised = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(normalised, expected["logits"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["td3_plus_bc", "iql", "awac", "cql", "sac", "td3", "ddpg"])
def test_critics_of_continuous_actions_are_those_of_d3rlpy(
    converted: dict[str, Path], name: str
) -> None:
    expected = _expected(name)
    agent: Any = load_agent(converted[name])
    row, action = (torch.from_numpy(expected[key]) for key in ("observation", "action"))

    with torch.no_grad():
        if name in SUITE:
            critics = [n for n in agent.networks if n.startswith(("value", "q_value"))]
            values = [agent.networks[critic](row, action)[:, 0] for critic in critics]
        else:
            critics = ["critic_1", "critic_2"]
            values = [agent.evaluate(critic, agent.networks, row, action) for critic in critics]

    # d3rlpy's predict_value is the mean of the critics.
    found = torch.stack(values).mean(dim=0).numpy()
    np.testing.assert_allclose(found, expected["values"], rtol=1e-6, atol=1e-6)


def _noise(name: str, number: int) -> dict[str, np.ndarray]:
    """Draw what d3rlpy drew for this update, in its order."""
    torch.manual_seed(1000 + number)
    if name == "td3_plus_bc":
        return {"target": torch.randn(16, 3).numpy()}
    if name == "awac":
        return {
            "next": torch.randn(16, 3).numpy(),
            "value": torch.randn(1, 16, 3).numpy().transpose(1, 0, 2),
        }
    return {}


FIGURES = {
    "discrete_bcq": {"loss": "loss", "td_loss": "td_loss", "imitator_loss": "imitator_loss"},
    "discrete_cql": {
        "loss": "loss",
        "td_loss": "td_loss",
        "conservative_loss": "conservative_loss",
    },
    "td3_plus_bc": {"critic_loss": "critic_loss", "actor_loss": "actor_loss", "bc_loss": "bc_loss"},
    "iql": {"critic_loss": "critic_loss", "actor_loss": "actor_loss", "v_loss": "v_loss"},
    "awac": {"critic_loss": "critic_loss", "actor_loss": "actor_loss"},
}


@pytest.mark.parametrize("name", [*DISCRETE, "bc", "td3_plus_bc", "iql", "awac"])
def test_training_goes_on_as_in_d3rlpy(converted: dict[str, Path], name: str) -> None:
    expected = _expected(name)
    agent: Any = load_agent(converted[name])
    discrete = name in DISCRETE
    named = FIGURES.get(name, {"loss": "loss"})

    assert agent.updates == UPDATES
    for number, batch in enumerate(_batches(expected, discrete=discrete)):
        figures = agent.update(batch, _noise(name, number) or None)
        if discrete and (UPDATES + number) % TARGET_INTERVAL == 0:
            agent.update_target_network()
        for ours, theirs in named.items():
            recorded = expected[f"loss/{theirs}"][number]
            if not np.isnan(recorded):  # of a step that is due at every second update
                np.testing.assert_allclose(figures[ours], recorded, rtol=1e-5, atol=1e-6)

    after = agent.predict(expected["observation"])
    np.testing.assert_allclose(after, expected["predict_after"], rtol=1e-5, atol=1e-5)


def test_without_the_optimizers_state_training_would_go_another_way(
    converted: dict[str, Path],
) -> None:
    expected = _expected("dqn")
    agent: Any = load_agent(converted["dqn"])
    agent.optimizer.state.clear()

    losses = [agent.update(batch)["loss"] for batch in _batches(expected, discrete=True)]

    assert np.abs(losses[1:] - expected["loss/loss"][1:]).max() > 1e-3


def test_training_of_td3_goes_on_as_in_d3rlpy(converted: dict[str, Path]) -> None:
    expected = _expected("td3")
    agent: Any = load_agent(converted["td3"])

    for number, batch in enumerate(_batches(expected, discrete=False)):
        torch.manual_seed(1000 + number)
        noise = {"target": torch.randn(16, 3).numpy()}
        found = agent.train_q(batch, noise)
        np.testing.assert_allclose(found["Q_loss"], expected["loss/critic_loss"][number], rtol=1e-5)
        if (UPDATES + number) % agent.args.pi_delay_freq == 0:
            agent.train_pi(batch, noise)
            agent.target_update()

    actions = agent.act(expected["observation"], np.random.default_rng(0), explore=False)
    np.testing.assert_allclose(actions, expected["predict_after"], rtol=1e-4, atol=1e-5)


def test_training_of_ddpg_goes_on_as_in_d3rlpy(converted: dict[str, Path]) -> None:
    expected = _expected("ddpg")
    agent: Any = load_agent(converted["ddpg"])

    for number, batch in enumerate(_batches(expected, discrete=False)):
        noise = {"target": np.zeros((16, 3), np.float32)}
        found = agent.train_q(batch, noise)
        # The loss of two equal critics is twice that of one.
        np.testing.assert_allclose(
            found["Q_loss"] / 2, expected["loss/critic_loss"][number], rtol=1e-5
        )
        agent.train_pi(batch, noise)
        agent.target_update()

    actions = agent.act(expected["observation"], np.random.default_rng(0), explore=False)
    np.testing.assert_allclose(actions, expected["predict_after"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*OFFLINE, *SUITE])
def test_the_report_names_the_class_that_loads_the_file(name: str, tmp_path: Path) -> None:
    report = torchward.convert(D3RLPY / name / "model.d3", tmp_path / "agent.pth")

    assert report.agent is not None
    module, _, loader = report.agent["loader"].rpartition(".")
    assert hasattr(importlib.import_module(module), loader)
    # AWAC has a temperature that d3rlpy never uses.
    unused = [("log_temp._parameter", "belongs to no network of the agent")]
    assert list(report.ignored) == (unused if name == "awac" else [])


def test_settings_of_the_configuration_are_the_agents(converted: dict[str, Path]) -> None:
    agent: Any = load_agent(converted["discrete_cql"])

    assert agent.settings["lr"] == 3e-3
    assert agent.settings["gamma"] == 0.97
    assert agent.settings["hidden_sizes"] == [9, 7]
    assert agent.settings["target_update_freq"] == TARGET_INTERVAL
    assert agent.settings["alpha"] == 1.0
    assert agent.optimizer.param_groups[0]["lr"] == 3e-3


def test_a_converted_agent_can_be_saved_and_loaded_again(
    converted: dict[str, Path], tmp_path: Path
) -> None:
    expected = _expected("iql")
    agent: Any = load_agent(converted["iql"])

    agent.save(tmp_path / "again")

    again: Any = load_agent(tmp_path / "again.pth")
    np.testing.assert_array_equal(
        again.predict(expected["observation"]), agent.predict(expected["observation"])
    )


def test_inspection_shows_what_the_file_would_become(capsys: pytest.CaptureFixture[str]) -> None:
    assert torchward.main(["inspect", str(D3RLPY / "dqn" / "model.d3")]) == 0

    assert "d3rlpy 2.8.1" in capsys.readouterr().out
