"""Samples of many self-played games, in parallel and repeatable.

Every game has its own generator, made of the seed and the number of the game, so that the samples do not depend on the
number of processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from experience.environments.royal_ur.board import FEATURES, PIECES
from experience.environments.royal_ur.evaluation import DEFAULT, Parameters
from experience.environments.royal_ur.packed_search import Tables, make_tables
from experience.environments.royal_ur.rules import make_state, roll_dice
from experience.environments.royal_ur.samples import Samples, join_samples
from experience.environments.royal_ur.search import MODES, Mode, check_depth
from experience.environments.royal_ur.self_play import play_exactly, play_faithfully
from experience.environments.royal_ur.workers import count_workers, run_tasks

FAITHFUL_TURNS = 200
"""Rolls after which the original gives a game up."""
CORRECTED_TURNS = 1_000
"""Corrected games end by themselves, after some 190 rolls; this only bounds memory."""
GAMES_PER_TASK = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the generation is."""

    games: int
    all_games: int
    samples: int
    seconds: float

    @property
    def samples_per_second(self) -> float:
        """Samples of all processes together, by the clock on the wall."""
        return self.samples / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Task:
    first_game: int
    games: int
    depth: int
    seed: int
    mode: Mode
    parameters: Parameters


def generate_samples(
    games: int,
    *,
    depth: int = 3,
    seed: int = 42,
    workers: int | None = None,
    mode: Mode = "corrected",
    parameters: Parameters = DEFAULT,
    on_progress: Callable[[Progress], None] | None = None,
) -> Samples:
    """Return the samples of self-played games.

    Args:
        games: at least 1.
        depth: of the search, 0 to 4.
        seed: of the dice; the expert itself uses no chance.
        workers: processes; None: RAYON_NUM_THREADS, else all cores. The samples do not depend on it.
        mode: "corrected", or "faithful" with the defects of the original.
        parameters: of the evaluation.
        on_progress: called after every few games.

    Raises:
        ValueError: No game, no such depth or mode, or a wrong number of workers.
    """
    check_depth(depth)
    if games < 1 or seed < 0 or mode not in MODES:
        msg = f"needed at least one game, a seed from 0, a mode of {MODES}; got {games}, {seed}, {mode!r}"
        raise ValueError(msg)
    tasks = [
        _Task(first, min(GAMES_PER_TASK, games - first), depth, seed, mode, parameters)
        for first in range(0, games, GAMES_PER_TASK)
    ]
    processes = min(count_workers(workers), len(tasks))
    if processes > 1:
        _play_task(
            _Task(0, 1, 1, 0, mode, parameters)
        )  # compiled once, here, and not by every process
    parts: list[Samples] = []
    done = samples = 0
    start = time.perf_counter()
    for task, part in zip(tasks, run_tasks(_play_task, tasks, workers=processes), strict=True):
        parts.append(part)
        done, samples = done + task.games, samples + len(part)
        if on_progress is not None:
            on_progress(Progress(done, games, samples, time.perf_counter() - start))
    return join_samples(parts)


def _play_task(task: _Task) -> Samples:
    return join_samples(list(_play_games(task)))


def _play_games(task: _Task) -> Iterator[Samples]:
    faithful = task.mode == "faithful"
    turns = FAITHFUL_TURNS if faithful else CORRECTED_TURNS
    weights = task.parameters.to_array()
    features = np.empty((turns, FEATURES), np.float32)
    values, pieces = np.empty(turns, np.float32), np.empty(turns, np.int64)
    for game in range(task.first_game, task.first_game + task.games):
        rolls = roll_dice(np.random.default_rng([task.seed, game]), turns)
        state = make_state()
        if faithful:
            count = play_faithfully(state, rolls, task.depth, weights, features, values, pieces)
        else:
            tables = _tables(task.parameters)
            count = play_exactly(state, rolls, task.depth, tables, features, values, pieces)
        policy = np.zeros((count, PIECES), np.float32)
        policy[np.arange(count), pieces[:count]] = 1.0
        yield Samples(
            features[:count].copy(), values[:count].copy(), policy, np.zeros(count, np.int32)
        )


@cache
def _tables(parameters: Parameters) -> Tables:
    """Return one set of tables of a process; its cache changes no result, only the time."""
    return make_tables(parameters)
