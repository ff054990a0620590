from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.environments.royal_ur import generation
from experience.environments.royal_ur.board import FEATURES
from experience.environments.royal_ur.generation import Progress, generate_samples
from experience.environments.royal_ur.samples import Samples, join_samples
from experience.environments.royal_ur.search import ExactSearch, FaithfulSearch

pytestmark = pytest.mark.slow  # compiles both searches
FIELDS = ("features", "value_target", "policy_target", "game")


def equal(one: Samples, other: Samples) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in FIELDS)


def state_from(features: np.ndarray) -> np.ndarray:
    """Return the state that the features were made of."""
    squares = [-1 if x < 0 else round(20 * float(x)) for x in features[:14]]
    player, roll = (1 if features[46] > 0 else 2), round(4 * float(features[47]))
    return np.array([*squares, player, roll], np.int8)


def test_the_samples_do_not_depend_on_the_number_of_processes() -> None:
    one, two = (generate_samples(25, depth=1, seed=3, workers=k) for k in (1, 2))

    assert equal(one, two)
    assert one.games == 25


def test_the_games_are_handed_to_as_many_processes_as_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def run_here(function: Any, tasks: Any, *, workers: int) -> Any:
        tasks = list(tasks)
        asked.append((workers, len(tasks)))
        return map(function, tasks)

    monkeypatch.setattr(generation, "run_tasks", run_here)
    monkeypatch.setenv("RAYON_NUM_THREADS", "2")

    samples = [generate_samples(25, depth=1, workers=workers) for workers in (3, None)]

    assert [workers for workers, _ in asked] == [3, 2]
    assert all(tasks > 1 for _, tasks in asked)
    assert equal(*samples)


def test_a_seed_fixes_the_games_and_more_games_begin_alike() -> None:
    few, more, other = (
        generate_samples(games, depth=1, seed=seed, workers=1)
        for games, seed in ((3, 0), (12, 0), (3, 1))
    )

    assert np.array_equal(few.features, more.features[: len(few)])
    assert not np.array_equal(few.features[:50], other.features[:50])


@pytest.mark.parametrize("depth", [1, 3])
def test_corrected_samples_are_the_exact_search_of_their_positions(depth: int) -> None:
    samples = generate_samples(1, depth=depth, workers=1)
    search = ExactSearch()

    for features, value, policy in zip(
        samples.features, samples.value_target, samples.policy_target, strict=True
    ):
        found = search.search(state_from(features), depth)
        assert value == np.float32(np.clip(found.moves[0].score / 10_000, -1, 1))
        assert (policy.argmax(), policy.sum()) == (found.piece, 1)
    single = samples.features[:, 48] == np.float32(1 / 7)
    assert samples.value_target[single].all()


def test_faithful_samples_keep_the_defects_of_the_original() -> None:
    samples = generate_samples(2, depth=2, mode="faithful", workers=1)

    single = samples.features[:, 48] == np.float32(1 / 7)
    assert single.any()
    assert not samples.value_target[single].any()
    for features, value in zip(samples.features, samples.value_target, strict=True):
        moves = FaithfulSearch().search(state_from(features), 2).moves
        score = moves[0].score if moves else 0.0
        assert value == np.float32(np.clip(score / 10_000, -1, 1))


@pytest.mark.parametrize(("mode", "passes"), [("corrected", True), ("faithful", False)])
def test_only_the_corrected_game_passes_the_turn(mode: generation.Mode, passes: bool) -> None:
    samples = generate_samples(3, depth=1, mode=mode, workers=1)
    passed = 0
    for k in range(len(samples) - 1):
        before, after = (state_from(samples.features[k + n]) for n in (0, 1))
        if samples.game[k] == samples.game[k + 1]:
            piece = int(samples.policy_target[k].argmax())
            moved = after[:14][(before[14] - 1) * 7 + piece]
            due = before[14] if moved in (0, 7, 13, 15, 16) else 3 - before[14]
            passed += after[14] != due

    assert (passed > 0) == passes


def test_progress_counts_games_and_samples() -> None:
    seen: list[Progress] = []

    samples = generate_samples(12, depth=1, workers=1, on_progress=seen.append)

    assert [(p.games, p.all_games) for p in seen] == [(10, 12), (12, 12)]
    assert seen[-1].samples == len(samples)
    assert seen[-1].samples_per_second == seen[-1].samples / seen[-1].seconds


@pytest.mark.parametrize(
    ("games", "options", "part"),
    [
        (0, {}, "at least one game"),
        (1, {"depth": 5}, "0 to 4 plies"),
        (1, {"seed": -1}, "a seed from 0"),
        (1, {"mode": "fast"}, "'fast'"),
        (1, {"workers": 0}, "at least one worker"),
    ],
)
def test_wrong_settings_are_refused(games: int, options: dict[str, object], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        generate_samples(games, **options)  # type: ignore[arg-type]


def test_parts_are_joined_with_games_numbered_on() -> None:
    part = Samples(
        np.ones((3, FEATURES), np.float32), np.zeros(3, np.float32),
        np.eye(7, dtype=np.float32)[:3], np.array([4, 4, 9], np.int32),
    )  # fmt: skip

    joined = join_samples([part, part])

    assert joined.game.tolist() == [0, 0, 1, 2, 2, 3]
    assert (len(joined), joined.games, len(join_samples([]))) == (6, 4, 0)
