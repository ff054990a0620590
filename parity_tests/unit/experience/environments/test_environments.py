from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from experience.environments import MissingExtraError, make_environment, measure_spaces

pytest.importorskip("gymnasium")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("CartPole-v1", (4, 2)), ("Acrobot-v1", (6, 3)), ("LanguageLearning", (12, 5)),
     ("torchward/LanguageLearning-v0", (12, 5))],
)  # fmt: skip
def test_sizes_are_read_off_the_spaces(name: str, sizes: tuple[int, int]) -> None:
    assert measure_spaces(make_environment(name)) == sizes


def test_a_seed_fixes_the_actions_and_the_next_episode() -> None:
    first, second = (make_environment("CartPole-v1", seed=5) for _ in range(2))

    assert [first.action_space.sample() for _ in range(20)] == [
        second.action_space.sample() for _ in range(20)
    ]
    np.testing.assert_array_equal(first.reset()[0], second.reset()[0])


def test_arguments_reach_the_environment() -> None:
    environment = make_environment("LanguageLearning", words_per_episode=3)

    environment.reset(seed=0)

    assert [environment.step(0)[2] for _ in range(3)] == [False, False, True]


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="CartPole"):
        make_environment("Cartpole-v1")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("Pendulum-v1", "its actions are Box"), ("FrozenLake-v1", "its observations are Discrete")],
)
def test_spaces_that_no_dqn_can_use_are_refused(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        measure_spaces(make_environment(name))


def test_without_gymnasium_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'torchward\[rl\]'"):
        make_environment("CartPole-v1")


def test_atari_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)

    with pytest.raises(MissingExtraError) as found:
        make_environment("ALE/Pong-v5")

    assert str(found.value) == (
        "environment ALE/Pong-v5 needs the package ale_py; install with: pip install 'torchward[atari]'"
    )


def test_importing_the_package_loads_neither_gymnasium_nor_a_framework() -> None:
    code = (
        "import sys, experience.environments, experience.training, experience.presets\n"
        "print([m for m in ('gymnasium', 'torch', 'tensorflow', 'tensorboard') if m in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
