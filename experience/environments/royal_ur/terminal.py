"""A game between a person and a player, as text: the board, the roll, the moves to choose from.

Reads and writes through the functions it is given, so that it works in a terminal, through a pipe and in tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from experience.environments.royal_ur.board import FINISHED, ROLL, START, TURN
from experience.environments.royal_ur.matches import choose_pieces
from experience.environments.royal_ur.players import Player
from experience.environments.royal_ur.rules import (
    State,
    apply_move,
    count_moves,
    find_distinct_moves,
    find_winner,
    make_state,
    pass_turn,
    roll_dice,
)
from experience.environments.royal_ur.search import MoveScore, describe_move
from experience.environments.royal_ur.text_board import format_state

PROMPT = "your move (number, q to stop): "
RULES = (
    "Seven pieces each. Player 1 walks the upper row to the left, the middle one to the right, and leaves",
    "over the end of the upper row; player 2 the same below. * is a rosette: roll again, and in the middle",
    "row nobody can take you there. The roll has to be exact at the end.",
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """How a person is asked and told.

    Attributes:
        ask: shows a text and returns the answer, None at the end of the input.
        tell: shows a line.
    """

    ask: Callable[[str], str | None]
    tell: Callable[[str], None]


def play_in_terminal(
    opponent: Player, conversation: Conversation, *, name: str, side: int = 1, seed: int = 0
) -> int:
    """Play one game against a person, and return the winner, 1 or 2, or 0 if the person stopped.

    Args:
        opponent: who plays the other side.
        conversation: with the person.
        name: of the opponent, shown.
        side: of the person, 1 (rolls first) or 2.
        seed: of the dice and the opponent.

    Raises:
        ValueError: The opponent chose a piece that cannot move.
    """
    tell = conversation.tell
    generator = np.random.default_rng(seed)
    state = make_state()
    for line in RULES:
        tell(line)
    tell(f"You are player {side}, {name} is player {3 - side}.")
    while not find_winner(state):
        state[ROLL] = roll_dice(generator, 1)[0]
        who = "You" if state[TURN] == side else name
        if not count_moves(state):
            tell(f"{who} rolled {int(state[ROLL])}: no move, the turn passes.")
            pass_turn(state)
            continue
        if state[TURN] == side:
            tell("\n" + format_state(state))
            piece = _ask_for_move(state, conversation)
            if piece is None:
                tell("Stopped.")
                return 0
        else:
            piece = int(choose_pieces(opponent, state[None], generator)[0])
        tell(f"{who} rolled {int(state[ROLL])}: {format_move(describe_move(state, piece, 0.0))}.")
        apply_move(state, piece)
    winner = find_winner(state)
    tell("\n" + format_state(state))
    tell("You win." if winner == side else f"{name} wins.")
    return winner


def format_move(move: MoveScore) -> str:
    """Return a move in words: where from, where to, and what it does."""
    origin = "the start" if move.origin == START else str(move.origin)
    target = "the end" if move.target == FINISHED else str(move.target)
    note = {"rosette": ", a rosette: roll again", "capture": ", takes a piece"}.get(move.kind, "")
    return f"from {origin} to {target}{note}"


def _list_moves(state: State) -> Iterator[str]:
    for number, piece in enumerate(find_distinct_moves(state).tolist(), start=1):
        yield f"  {number}: {format_move(describe_move(state, piece, 0.0))}"


def _ask_for_move(state: State, conversation: Conversation) -> int | None:
    """Return the piece that the person chooses, None for the end."""
    pieces = find_distinct_moves(state).tolist()
    for line in _list_moves(state):
        conversation.tell(line)
    while True:
        answer = conversation.ask(PROMPT)
        text = "q" if answer is None else answer.strip().lower()
        if text in ("q", "quit"):
            return None
        if text.isascii() and text.isdecimal() and 1 <= int(text[:3]) <= len(pieces):
            return int(pieces[int(text[:3]) - 1])
        conversation.tell(f"Needed a number from 1 to {len(pieces)}, or q.")
