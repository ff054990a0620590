from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.inputs import (
    RECIPES,
    Draw,
    InputLog,
    dropout_masks,
    find_recipe,
    spread,
    transitions,
)

CONFIGURATION = {"state_size": 4, "action_size": 3, "hidden_sizes": (7, 5, 3), "batch_size": 200}


def log(*, dtype: str = "float64", seed: int = 0) -> InputLog:
    return InputLog("transitions", CONFIGURATION, dtype=dtype, seed=seed)


def test_the_same_seed_gives_the_same_checksum() -> None:
    first, second, other = log(), log(), log(seed=1)
    for each in (first, second, other):
        each.draw()
    assert first.sha256 == second.sha256
    assert first.sha256 != other.sha256


def test_the_checksum_depends_on_every_draw() -> None:
    inputs = log()
    inputs.draw()
    before = inputs.sha256
    inputs.draw()
    assert inputs.sha256 != before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floating_arrays_get_the_dtype_of_the_run_and_others_keep_theirs(dtype: str) -> None:
    batch, noise = log(dtype=dtype).draw()
    assert {batch.observation.dtype, batch.reward.dtype, noise["dropout1"].dtype} == {
        np.dtype(dtype)
    }
    assert batch.action.dtype == np.int64
    assert batch.terminated.dtype == np.bool_


def test_transitions_have_every_action_zeros_negatives_and_both_kinds_of_end() -> None:
    batch, _ = transitions(CONFIGURATION, np.random.default_rng(0))
    assert set(batch.action) == {0, 1, 2}
    assert set(batch.terminated) == {True, False}
    for values in (batch.observation, batch.reward):
        assert (values == 0).any()
        assert (values < 0).any()


def test_values_spread_over_magnitudes() -> None:
    values = np.abs(spread(np.random.default_rng(0), (10_000,)))
    present = values[values > 0]
    assert np.quantile(present, 0.05) < 0.01
    assert np.quantile(present, 0.95) > 1


def test_masks_belong_to_all_hidden_layers_but_the_last_and_are_scaled() -> None:
    masks = dropout_masks({**CONFIGURATION, "dropout": 0.75}, np.random.default_rng(0), 50)
    assert {name: mask.shape for name, mask in masks.items()} == {
        "dropout1": (50, 7),
        "dropout2": (50, 5),
    }
    assert set(np.unique(masks["dropout1"])) == {0.0, 4.0}
    assert 0.1 < (masks["dropout1"] > 0).mean() < 0.4


def test_changes_are_laid_over_the_configuration() -> None:
    assert len(log().draw(batch_size=1).batch.reward) == 1


def test_a_recipe_may_be_a_function() -> None:
    assert find_recipe(transitions) == ("transitions", transitions)
    assert find_recipe("transitions") == ("transitions", RECIPES["transitions"])


def test_an_unknown_recipe_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="no input recipe 'images'; there are: transitions"):
        find_recipe("images")


class OwnBatch(NamedTuple):
    observation: NDArray[np.floating]
    returns: NDArray[np.floating]


def own_recipe(_: Mapping[str, object], rng: np.random.Generator) -> Draw:
    return Draw(OwnBatch(rng.random((3, 2)), rng.random(3)), {})


def test_a_recipe_may_have_a_batch_of_its_own() -> None:
    batch, _ = InputLog(own_recipe, {}, dtype="float32", seed=0).draw()

    assert type(batch) is OwnBatch
    assert batch.returns.dtype == np.float32
