from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from experience.dataset_spaces import describe_environment, describe_space, infer_spaces
from experience.offline_data import make_episode


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"type": "Box", "dtype": "float32", "shape": [4]}', "Box(4,) float32"),
        ('{"type": "Box", "dtype": "uint8", "shape": [84, 84, 3]}', "Box(84, 84, 3) uint8"),
        ('{"type": "Discrete", "n": 3, "start": 0}', "Discrete(3)"),
        ('{"type": "Discrete", "n": 3, "start": 5}', "Discrete(3, start=5)"),
        ('{"type": "Dict"}', "Dict"),
        ("{", "unknown"),
        ("[1]", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_space_is_one_line(text: object, line: str) -> None:
    assert describe_space(text) == line


def test_an_environment_is_its_id() -> None:
    assert describe_environment('{"id": "CartPole-v1"}') == "CartPole-v1"
    assert describe_environment(None) is None


def test_spaces_are_taken_from_what_occurs() -> None:
    numbered = make_episode(np.zeros((3, 2)), [0, 4], [0, 0], [False, True], [False, False])
    measured = make_episode(
        np.zeros((3, 2)), [[-0.5, 1], [0.25, 3]], [0, 0], [False, True], [False, False]
    )

    assert infer_spaces([numbered])[1] == spaces.Discrete(5)
    observations, actions = infer_spaces([measured])
    assert actions.low.tolist() == [-0.5, 1]
    assert actions.high.tolist() == [0.25, 3]
    assert observations.shape == (2,)


def test_images_are_bytes() -> None:
    images = make_episode(np.zeros((2, 8, 8, 3), np.uint8), [0], [0], [True], [False])

    assert infer_spaces([images])[0] == spaces.Box(0, 255, (8, 8, 3), np.uint8)


def test_negative_numbers_of_actions_are_refused() -> None:
    episode = make_episode(np.zeros((2, 2)), [-1], [0], [True], [False])

    with pytest.raises(ValueError, match="from 0 on"):
        infer_spaces([episode])
