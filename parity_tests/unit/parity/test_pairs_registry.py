from __future__ import annotations

from pathlib import Path

import pytest

from parity_tests.pairs import PAIRS, AgentPair, find_pair, load_pairs
from parity_tests.probes import PROBES, find_probe


def test_pairs_configurations_and_probes_have_names_of_their_own() -> None:
    names = [pair.name for pair in PAIRS]
    assert len(set(names)) == len(names)
    for pair in PAIRS:
        configs = [config.name for config in pair.configs]
        assert len(set(configs)) == len(configs)


def test_what_does_not_apply_to_a_pair_is_a_probe() -> None:
    assert {name for pair in PAIRS for name in pair.without} <= set(PROBES)


def test_an_unknown_pair_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ValueError, match="no pair named 'dqm'; nearest: dqn"):
        find_pair("dqm")


def test_an_unknown_configuration_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(
        ValueError, match="configuration of pair 'dqn' named 'duelling'; nearest: dueling"
    ):
        find_pair("dqn").find_config("duelling")


def test_an_unknown_probe_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ValueError, match="no probe named 'gradients'; nearest: gradient"):
        find_probe("gradients")


def test_the_first_configuration_is_the_one_without_a_name() -> None:
    assert find_pair("dqn").find_config(None).name == "plain"


MODULE = """
from parity_tests.pairs import AgentPair, Config
MINE = (AgentPair("mine", "m:A", "m:B", {"q_network": "get_q_values"}, (Config("plain"),), "CartPole-v1"),)
ONE = MINE[0]
NUMBER = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_agents_of_a_user.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return "own_agents_of_a_user"


@pytest.mark.parametrize("name", ["MINE", "ONE"], ids=["several", "single"])
def test_pairs_of_a_module_in_the_working_folder_are_found(module: str, name: str) -> None:
    pairs = load_pairs(f"{module}:{name}")
    assert isinstance(pairs[0], AgentPair)
    assert [pair.name for pair in pairs] == ["mine"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("own_agents_of_a_user", "write module:NAME"),
        ("own_agents_of_a_user:", "write module:NAME"),
        ("own_agents_of_a_user:YOURS", "has no 'YOURS'"),
        ("own_agents_of_a_user:NUMBER", "found int, needed a sequence of AgentPair"),
        ("there_is_no_such_module:PAIRS", "no module named 'there_is_no_such_module'"),
    ],
    ids=["no name", "empty name", "unknown name", "not pairs", "unknown module"],
)
def test_a_wrong_module_is_refused_with_the_reason(module: str, spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_pairs(spec)
