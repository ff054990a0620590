from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from experience.environments.royal_ur.players import HeuristicPlayer, RandomPlayer
from experience.environments.royal_ur.rules import make_state
from experience.environments.royal_ur.search import describe_move
from experience.environments.royal_ur.terminal import (
    PROMPT,
    Conversation,
    format_move,
    play_in_terminal,
)


class Person:
    """Answers from a list, then always the same; keeps what was shown."""

    def __init__(self, *answers: str | None, then: str | None = None) -> None:
        self.lines: list[str] = []
        self._answers: Iterator[str | None] = iter(answers)
        self._then = then

    def talk(self) -> Conversation:
        return Conversation(self._answer, self.lines.append)

    def _answer(self, prompt: str) -> str | None:
        self.lines.append(prompt)
        return next(self._answers, self._then)


@pytest.mark.parametrize("side", [1, 2])
def test_a_whole_game_is_played_and_its_winner_named(side: int) -> None:
    person = Person(then="1")

    winner = play_in_terminal(RandomPlayer(), person.talk(), name="chance", side=side, seed=2)

    assert winner in (1, 2)
    assert person.lines[-1] == ("You win." if winner == side else "chance wins.")
    assert f"player {winner} has won" in person.lines[-2]
    assert any("no move, the turn passes" in line for line in person.lines)
    assert any(", takes a piece" in line for line in person.lines)


@pytest.mark.parametrize("answer", ["q", " Quit ", None], ids=["q", "quit", "end of input"])
def test_the_person_may_stop(answer: str | None) -> None:
    person = Person(answer)

    assert play_in_terminal(HeuristicPlayer(), person.talk(), name="it") == 0
    assert person.lines[-1] == "Stopped."


@pytest.mark.parametrize("answer", ["", "0", "9", "-1", "one", "1.0", "²", "1" * 5000])
def test_another_answer_is_asked_again(answer: str) -> None:
    person = Person(answer, "q")

    play_in_terminal(HeuristicPlayer(), person.talk(), name="it")

    assert person.lines.count(PROMPT) == 2
    assert any(re.fullmatch(r"Needed a number from 1 to \d, or q\.", x) for x in person.lines)


def test_a_seed_repeats_the_game() -> None:
    people = [Person(then="1") for _ in range(3)]
    for person, seed in zip(people, (5, 5, 6), strict=True):
        play_in_terminal(RandomPlayer(), person.talk(), name="chance", seed=seed)

    assert people[0].lines == people[1].lines != people[2].lines


@pytest.mark.parametrize(
    ("square", "roll", "words"),
    [
        (-1, 2, "from the start to 2"),
        (13, 1, "from 13 to the end"),
        (6, 1, "from 6 to 7, a rosette: roll again"),
        (5, 3, "from 5 to 8, takes a piece"),
    ],
)
def test_a_move_is_said_in_words(square: int, roll: int, words: str) -> None:
    state = make_state((square, *(-1,) * 6), (8, *(-1,) * 6), roll=roll)

    assert format_move(describe_move(state, 0, 0.0)) == words
