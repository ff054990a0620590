"""The order of variables in lists without names is the one that the library itself recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import torchward
from converters.agents.facts import AgentFacts
from converters.agents.stable_baselines.list_order import names_in_order
from converters.errors import UnsupportedError
from converters.limits import Limits
from converters.readers import read_checkpoint
from converters.readers.pickles import Reference
from parity_tests import FIXTURES
from parity_tests.stable_baselines_files import Named, box, discrete, write_dqn, write_list

CASES = (
    *("sb_dqn_mlp_cartpole", "sb_dqn_own_class", "sb_ppo2_mlp_cartpole", "sb_sac_mlp_pendulum"),
    *(
        "sb_ppo2_pendulum_vecnorm",
        "sb_a2c_multidiscrete",
        "sb_acktr_mlp_cartpole",
        "sb_ddpg_popart",
        "sb_ppo2_lstm_cartpole",
    ),
)


def recorded(case: str) -> tuple[AgentFacts, list[str], list[tuple[int, ...]]]:
    """Return settings, names and shapes; the critic of DDPG ended with "qf" when lists had no names."""
    facts = read_checkpoint(FIXTURES / case / "model.zip", limits=Limits()).agent
    assert facts is not None
    listed = json.loads((FIXTURES / case / "meta.json").read_text())["parameter_list"]
    names = [name.removesuffix(":0").replace("qf_output", "qf") for name, _ in listed]
    return facts, names, [tuple(shape) for _, shape in listed]


@pytest.mark.parametrize("case", CASES)
def test_settings_tell_the_order(case: str) -> None:
    facts, names, shapes = recorded(case)
    assert names_in_order(facts, shapes) == names


def test_networks_that_were_listed_twice_are_taken_once() -> None:
    facts, names, shapes = recorded("sb_ddpg_popart")
    plain = {"normalize_observations": False, "normalize_returns": False}
    facts = replace(facts, settings={**facts.settings, **plain})
    once = [shape for name, shape in zip(names, shapes, strict=True) if "_rms/" not in name]
    assert names_in_order(facts, [*once, *once]) == names[: len(once)]


@pytest.mark.parametrize("behind", [0, 6], ids=["TRPO", "GAIL"])
def test_the_policy_before_the_last_update_is_left_out(behind: int) -> None:
    facts, names, shapes = recorded("sb_acktr_mlp_cartpole")
    kept = {name: facts.settings[name] for name in ("policy", "policy_kwargs", "action_space")}
    facts = replace(facts, settings={**kept, "max_kl": 0.01, "using_gail": behind > 0})
    discriminator = [(7, 100), (100,), (100, 100), (100,), (100, 1), (1,)][:behind]

    assert names_in_order(facts, [*shapes, *shapes, *discriminator]) == names
    assert names_in_order(facts, [*shapes, *shapes[1:], *discriminator]) == []


@pytest.mark.parametrize(
    ("name", "kwargs", "expected"),
    [
        ("MlpLstmPolicy", {"layers": [5]}, ["pi_fc0", "lstm1", "vf", "pi", "q"]),
        (
            "MlpLstmPolicy",
            {"net_arch": [8, "lstm", {"vf": [5, 10], "pi": [10]}]},
            ["shared_fc0", "lstm1", "pi_fc0", "vf_fc0", "vf_fc1", "vf", "pi", "q"],
        ),
        ("CnnLnLstmPolicy", {"n_lstm": 8}, ["c1", "c2", "c3", "fc1", "lstm1", "vf", "pi", "q"]),
    ],
    ids=["layers", "net_arch", "images"],
)
def test_layers_before_and_behind_an_lstm(
    name: str, kwargs: dict[str, object], expected: list[str]
) -> None:
    policy = Reference("stable_baselines.common.policies", name)
    settings = {"policy": policy, "policy_kwargs": kwargs, "cliprange": 0.2}
    parts = {"lstm1": 9 if "Ln" in name else 3}
    shapes = [(1,) for layer in expected for _ in range(parts.get(layer, 2))]

    found = names_in_order(AgentFacts("unnamed", settings), shapes)

    assert list(dict.fromkeys(each.split("/")[1] for each in found)) == expected


def test_layer_normalization_of_dqn_was_always_dueling() -> None:
    settings = {
        "policy": Reference("stable_baselines.deepq.policies", "LnMlpPolicy"),
        "policy_kwargs": {"layers": [5], "dueling": False},
        "exploration_fraction": 0.1,
    }
    stream = [(4, 5), (5,), (5,), (5,)]
    once = [*stream, (5, 3), (3,), *stream, (5, 1), (1,)]

    found = names_in_order(AgentFacts("unnamed", settings), [(), *once, *once])

    assert "deepq/model/state_value/LayerNorm/gamma" in found


def test_other_counts_and_sizes_are_no_order() -> None:
    facts, _, shapes = recorded("sb_ppo2_mlp_cartpole")
    assert names_in_order(facts, shapes[:-1]) == []
    assert names_in_order(facts, [shapes[1], shapes[0], *shapes[2:]]) == []


def test_a_list_is_the_agent_that_its_archive_is(tmp_path: Path) -> None:
    archive, arrays = write_dqn(tmp_path, dueling=True, with_norm=True)
    settings = {
        "policy": Named("stable_baselines.deepq.policies", "LnMlpPolicy"),
        "policy_kwargs": {"layers": [6]},
        "observation_space": box(-9, 9, (4,)),
        "action_space": discrete(3),
        "exploration_fraction": 0.1,
    }
    facts = read_checkpoint(archive, limits=Limits()).agent
    assert facts is not None
    order = names_in_order(facts, [array.shape for array in arrays.values()])
    values = [arrays[name] for name in order]
    listed = write_list(tmp_path / "list.pkl", settings, values)
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((5, 4)).astype(np.float32))

    found = []
    for path in (archive, listed):
        torchward.convert(path, path.with_suffix(".pth"), force=True)
        with torch.no_grad():
            found.append(torchward.load(path.with_suffix(".pth"))(x))

    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=0, atol=0)
    with pytest.raises(UnsupportedError, match="layer normalization"):
        torchward.convert(listed, tmp_path / "new.zip", to="sb3")
