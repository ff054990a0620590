from __future__ import annotations

import pytest

from experience.presets import DQN_PRESETS, GENERAL, find_preset


@pytest.mark.parametrize("preset", [*DQN_PRESETS.values(), GENERAL], ids=[*DQN_PRESETS, "general"])
def test_a_preset_has_a_budget(preset: object) -> None:
    assert preset.episodes or preset.steps  # type: ignore[attr-defined]


def test_cartpole_is_looked_up_by_its_id() -> None:
    preset = find_preset("dqn", "CartPole-v1")

    assert preset.training.goal == 500.0
    assert preset.training.evaluate_every > 0


def test_a_name_and_its_alias_have_one_preset() -> None:
    assert find_preset("dqn", "LanguageLearning") is find_preset(
        "dqn", "torchward/LanguageLearning-v0"
    )
    assert find_preset("dqn", "LanguageLearning") is not GENERAL


def test_an_environment_without_a_preset_gets_the_general_one() -> None:
    assert find_preset("dqn", "Acrobot-v1") is GENERAL


def test_nothing_is_assumed_about_a_users_own_agent() -> None:
    assert find_preset("mine", "CartPole-v1").agent == {}
