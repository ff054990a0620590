from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.offline_settings import (
    D3RLPY_ALGORITHMS,
    PRESETS,
    ActionScaling,
    choose_settings,
    d3rlpy_defaults,
    dense_layers,
    initial_weights,
)


def test_defaults_are_those_that_d3rlpy_documents() -> None:
    found = {name: d3rlpy_defaults(name) for name in D3RLPY_ALGORITHMS}

    assert found["DQN"]["lr"] == found["DiscreteCQL"]["lr"] == 6.25e-5
    assert found["DiscreteBCQ"]["action_flexibility"] == 0.3
    assert (found["IQL"]["expectile"], found["IQL"]["max_weight"]) == (0.7, 100.0)
    assert (found["CQL"]["conservative_weight"], found["CQL"]["n_action_samples"]) == (5.0, 10)
    assert found["AWAC"]["batch_size"] == 1_024
    assert found["TD3PlusBC"]["alpha"] == 2.5


@pytest.mark.parametrize("name", ["DiscreteCQL", "DiscreteCQLConfig"])
def test_names_of_d3rlpy_are_understood(name: str) -> None:
    assert d3rlpy_defaults(name) == d3rlpy_defaults("DiscreteCQL")


def test_every_algorithm_of_d3rlpy_has_a_row() -> None:
    assert {ours.name for ours in D3RLPY_ALGORITHMS.values()} == set(PRESETS)


def test_given_settings_replace_those_of_the_preset() -> None:
    settings = choose_settings("OfflineDQN", "d3rlpy", {"lr": 1e-3, "gamma": None})

    assert (settings["lr"], settings["gamma"], settings["loss"]) == (1e-3, 0.99, "huber")


def test_one_learning_rate_sets_all() -> None:
    settings = choose_settings("CQL", None, {"lr": 1e-3, "alpha_lr": 2e-3})

    assert settings["actor_lr"] == settings["critic_lr"] == 1e-3
    assert settings["alpha_lr"] == 2e-3


@pytest.mark.parametrize(
    ("algorithm", "preset", "given", "words"),
    [
        ("OfflineDQN", None, {"gama": 1}, "nearest: gamma"),
        ("IQL", "guide", {}, "no preset of IQL named 'guide'"),
        ("IQL", None, {"expectile": 1.5, "max_weight": 0}, "max_weight=0.*expectile=1.5"),
        ("OfflineDQN", None, {"loss": "l1"}, "needed mse or huber"),
        ("OfflineDQN", None, {"hidden_sizes": ()}, "hidden_sizes"),
    ],
    ids=["unknown", "preset", "range", "choice", "sizes"],
)
def test_wrong_settings_are_refused(
    algorithm: str, preset: str | None, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        choose_settings(algorithm, preset, given)


def test_unknown_algorithm_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="nearest: DiscreteCQL"):
        d3rlpy_defaults("DiscretCQL")


def test_first_weights_differ_by_network_and_seed_and_are_float32_numbers() -> None:
    layers = dense_layers(4, [7], {"q": 3})

    first, other, again = (
        initial_weights(name, layers, seed) for name, seed in (("a", 0), ("b", 0), ("a", 1))
    )

    assert list(first) == ["fc1/kernel", "fc1/bias", "q/kernel", "q/bias"]
    assert first["q/kernel"].shape == (7, 3)
    assert not np.array_equal(first["fc1/kernel"], other["fc1/kernel"])
    assert not np.array_equal(first["fc1/kernel"], again["fc1/kernel"])
    assert np.array_equal(first["q/bias"], first["q/bias"].astype(np.float32))


def test_scaling_takes_bounds_to_one() -> None:
    scaling = ActionScaling([-2.0, 0.0], [2.0, 10.0], 2)

    assert scaling.to_unit(np.array([[-2.0, 10.0], [0.0, 5.0]])).tolist() == [[-1, 1], [0, 0]]
    assert scaling.from_unit(np.array([[1.0, -1.0]])).tolist() == [[2.0, 0.0]]


@pytest.mark.parametrize(("low", "high"), [(None, 1.0), (1.0, 1.0)], ids=["half", "order"])
def test_wrong_bounds_are_refused(low: float | None, high: float) -> None:
    with pytest.raises(ValueError, match="action_low"):
        ActionScaling(low, high, 2)
