"""The recorded positions of the original, random positions, and a search written once more without any speed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.rules import (
    State,
    apply_move,
    find_moves,
    find_winner,
    make_state,
    pass_turn,
    roll_dice,
)
from parity_tests import FIXTURES

POSITIONS: list[dict[str, Any]] = json.loads((FIXTURES / "ur_golden.json").read_text())["positions"]
NUMBERED = list(enumerate(POSITIONS))
START, END = -1, 20
PATH = {
    1: (3, 2, 1, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13),
    2: (19, 18, 17, 16, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15),
}
ROSETTES = (0, 7, 13, 15, 16)
Squares = dict[int, tuple[int, ...]]


def state_of(position: dict[str, Any]) -> State:
    return make_state(
        position["p1"], position["p2"], player=position["current"], roll=position["dice"]
    )


def random_states(count: int, seed: int) -> list[State]:
    """Return positions with a move, from all parts of games that chance plays."""
    generator = np.random.default_rng(seed)
    found: list[State] = []
    state = make_state()
    while len(found) < count:
        state[15] = roll_dice(generator, 1)[0]
        moves = find_moves(state)
        if not len(moves):
            pass_turn(state)
            continue
        if generator.random() < 0.05:
            found.append(state.copy())
        apply_move(state, int(generator.choice(moves)))
        if find_winner(state):
            state = make_state()
    return found


def squares_of(state: NDArray[np.int8]) -> Squares:
    return {1: tuple(state[:7].tolist()), 2: tuple(state[7:14].tolist())}


def plain_moves(squares: Squares, player: int, roll: int) -> list[tuple[int, int]]:
    """Return (piece, square it goes to) of every move."""
    moves = []
    enemy = squares[3 - player]
    for piece, square in enumerate(squares[player]):
        if square == END or roll == 0:
            continue
        step = (PATH[player].index(square) if square != START else -1) + roll
        if step > 14:
            continue
        target = END if step == 14 else PATH[player][step]
        if target != END and target in squares[player]:
            continue
        if target in enemy and target != END and target in ROSETTES:
            continue
        moves.append((piece, target))
    return moves


def plain_move(squares: Squares, player: int, piece: int, target: int) -> tuple[Squares, int]:
    """Return the squares after a move, and who rolls next."""
    own, enemy = list(squares[player]), list(squares[3 - player])
    own[piece] = target
    if target != END:
        enemy = [START if square == target else square for square in enemy]
    after = {player: tuple(own), 3 - player: tuple(enemy)}
    return after, player if target in ROSETTES else 3 - player


def plain_evaluation(squares: Squares) -> int:
    """Return the default evaluation, good for player 2 where positive."""
    parts = {}
    for player, pieces in squares.items():
        if pieces.count(END) == 7:
            return 10_000 if player == 2 else -10_000
        steps = [PATH[player].index(square) for square in pieces if square not in (START, END)]
        flowers = sum(square in ROSETTES for square in pieces)
        worth = 1000 * pieces.count(END) + 35 * len(steps) + (25 + 40) * flowers
        worth += sum(7 if 4 <= step <= 11 else 10 if step >= 12 else 0 for step in steps)
        parts[player] = (worth, sum(step + 1 for step in steps))
    return parts[2][0] - parts[1][0] + int((parts[2][1] - parts[1][1]) * 15 / 10)


def plain_leaf(squares: Squares, player: int) -> float:
    sign = 1 if player == 2 else -1
    quiet = sign * plain_evaluation(squares)
    total = 0.0
    for roll, weight in enumerate((1, 4, 6, 4, 1)):
        captures = [
            sign * plain_evaluation(plain_move(squares, player, piece, target)[0])
            for piece, target in plain_moves(squares, player, roll)
            if target != END and target in squares[3 - player]
        ]
        total += weight / 16 * max([quiet, *captures])
    return sign * total


def plain_value(squares: Squares, player: int, depth: int) -> float:
    """Return the expectiminimax value before a roll, good for player 2 where positive."""
    if any(pieces.count(END) == 7 for pieces in squares.values()):
        return plain_evaluation(squares)
    if depth == 0:
        return plain_leaf(squares, player)
    total = 0.0
    for roll, weight in enumerate((1, 4, 6, 4, 1)):
        values = [
            plain_value(*plain_move(squares, player, piece, target), depth - 1)
            for piece, target in plain_moves(squares, player, roll)
        ]
        if not values:
            values = [plain_value(squares, 3 - player, depth - 1)]
        total += weight / 16 * (max(values) if player == 2 else min(values))
    return total
