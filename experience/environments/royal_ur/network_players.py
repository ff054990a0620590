"""Players that ask a network, and the original's hand-written bonuses that play nearly as well without one.

The original adds 5 for finishing a piece, 2.5 for a rosette and 1.5 for a capture to what the network says, so a
network is judged with `bonuses="none"`, beside "only" and "both".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import (
    FINISHED,
    IS_ROSETTE,
    PIECES,
    ROLL,
    ROLL_WEIGHTS,
    START,
    STATE_SIZE,
    TURN,
)
from experience.environments.royal_ur.compilation import compiled
from experience.environments.royal_ur.features import extract_many
from experience.environments.royal_ur.rules import (
    State,
    apply_move,
    count_moves,
    find_distinct_moves,
    find_moves,
    find_square,
    find_winner,
    is_capture,
)
from experience.environments.royal_ur.search import Mode

ScoreFunction = Callable[[NDArray[np.float32]], tuple[NDArray[np.floating], NDArray[np.floating]]]
"""(rows, 150) features to (rows,) values, positive good for player 2, and (rows, 7) policy."""
Bonuses = Literal["none", "only", "both"]
BONUSES: tuple[Bonuses, ...] = ("none", "only", "both")
FINISH_BONUS, ROSETTE_BONUS, CAPTURE_BONUS = 5.0, 2.5, 1.5
WEIGHTS: dict[Mode, tuple[float, float]] = {"faithful": (0.7, 0.3), "corrected": (1.0, 0.0)}
"""Of value and policy in the score. A policy of 0.3 costs a network a third of its wins, docs/ur.md has the figures: what
the value says of moves differs less than what the policy does."""


@dataclass(frozen=True, slots=True)
class Moves:
    """The moves of many states, one after the other.

    Attributes:
        owner: (moves,), number of the state.
        piece: (moves,).
        bonus: (moves,).
        after: (moves, 16), the states they lead to; the roll is still there.
    """

    owner: NDArray[np.int64]
    piece: NDArray[np.int64]
    bonus: NDArray[np.float64]
    after: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class NetworkPlayer:
    """Chooses the move with the highest score, the first of equal ones; made by `network_player`.

    Attributes:
        score: the network; None plays by the bonuses alone.
        bonuses: "none" of them, "only" them, or "both".
        scoring: "faithful": 0.7 value + 0.3 policy, whoever moves, the value read with the roll already played;
            "corrected": the value alone, with the mover's sign, as an average over the next roll, equal pieces
            together.
        value_weight: of the value in the score.
        policy_weight: of the policy in it.
    """

    score: ScoreFunction | None
    bonuses: Bonuses
    scoring: Mode
    value_weight: float
    policy_weight: float

    def choose(
        self, state: State, valid_moves: NDArray[np.int64], generator: np.random.Generator
    ) -> int:
        """Return the best piece."""
        return int(self.choose_many(state[None], generator)[0])

    def choose_many(
        self, states: NDArray[np.int8], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the best piece of every state, with one call of the network for all of them."""
        distinct = self.score is not None and self.scoring == "corrected"
        moves = Moves(*list_moves(states, distinct))
        scores = np.zeros(len(moves.piece))
        if self.bonuses != "none":
            scores += moves.bonus
        if self.score is not None:
            scores += self._ask(self.score, states, moves)
        return _first_best(moves, scores, len(states))

    def _ask(
        self, score: ScoreFunction, states: NDArray[np.int8], moves: Moves
    ) -> NDArray[np.float64]:
        corrected = self.scoring == "corrected"
        if corrected:
            rows, row_move, row_weight = expand_rolls(moves.after)
        else:
            rows = moves.after
        values, policies = score(extract_many(np.concatenate([states, rows])))
        values = np.asarray(values, np.float64).reshape(-1)[len(states) :]
        policy = np.asarray(policies, np.float64)[: len(states)]
        if corrected:
            values = value_ends(moves.after) + np.bincount(
                row_move, row_weight * values, len(moves.piece)
            )
            values *= np.where(states[moves.owner, TURN] == 2, 1.0, -1.0)
            chances = share_policy(states, policy)
        else:
            chances = policy
        return self.value_weight * values + self.policy_weight * chances[moves.owner, moves.piece]


def network_player(
    score: ScoreFunction | None,
    *,
    bonuses: Bonuses = "none",
    scoring: Mode = "corrected",
    value_weight: float | None = None,
    policy_weight: float | None = None,
) -> NetworkPlayer:
    """Return a player that chooses by a network, by the bonuses, or by both.

    Args:
        score: what the network says of features; an object of a module's class if processes share the games.
        bonuses: "none", "only" (the network is not asked) or "both".
        scoring: "corrected", or "faithful" as in the original's game.
        value_weight: of the value in the score; None: that of the scoring in `WEIGHTS`.
        policy_weight: of the policy in it; None likewise.

    Raises:
        ValueError: No such bonuses or scoring, or no network where one is needed.
    """
    if bonuses not in BONUSES or scoring not in ("faithful", "corrected"):
        msg = f"bonuses are one of {BONUSES}, scoring faithful or corrected; got {bonuses!r}, {scoring!r}"
        raise ValueError(msg)
    if score is None and bonuses != "only":
        msg = f"bonuses={bonuses!r} needs a network; without one there is bonuses='only'"
        raise ValueError(msg)
    asked = None if bonuses == "only" else score
    value, policy = WEIGHTS[scoring]
    return NetworkPlayer(
        asked,
        bonuses,
        scoring,
        value if value_weight is None else value_weight,
        policy if policy_weight is None else policy_weight,
    )


def _first_best(moves: Moves, scores: NDArray[np.float64], states: int) -> NDArray[np.int64]:
    """Return the piece of the highest score of every state, the first of equal ones."""
    order = np.lexsort((np.arange(len(scores)), -scores, moves.owner))
    _, first = np.unique(moves.owner[order], return_index=True)
    chosen: NDArray[np.int64] = moves.piece[order[first]]
    if len(chosen) != states:
        msg = f"{states - len(chosen)} of {states} states have no move; pass their turn before"
        raise ValueError(msg)
    return chosen


@compiled
def list_moves(
    states: NDArray[np.int8],
    distinct: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int8]]:
    """Return the fields of `Moves`; with `distinct`, unstarted pieces are one move."""
    most = len(states) * PIECES
    owner, piece = np.empty(most, np.int64), np.empty(most, np.int64)
    bonus, after = np.zeros(most, np.float64), np.empty((most, STATE_SIZE), np.int8)
    count = 0
    for k in range(len(states)):
        moves = find_distinct_moves(states[k]) if distinct else find_moves(states[k])
        for move in moves:
            target = find_square(states[k], move)
            if target == FINISHED:
                bonus[count] = FINISH_BONUS
            elif IS_ROSETTE[target]:
                bonus[count] = ROSETTE_BONUS
            elif is_capture(states[k], target):
                bonus[count] = CAPTURE_BONUS
            owner[count], piece[count] = k, move
            after[count] = states[k]
            apply_move(after[count], move)
            count += 1
    return owner[:count], piece[:count], bonus[:count], after[:count]


@compiled
def value_ends(states: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return -1 or 1 where player 1 or 2 has won, else 0; the network is not asked about positions that are over."""
    values = np.zeros(len(states), np.float64)
    for k in range(len(states)):
        winner = find_winner(states[k])
        if winner:
            values[k] = 2.0 * winner - 3.0
    return values


@compiled
def expand_rolls(
    states: NDArray[np.int8],
) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.float64]]:
    """Return the states with every next roll that has a move, where they come from, and the odds.

    Rolls without a move are left out and the odds of the others sum to 1: a network has never seen a position without
    a move. If no roll has one, the state stands with its turn passed; if that does not help either, or the game is
    over, there is no row.

    Args:
        states: (states, 16), before their roll.

    Returns:
        (rows, 16), (rows,) numbers of states, (rows,).
    """
    most = len(states) * len(ROLL_WEIGHTS)
    rows = np.empty((most, STATE_SIZE), np.int8)
    owner, odds = np.empty(most, np.int64), np.empty(most, np.float64)
    count = 0
    for k in range(len(states)):
        if find_winner(states[k]):
            continue
        for passed in range(2):
            first, total = count, 0
            for roll in range(1, len(ROLL_WEIGHTS)):
                rows[count] = states[k]
                rows[count, ROLL] = roll
                if passed:
                    rows[count, TURN] = 3 - states[k, TURN]
                if count_moves(rows[count]):
                    owner[count], odds[count] = k, ROLL_WEIGHTS[roll]
                    total += ROLL_WEIGHTS[roll]
                    count += 1
            if total:
                odds[first:count] /= total
                break
    return rows[:count], owner[:count], odds[:count]


@compiled
def share_policy(states: NDArray[np.int8], policy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the policy with the share of all unstarted pieces of the mover at the first of them, (states, 7)."""
    shared = policy.copy()
    for k in range(len(states)):
        own = (states[k, TURN] - 1) * PIECES
        first = -1
        for piece in range(PIECES):
            if states[k, own + piece] == START:
                if first < 0:
                    first = piece
                else:
                    shared[k, first] += shared[k, piece]
                    shared[k, piece] = 0.0
    return shared
