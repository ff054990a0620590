from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.subjects.scenarios import GUIDE, find_scenario
from benchmarks.subjects.transitions import ACTIONS, OBSERVATION_SIZE, make_transitions

MODULE = """
from typing import NamedTuple

import numpy as np

from parity_tests.inputs import Draw
from parity_tests.pairs import AgentPair, Config


class Steps(NamedTuple):
    observation: np.ndarray
    weight: np.ndarray


def draw(configuration, rng):
    shape = (configuration["batch_size"], configuration["state_size"])
    return Draw(Steps(rng.standard_normal(shape), rng.integers(3, size=shape[0])), {})


def pair(name):
    configs = Config("first", {"state_size": 7, "rate": 0.5}), Config("second", {"state_size": 3})
    return AgentPair(name, "nowhere:A", "nowhere:B", {"actor": "ask"}, configs, "CartPole-v1", draw)


PAIRS = (pair("steps"), pair("dqn"))
"""


@pytest.fixture
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "steps_pairs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "steps_pairs", raising=False)


@pytest.mark.usefixtures("_module")
@pytest.mark.parametrize("name", ["steps", "dqn"])
def test_a_pair_is_measured_on_its_first_configuration_and_its_recipe(name: str) -> None:
    scenario = find_scenario(name, "steps_pairs:PAIRS")

    first, second = scenario.draw_batch(5), scenario.draw_batch(5)
    assert scenario.arguments == {"state_size": 7, "rate": 0.5, "dtype": "float32"}
    assert scenario.networks == ("actor",)
    assert (first.observation.shape, first.observation.dtype) == ((5, 7), np.float32)
    assert first.weight.dtype == np.int64
    assert (first.observation != second.observation).all()


@pytest.mark.usefixtures("_module")
def test_in_an_environment_the_recipe_draws_its_sizes() -> None:
    pytest.importorskip("gymnasium")
    scenario = find_scenario("steps", "steps_pairs:PAIRS")

    environment = scenario.make_environment()
    sizes = scenario.sizes_of(environment)
    environment.close()

    assert sizes == {"state_size": 4, "action_size": 2}  # those of CartPole
    assert scenario.draw_batch(3, **sizes).observation.shape == (3, 4)


def test_the_guides_pair_is_measured_on_the_guides_transitions() -> None:
    scenario = find_scenario("dqn", None)

    assert scenario is GUIDE
    for found, wanted in zip(scenario.draw_batch(9), make_transitions(9), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_guides_environment_has_the_sizes_of_the_guides_transitions() -> None:
    pytest.importorskip("gymnasium")

    sizes = GUIDE.sizes_of(GUIDE.make_environment())

    assert sizes == {"state_size": OBSERVATION_SIZE, "action_size": ACTIONS}
