from __future__ import annotations

import pytest

from experience.environments.names import (
    ATARI_NAMES,
    find_category,
    find_gymnasium_id,
    format_mapping,
)


@pytest.mark.parametrize(
    ("name", "category", "today"),
    [
        ("Ant-v2", "mujoco", "Ant-v5"),
        ("Hopper-v4", "mujoco", "Hopper-v4"),
        ("HumanoidStandup-v3", "mujoco", "HumanoidStandup-v5"),
        ("Assault", "atari", "ALE/Assault-v5"),
        ("ALE/Pong-v5", "atari", "ALE/Pong-v5"),
        ("Pendulum-v1", "other", "Pendulum-v1"),
    ],
)
def test_old_names_become_todays(name: str, category: str, today: str) -> None:
    assert (find_category(name), find_gymnasium_id(name)) == (category, today)


def test_there_are_62_games() -> None:
    assert len(set(ATARI_NAMES)) == 62


def test_mapping_is_said_and_only_where_there_is_one() -> None:
    assert format_mapping("Ant-v2") == "Ant-v2 is not in Gymnasium any more; Ant-v5 is used for it."
    assert format_mapping("Ant-v5") is None
