"""Agents of RL libraries compute and act as the libraries recorded it, converted, loaded and written as source."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.live.acting import ConvertedAgent
from parity_tests import FIXTURES

FORMATS = (
    *("stable-baselines-zip", "stable-baselines-cloudpickle"),
    *("baselines-deepq-act-pickle", "baselines-joblib-variables", "tf1-saver"),
)
FILES = sorted(
    (meta.parent.name, entry["path"])
    for meta in [*FIXTURES.glob("sb_*/meta.json"), *FIXTURES.glob("baselines_*/meta.json")]
    for entry in json.loads(meta.read_text())["artifacts"]
    if entry["format"] in FORMATS
    and (
        (meta.parent / entry["path"]).exists()
        or Path(f"{meta.parent / entry['path']}.index").exists()
    )
)
# What the recordings themselves promise: float32 sums in another order, relative to the largest number.
LIMIT = 1e-5
OUTPUTS = 2  # the fewest that were recorded: action and value of DDPG

Arrays = dict[str, NDArray[Any]]


def recorded(case: str) -> Arrays:
    with np.load(FIXTURES / case / "expected.npz") as file:
        return {name: file[name] for name in file.files}


def inputs_of(arrays: Arrays) -> list[torch.Tensor]:
    names = sorted(name for name in arrays if name[0] == "x" and name[1:].isdigit())
    return [torch.from_numpy(arrays[name]) for name in names]


def worst(found: torch.Tensor, expected: NDArray[Any]) -> float:
    assert tuple(found.shape) == expected.shape
    difference = np.abs(found.double().numpy() - expected.astype(np.float64)).max()
    return float(difference / max(1.0, np.abs(expected).max()))


def load_source(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("converted_agent", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], ConvertedAgent]:
    """Give the agent of a file, which is converted once for all tests."""

    @cache
    def folder_of(case: str, file: str) -> Path:
        folder = tmp_path_factory.mktemp(case)
        torchward.convert(FIXTURES / case / file, folder / "agent.pth")
        return folder

    def load(case: str, file: str) -> ConvertedAgent:
        agent = torchward.load(folder_of(case, file) / "agent.pth")
        assert isinstance(agent, ConvertedAgent)
        return agent

    return load


def convert(case: str, file: str, folder: Path, **options: Any) -> ConvertedAgent:
    torchward.convert(FIXTURES / case / file, folder / "agent.pth", **options)
    agent = torchward.load(folder / "agent.pth")
    assert isinstance(agent, ConvertedAgent)
    return agent


@pytest.mark.parametrize(("case", "file"), FILES)
def test_agents_compute_what_was_recorded(
    case: str, file: str, converted: Callable[[str, str], ConvertedAgent]
) -> None:
    expected = recorded(case)
    agent = converted(case, file)
    with torch.no_grad():
        found = agent(*inputs_of(expected))
    common = [name for name in expected if name in found]
    assert len(common) >= OUTPUTS or case.startswith("baselines")
    assert {name: worst(found[name], expected[name]) <= LIMIT for name in common} == dict.fromkeys(
        common, True
    )


@pytest.mark.parametrize(
    ("case", "file"), [item for item in FILES if "deterministic_action" in recorded(item[0])]
)
def test_agents_act_as_predict_does(
    case: str, file: str, converted: Callable[[str, str], ConvertedAgent]
) -> None:
    expected = recorded(case)
    agent = converted(case, file)
    recurrent = [expected["x1"], expected["x2"]] if "snew" in expected else []
    acted = agent.act(expected["x0"], *recurrent)
    action: Arrays = {"action": np.asarray(acted[0] if isinstance(acted, tuple) else acted)}
    wanted = expected["deterministic_action"]
    if "played" in expected and not file.startswith("tf1ckpt"):
        # Of predict, in the bounds of the space; a checkpoint of variables does not know them.
        wanted = expected["played"]
    if case == "sb_sac_mlp_pendulum":
        # What was recorded is the policy's own action, between -1 and 1; predict brings it to the torques of the
        # pendulum, -2 to 2, which a checkpoint of variables does not know.
        wanted = wanted * (1 if file.startswith("tf1ckpt") else 2)
    if wanted.dtype.kind == "i":
        np.testing.assert_array_equal(action["action"], wanted)
    else:
        np.testing.assert_allclose(
            action["action"], wanted, rtol=0, atol=LIMIT * np.abs(wanted).max()
        )


@pytest.mark.parametrize(
    ("case", "file"),
    [(case, file) for case, file in FILES if file in ("model.zip", "model.joblib")],
)
def test_emitted_agents_are_the_loaded_ones(case: str, file: str, tmp_path: Path) -> None:
    agent = convert(case, file, tmp_path, source_code=tmp_path / "model.py")
    written = getattr(load_source(tmp_path / "model.py"), agent.architecture.name)()
    state = torch.load(tmp_path / "agent.pth", weights_only=True)["model_state_dict"]
    written.load_state_dict(state)
    inputs = inputs_of(recorded(case))
    with torch.no_grad():
        expected, found = agent(*inputs), written(*inputs)
        assert list(found) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=0)
        recurrent = len(agent.architecture.inputs) == 3
        given = inputs if recurrent else inputs[:1]
        one, other = agent.act(*given), written.act(*given)
        torch.testing.assert_close(other, one, rtol=0, atol=0)
        torch.manual_seed(1)
        one = agent.act(*given, deterministic=False)
        torch.manual_seed(1)
        torch.testing.assert_close(written.act(*given, deterministic=False), one, rtol=0, atol=0)


def test_values_of_actions_are_left_out_without_an_action(tmp_path: Path) -> None:
    expected = recorded("sb_sac_mlp_pendulum")
    agent = convert("sb_sac_mlp_pendulum", "model.zip", tmp_path)
    alone, both = agent(*inputs_of(expected)[:1]), agent(*inputs_of(expected))
    assert set(both) - set(alone) == {"q1", "q2", "qf1", "qf2"}


def test_a_recurrent_agent_begins_with_zeros_and_gives_its_state(tmp_path: Path) -> None:
    agent = convert("sb_ppo2_lstm_cartpole", "model.zip", tmp_path)
    observation = recorded("sb_ppo2_lstm_cartpole")["x0"]
    zeros = np.zeros((len(observation), 24), np.float32)
    action, state = agent.act(observation)
    again, same = agent.act(observation, zeros, np.zeros(len(observation), bool))
    np.testing.assert_array_equal(action, again)
    np.testing.assert_array_equal(state, same)
    single, its_state = agent.act(observation[0])
    assert np.asarray(single) == np.asarray(action)[0]
    np.testing.assert_allclose(np.asarray(its_state), np.asarray(state)[0], atol=LIMIT)


def test_statistics_normalize_as_the_wrapper_did(tmp_path: Path) -> None:
    case = "sb_ppo2_pendulum_vecnorm"
    expected = recorded(case)
    torchward.convert(FIXTURES / case / "vecnormalize.pkl", tmp_path / "normalizer.pth")
    normalizer = torchward.load(tmp_path / "normalizer.pth")
    found = normalizer(torch.from_numpy(expected["raw_obs"]))["normalized_obs"]
    assert worst(found, expected["normalized_obs"]) <= LIMIT
    clipped = normalizer(torch.full((1, 3), 1e6))["normalized_obs"]
    assert clipped.tolist() == [[10.0, 10.0, 10.0]]

    plain = convert(case, "model.zip", tmp_path)
    whole = convert(
        case, "model.zip", tmp_path, normalizer=FIXTURES / case / "vecnormalize.pkl", force=True
    )
    raw = torch.from_numpy(expected["raw_obs"])
    torch.testing.assert_close(whole(raw)["mean"], plain(found)["mean"], rtol=1e-6, atol=1e-6)


def test_verification_plans_as_the_conversion_did(tmp_path: Path) -> None:
    case = FIXTURES / "sb_ppo2_pendulum_vecnorm"
    source, statistics = case / "model.zip", case / "vecnormalize.pkl"
    output = tmp_path / "agent.pth"
    torchward.convert(source, output, normalizer=statistics, settings={"activation": "tanh"})

    assert torchward.verify(source, output, normalizer=statistics).passed
    assert not torchward.verify(source, output).passed  # the statistics are in another file


def test_code_is_listed_and_not_read() -> None:
    notes = torchward.inspect(FIXTURES / "sb_ppo2_mlp_cartpole" / "model.zip").notes
    assert "not read (code): learning_rate, <class 'function'>" in notes
