from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env  # noqa: E402  after the skip

from experience.environments import make_environment  # noqa: E402
from experience.environments.language_learning import (  # noqa: E402
    DAY_S,
    LanguageLearningEnv,
    SimulatedClock,
)
from experience.environments.words import SAMPLE_WORDS, Word  # noqa: E402


class Script:
    """Stands for the environment's generator: chances and response times as written down."""

    def __init__(self, *, chance: float = 0.0, seconds: float = 6.0) -> None:
        self.chance, self.seconds = chance, seconds

    def random(self) -> float:
        return self.chance

    def uniform(self, low: float, high: float) -> float:
        assert (low, high) == (2.0, 10.0)
        return self.seconds

    def integers(self, high: int) -> int:
        return high - 1


RIGHT, WRONG = 0.0, 1.0


def scripted(**arguments: Any) -> tuple[LanguageLearningEnv, Script, SimulatedClock]:
    clock = SimulatedClock()
    environment = LanguageLearningEnv(clock=clock, **arguments)
    environment.reset(seed=0)
    script = Script()
    environment.np_random = script
    return environment, script, clock


def test_the_checker_of_gymnasium_finds_nothing() -> None:
    check_env(make_environment("LanguageLearning", seed=1).unwrapped, skip_render_check=True)


def test_the_pool_has_five_pairs_of_every_difficulty() -> None:
    assert [word.difficulty for word in SAMPLE_WORDS] == [d for d in range(1, 6) for _ in range(5)]
    assert len({word.english for word in SAMPLE_WORDS}) == 25
    assert SAMPLE_WORDS[0] == ("hello", "merhaba", 1)


@pytest.mark.parametrize(
    ("action", "seconds", "days", "reward"),
    [
        (0, 6.0, None, 1.1),
        (4, 6.0, None, 1.5),
        (2, 4.9, None, 1.5),
        (2, 5.0, None, 1.3),
        (0, 6.0, 3.9, 1.1),
        (0, 6.0, 4.5, 1.3),
        (0, 6.0, 7.9, 1.3),
        (0, 6.0, 8.5, 1.4),
        (1, 2.0, 30.0, 1.7),
    ],
    ids=[
        "easy", "expert", "fast", "just-not-fast", "three-days", "four-days", "seven-days", "eight-days", "all",
    ],
)  # fmt: skip
def test_a_right_answer_earns_what_the_rules_say(
    action: int, seconds: float, days: float | None, reward: float
) -> None:
    words = [Word("a", "b", difficulty) for difficulty in range(1, 6)]
    environment, script, clock = scripted(words=words)
    if days is not None:
        script.chance, script.seconds = WRONG, 3.0
        environment.step(action)
        clock.advance(days * DAY_S)
    script.chance, script.seconds = RIGHT, seconds

    earned = environment.step(action)[1]

    assert earned == pytest.approx(reward)


def test_a_wrong_answer_costs_half_whatever_else_holds() -> None:
    environment, script, clock = scripted()
    environment.step(4)
    clock.advance(30 * DAY_S)
    script.chance, script.seconds = WRONG, 2.0

    assert [environment.step(action)[1] for action in range(5)] == [-0.5] * 5


@pytest.mark.parametrize(
    ("action", "chance"), [(0, 1.0), (2, 0.8), (4, 0.6)], ids=["easy", "middle", "expert"]
)
def test_the_chance_is_the_accuracy_less_a_tenth_per_difficulty(action: int, chance: float) -> None:
    environment, script, _ = scripted()
    environment.step(0)
    assert environment.learner.accuracy == 1.0

    script.chance = chance - 1e-9
    assert environment.step(action)[4]["is_correct"] is True
    script.chance = chance + 1e-9
    assert environment.step(action)[4]["is_correct"] is False


def test_the_chance_never_falls_below_a_tenth() -> None:
    environment, script, _ = scripted()

    script.chance = 0.1
    assert environment.step(4)[4]["is_correct"] is False
    script.chance = 0.0999
    assert environment.step(4)[4]["is_correct"] is True


def test_the_state_after_three_answers_is_as_worked_out_by_hand() -> None:
    environment, script, _ = scripted()
    environment.step(1)
    script.chance = WRONG
    environment.step(1)
    script.chance = RIGHT
    state = environment.step(3)[0]

    # Words: 2 mastered (difficulties 2 and 4), 1 at zero; answers right, wrong, right.
    needed = [1, 3, 2 / 3, 2 / 3, 1, 0, 1 / 3, 0, 0, 0, 2 / 3, 3.0]
    np.testing.assert_allclose(state, np.array(needed, np.float32), rtol=1e-6)


def test_the_pause_between_sessions_is_seen_in_hours_up_to_a_week() -> None:
    environment, _, clock = scripted(pause_hours=30)
    first = environment.reset()[0]
    environment.step(0)

    assert first[5] == 0.0
    assert environment.reset()[0][5] == pytest.approx(30.0)
    clock.advance(100 * DAY_S)
    assert environment.reset()[0][5] == 168.0


def test_a_new_word_comes_before_a_due_one_and_a_due_one_before_the_rest() -> None:
    words = [Word("a", "b", 1), Word("c", "d", 1)]
    environment, script, clock = scripted(words=words)

    asked = [environment.step(0)[4]["word"]]
    clock.advance(3 * DAY_S)
    asked += [environment.step(0)[4]["word"] for _ in range(2)]
    script.chance = WRONG
    # Both were answered right and are not due: the generator chooses, here always the last one.
    asked.append(environment.step(0)[4]["word"])

    assert asked == ["a", "c", "a", "c"]


def test_of_the_due_words_the_least_mastered_comes_first() -> None:
    words = [Word("known", "b", 1), Word("unknown", "d", 1)]
    environment, script, clock = scripted(words=words)
    environment.step(0)
    script.chance = WRONG
    environment.step(0)
    clock.advance(60 * DAY_S)

    assert environment.step(0)[4]["word"] == "unknown"


@pytest.mark.parametrize(
    ("times_right", "days"),
    [(0, 1), (1, 2), (3, 8), (5, 30)],
    ids=["wrong", "once", "thrice", "cap"],
)
def test_the_next_review_is_two_to_the_power_of_right_answers(times_right: int, days: int) -> None:
    environment, script, clock = scripted(words=[Word("a", "b", 1)])
    script.chance = RIGHT if times_right else WRONG
    for _ in range(max(times_right, 1)):
        environment.step(0)

    review = environment.learner.progress[0].next_review

    assert review - clock() == pytest.approx(days * DAY_S)


def test_the_level_rises_with_every_ten_mastered_words() -> None:
    environment, _, _ = scripted()
    levels = [environment.step(action)[0][0] for action in [0] * 5 + [1] * 5]

    assert levels == [1.0] * 9 + [2.0]


def test_a_difficulty_without_words_falls_back_on_the_whole_pool() -> None:
    environment, _, _ = scripted(words=[Word("a", "b", 1), Word("c", "d", 2)])

    assert environment.step(4)[4]["word"] == "c"


def test_an_episode_is_twenty_words_and_leaves_the_learner_as_he_is() -> None:
    environment = LanguageLearningEnv()
    environment.reset(seed=2)

    ends = [environment.step(1)[2:4] for _ in range(20)]
    state = environment.reset(seed=2)[0]

    assert ends == [(False, False)] * 19 + [(True, False)]
    assert environment.learner.answers == 20
    assert state[1] == 5


def test_a_streak_beyond_the_space_is_clipped() -> None:
    environment, _, _ = scripted()
    for _ in range(101):
        state = environment.step(0)[0]

    assert environment.learner.streak == 101
    assert environment.observation_space.contains(state)


@pytest.mark.parametrize("action", [-1, 5])
def test_an_unknown_action_is_refused(action: int) -> None:
    environment, _, _ = scripted()

    with pytest.raises(ValueError, match=f"action {action}"):
        environment.step(action)


def play(environment: LanguageLearningEnv, seed: int, actions: list[int]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [tuple(environment.reset(seed=seed)[0])]
    rows += [(*step[0], step[1], step[4]["word"]) for step in map(environment.step, actions)]
    return rows


def test_equal_seeds_give_equal_episodes_and_others_do_not() -> None:
    actions = np.random.default_rng(0).integers(5, size=20).tolist()
    first, second, third = (play(LanguageLearningEnv(), seed, actions) for seed in (7, 7, 8))

    assert first == second
    assert first != third


def test_a_restored_environment_goes_on_like_the_first() -> None:
    first, second = LanguageLearningEnv(), LanguageLearningEnv()
    play(first, 1, [0, 1, 2, 3, 4] * 4)

    second.load_state_dict(first.state_dict())

    assert play(first, 9, [4, 3, 2, 1] * 5) == play(second, 9, [4, 3, 2, 1] * 5)


def test_a_state_of_a_larger_pool_is_refused() -> None:
    large, small = LanguageLearningEnv(), LanguageLearningEnv([Word("a", "b", 1)])
    play(large, 1, [0, 1, 2, 3])

    with pytest.raises(ValueError, match="another pool"):
        small.load_state_dict(large.state_dict())


def test_a_clock_of_dates_is_read_and_left_alone() -> None:
    now = datetime(2020, 1, 1, tzinfo=UTC)
    environment = LanguageLearningEnv(clock=lambda: now)
    environment.reset(seed=0)
    environment.step(0)

    now += timedelta(hours=5)

    assert environment.reset()[0][5] == pytest.approx(5.0)
