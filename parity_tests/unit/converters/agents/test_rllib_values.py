"""Agents of RLlib that learn action values: what RLlib 1.13 computed, and the formulas that no recording has."""

from __future__ import annotations

import pickle  # noqa: TID251  # writes files to be read without it
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

import torchward
from converters.errors import ConversionError, UnsupportedError
from parity_tests import FIXTURES

RANDOM = np.random.default_rng(7)
ATOMS, ACTIONS = 5, 3
SHAPES = {
    "fc_out": (4, 6), "hidden_0": (6, 7), "dense": (7, ACTIONS * ATOMS),
    "dense_1": (6, 8), "dense_2": (8, ATOMS),
}  # fmt: skip
SUPPORT = {"num_atoms": ATOMS, "v_min": -2.0, "v_max": 2.0}


@pytest.mark.parametrize(
    "case", ["rllib_dqn", "rllib_sac", "rllib_td3", "rllib_dqn_norm", "rllib_simpleq"]
)
def test_recorded_agents_give_what_rllib_gave(case: str, tmp_path: Path) -> None:
    with np.load(FIXTURES / case / "expected.npz") as arrays:
        known = dict(arrays)
    torchward.convert(FIXTURES / case / "checkpoint", tmp_path / "agent.pth")

    with torch.no_grad():
        found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(known["x0"]))

    common = set(known) & set(found)
    assert common >= {"action_dist_inputs"}
    assert set(known) & {"deterministic_action", "played"}
    if "played" in known:  # of discrete actions
        np.testing.assert_array_equal(found["deterministic_action"].numpy(), known["played"])
        assert {"q_values", "target_q_values"} <= set(found)
    for name in common:
        np.testing.assert_allclose(found[name].numpy(), known[name], rtol=0, atol=1e-5)


def test_critics_are_those_of_the_file(tmp_path: Path) -> None:
    torchward.convert(FIXTURES / "rllib_td3" / "checkpoint", tmp_path / "agent.pth")
    agent = torchward.load(tmp_path / "agent.pth")
    x, action = torch.randn(3, 3), torch.randn(3, 1)

    found = agent(x, action)

    assert {"q1", "q2", "target_q1", "target_q2"} <= set(found)
    state = {name: value.numpy() for name, value in agent.state_dict().items()}
    joined = np.concatenate([x.numpy(), action.numpy()], axis=1)
    for name in ("q1", "target_q2"):
        layers = sorted({key.rpartition(".")[0] for key in state if key.startswith(f"{name}.")})
        hidden = np.maximum(joined @ state[f"{layers[0]}.weight"].T + state[f"{layers[0]}.bias"], 0)
        by_hand = hidden @ state[f"{layers[1]}.weight"].T + state[f"{layers[1]}.bias"]
        np.testing.assert_allclose(found[name].detach().numpy(), by_hand, rtol=1e-5, atol=1e-5)


def written(folder: Path, **settings: object) -> tuple[Path, dict[str, Any]]:
    """Write the state of a distributional, dueling DQN as Ray 2 does; return its weights, too."""
    weights = {}
    for name, shape in SHAPES.items():
        weights[f"{name}/kernel"] = RANDOM.normal(size=shape).astype(np.float32)
        weights[f"{name}/bias"] = RANDOM.normal(size=shape[1]).astype(np.float32)
    state = {
        "weights": {f"default_policy/{name}": value for name, value in weights.items()},
        "policy_spec": {"config": {"model": {"fcnet_activation": "tanh"}, **settings}},
    }
    path = folder / "policy_state.pkl"
    path.write_bytes(pickle.dumps(state, 4))
    return path, weights


def test_a_distributional_dueling_dqn_gives_the_expectation_of_its_atoms(tmp_path: Path) -> None:
    path, w = written(tmp_path, **SUPPORT)
    torchward.convert(path, tmp_path / "agent.pth")
    x = RANDOM.normal(size=(2, 4)).astype(np.float32)

    found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(x))["q_values"]

    def dense(name: str, value: Any) -> Any:
        return value @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    features = np.tanh(dense("fc_out", x))
    scores = dense("dense", np.maximum(dense("hidden_0", features), 0)).reshape(2, ACTIONS, ATOMS)
    state = dense("dense_2", np.maximum(dense("dense_1", features), 0))[:, None]
    logits = state + scores - scores.mean(axis=1, keepdims=True)
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    by_hand = (chances * np.linspace(-2, 2, ATOMS)).sum(axis=-1)
    np.testing.assert_allclose(found.detach().numpy(), by_hand, rtol=1e-4, atol=1e-5)


def test_atoms_without_their_values_are_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path)

    with pytest.raises(UnsupportedError, match="the values of its 5 atoms"):
        torchward.convert(path, tmp_path / "agent.pth")


@pytest.mark.parametrize("setting", ["noisy", "add_layer_norm", "parameter_noise"])
def test_layers_that_the_file_does_not_have_are_refused(setting: str, tmp_path: Path) -> None:
    path, _ = written(tmp_path, **SUPPORT, **{setting: True})

    with pytest.raises(ConversionError, match=setting):
        torchward.convert(path, tmp_path / "agent.pth")


NOISY = {"hidden_0": (6, 5), "output": (5, ACTIONS)}


def written_noisy(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write the state of a DQN with noisy layers and without dueling; return its weights, too."""
    weights = {
        "fc_out/kernel": RANDOM.normal(size=(4, 6)).astype(np.float32),
        "fc_out/bias": RANDOM.normal(size=6).astype(np.float32),
    }
    for name, shape in NOISY.items():
        for part in ("fc", "sigma"):
            scope = f"q_func/action_value/{name}_{part}"
            weights[f"{scope}_w"] = RANDOM.normal(size=shape).astype(np.float32)
            weights[f"{scope}_b"] = RANDOM.normal(size=shape[1]).astype(np.float32)
    state = {
        "weights": {f"default_policy/{name}": value for name, value in weights.items()},
        "policy_spec": {"config": {"model": {"fcnet_activation": "tanh"}, "noisy": True}},
    }
    path = folder / "policy_state.pkl"
    path.write_bytes(pickle.dumps(state, 4))
    return path, weights


def test_noisy_layers_are_refused_with_what_turns_their_noise_off(tmp_path: Path) -> None:
    path, _ = written_noisy(tmp_path)

    with pytest.raises(ConversionError, match="draw new noise") as refused:
        torchward.convert(path, tmp_path / "agent.pth")

    assert "--set noise=off" in str(refused.value.hint)


def test_noisy_layers_without_noise_are_their_means(tmp_path: Path) -> None:
    path, w = written_noisy(tmp_path)
    torchward.convert(path, tmp_path / "agent.pth", settings={"noise": "off"})
    x = RANDOM.normal(size=(2, 4)).astype(np.float32)

    found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(x))["q_values"]

    scope = "q_func/action_value"
    value = np.tanh(x @ w["fc_out/kernel"] + w["fc_out/bias"])
    value = np.maximum(value @ w[f"{scope}/hidden_0_fc_w"] + w[f"{scope}/hidden_0_fc_b"], 0)
    by_hand = value @ w[f"{scope}/output_fc_w"] + w[f"{scope}/output_fc_b"]
    np.testing.assert_allclose(found.detach().numpy(), by_hand, rtol=1e-4, atol=1e-5)


def test_sac_on_images_has_scores_and_values_for_every_action(tmp_path: Path) -> None:
    weights: dict[str, Any] = {}
    for suffix in ("", "_1", "_2", "_3", "_4", "_5"):  # policy, two critics, and their targets
        for name, shape in {"conv1": (4, 3, 2, 5), "conv_out": (1, 1, 5, ACTIONS)}.items():
            weights[f"{name}{suffix}/kernel"] = RANDOM.normal(size=shape).astype(np.float32)
            weights[f"{name}{suffix}/bias"] = RANDOM.normal(size=shape[-1]).astype(np.float32)
    model = {"conv_filters": [[5, [4, 3], 1]]}
    state = {
        "weights": {f"default_policy/{name}": value for name, value in weights.items()}
        | {"default_policy/log_alpha": np.float32(0)},
        "policy_spec": {
            "action_space": Discrete(ACTIONS),
            "config": {"policy_model_config": model, "q_model_config": model},
        },
    }
    path = tmp_path / "policy_state.pkl"
    path.write_bytes(pickle.dumps(state, 4))
    torchward.convert(path, tmp_path / "agent.pth")
    x = RANDOM.normal(size=(3, 4, 3, 2)).astype(np.float32)

    with torch.no_grad():
        found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(x))

    def by_hand(suffix: str) -> Any:
        kernel, bias = weights[f"conv1{suffix}/kernel"], weights[f"conv1{suffix}/bias"]
        hidden = np.maximum(np.tensordot(x, kernel, 3) + bias, 0)  # an image as large as the kernel
        return (
            hidden @ weights[f"conv_out{suffix}/kernel"][0, 0] + weights[f"conv_out{suffix}/bias"]
        )

    names = {"logits": "", "q1": "_1", "q2": "_2", "target_q1": "_4", "target_q2": "_5"}
    assert set(names) <= set(found)
    for name, suffix in names.items():
        np.testing.assert_allclose(found[name].numpy(), by_hand(suffix), rtol=1e-4, atol=1e-5)


DDPG = {
    "fc_out": (3, 6), "value_out": (3, 1), "actor_hidden_0": (6, 5), "actor_out": (5, 2),
    "sequential/q_hidden_0": (8, 4), "sequential/q_out": (4, 1), "fc_out_1": (3, 6),
    "actor_hidden_0_1": (6, 5), "actor_out_1": (5, 2), "sequential_1/q_hidden_0": (8, 4),
    "sequential_1/q_out": (4, 1),
}  # fmt: skip


def written_ddpg(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write the state of a DDPG with `use_state_preprocessor`; return its weights, too."""
    weights: dict[str, Any] = {}
    for name, shape in DDPG.items():
        weights[f"{name}/kernel"] = RANDOM.normal(size=shape).astype(np.float32)
        weights[f"{name}/bias"] = RANDOM.normal(size=shape[1]).astype(np.float32)
    config = {"model": {"fcnet_activation": "tanh"}, "actor_hidden_activation": "elu"}
    bounds = np.array([-2.0, 0.0], np.float32), np.array([1.0, 3.0], np.float32)
    space = Box(*bounds)
    state = {
        "weights": {f"default_policy/{name}": value for name, value in weights.items()},
        "policy_spec": {"action_space": space, "config": config},
    }
    path = folder / "policy_state.pkl"
    path.write_bytes(pickle.dumps(state, 4))
    return path, weights


def test_ddpg_acts_on_the_features_of_its_state_preprocessor(tmp_path: Path) -> None:
    path, w = written_ddpg(tmp_path)
    torchward.convert(path, tmp_path / "agent.pth")
    x = RANDOM.normal(size=(2, 3)).astype(np.float32)
    action = RANDOM.normal(size=(2, 2)).astype(np.float32)

    found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(x), torch.from_numpy(action))

    def dense(name: str, value: Any) -> Any:
        return value @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    features = np.tanh(dense("fc_out", x))
    hidden = dense("actor_hidden_0", features)
    raw = dense("actor_out", np.where(hidden > 0, hidden, np.expm1(hidden)))
    chosen = np.array([-2.0, 0.0]) + 3 / (1 + np.exp(-2 * raw))
    joined = np.concatenate([features, action], axis=1)
    value = dense("sequential/q_out", np.maximum(dense("sequential/q_hidden_0", joined), 0))
    for name, by_hand in {"deterministic_action": chosen, "q1": value}.items():
        np.testing.assert_allclose(found[name].detach().numpy(), by_hand, rtol=1e-4, atol=1e-5)
