"""The vocabulary tutor of the migration guide as a Gymnasium environment.

An action is the difficulty of the next word; a simulated learner answers it. Unlike the original, which used the
global generator and the wall clock, chance comes from the environment's own generator and time from a clock that
is handed in, so that an episode can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from experience.environments.words import SAMPLE_WORDS, Word

DIFFICULTIES = 5
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
MAX_PAUSE_HOURS = 168.0
"""A week; a longer pause looks the same to the agent."""
RECENT_ANSWERS = 10
FAST_ANSWER_S = 5.0
STATE_HIGH = (100.0, 10_000.0, 1.0, 1.0, 100.0, MAX_PAUSE_HOURS, 1.0, 1.0, 1.0, 1.0, 1.0, 5.0)

Clock = Callable[[], "float | datetime"]


@dataclass(slots=True)
class SimulatedClock:
    """Time that passes only when it is told to.

    Attributes:
        seconds: present time.
    """

    seconds: float = 0.0

    def __call__(self) -> float:
        """Return the present time in seconds."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@dataclass(slots=True)
class WordProgress:
    """What the learner has done with one word; times in seconds of the clock."""

    right: int = 0
    wrong: int = 0
    last_seen: float = 0.0
    next_review: float = 0.0

    @property
    def mastery(self) -> float:
        """Share of right answers, in [0, 1]."""
        return self.right / (self.right + self.wrong)


@dataclass(slots=True)
class Learner:
    """All that is known of the learner; it outlives the episodes.

    Attributes:
        last_session: when the last word was answered, in seconds of the clock.
        progress: by place in the word pool.
        answers: words answered so far.
        right: of them, answered right.
        recent: the last ten answers, the latest last.
        streak: right answers since the last wrong one.
    """

    last_session: float
    progress: dict[int, WordProgress] = field(default_factory=dict)
    answers: int = 0
    right: int = 0
    recent: list[bool] = field(default_factory=list)
    streak: int = 0

    @property
    def accuracy(self) -> float:
        """Share of right answers over all time; 0 before the first."""
        return self.right / self.answers if self.answers else 0.0

    @property
    def level(self) -> int:
        """One level per ten words with a mastery over 0.7, counted from 1."""
        return 1 + sum(word.mastery > 0.7 for word in self.progress.values()) // 10


class LanguageLearningEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Choose the difficulty of 20 words; the learner's progress outlives the episode.

    Observation, (12,), float32, not scaled: level, words seen, accuracy, accuracy of the last ten answers, streak,
    hours since the last answer (168 at most), the share of seen words per fifth of mastery (five numbers), mean
    difficulty of the words with a mastery over 0.5. Action: 0 to 4, difficulty 1 to 5.

    Args:
        words: the pool.
        clock: gives the time in seconds or as a datetime; None: a `SimulatedClock`. A clock with a method
            `advance(seconds)` is moved on by answers and by the pauses between episodes, any other is only read.
        words_per_episode: then the episode is terminated.
        pause_hours: between the end of an episode and the next, on a clock that can be advanced.

    Raises:
        ValueError: The pool is empty, or a number is out of range.

    Source: facts of the guide's LanguageLearningEnv. Observations are clipped to their space, which the original
    leaves when a streak passes 100.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium declares it as an instance variable

    def __init__(
        self,
        words: Sequence[Word] = SAMPLE_WORDS,
        *,
        clock: Clock | None = None,
        words_per_episode: int = 20,
        pause_hours: float = 24.0,
    ) -> None:
        if not words or words_per_episode < 1 or pause_hours < 0:
            msg = (
                f"{len(words)} words, {words_per_episode} an episode, pauses of {pause_hours} hours; "
                "needed at least one word, one an episode and no negative pause"
            )
            raise ValueError(msg)
        high = np.array(STATE_HIGH, np.float32)
        self.observation_space = gymnasium.spaces.Box(np.zeros_like(high), high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Discrete(DIFFICULTIES)
        self.words = tuple(Word(*word) for word in words)
        self.clock: Clock = SimulatedClock() if clock is None else clock
        self.words_per_episode, self.pause_hours = words_per_episode, pause_hours
        self.learner = Learner(last_session=self._now())
        self._asked = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin the next session of the same learner; `seed` restarts chance, not the learner."""
        super().reset(seed=seed)
        if self.learner.answers:
            self._advance(self.pause_hours * HOUR_S)
        self._asked = 0
        return self._observe(), {}

    def step(
        self, action: np.int64 | int
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Ask one word of the chosen difficulty.

        Returns:
            Observation, reward, terminated (after the last word), truncated (never), and "word", "difficulty",
            "is_correct", "response_time" (seconds).

        Raises:
            ValueError: The action is not in 0..4.
        """
        if not 0 <= action < DIFFICULTIES:
            msg = f"action {action}; needed 0 to {DIFFICULTIES - 1}"
            raise ValueError(msg)
        place = self._choose_word(int(action) + 1)
        word = self.words[place]
        chance = max(0.1, self.learner.accuracy - 0.1 * (word.difficulty - 1))
        right = bool(self.np_random.random() < chance)
        response_time = float(self.np_random.uniform(2.0, 10.0))
        self._advance(response_time)
        reward = self._reward(place, right=right, response_time=response_time)
        self._record(place, right=right)
        self._asked += 1
        information = {
            "word": word.english,
            "difficulty": word.difficulty,
            "is_correct": right,
            "response_time": response_time,
        }
        return self._observe(), reward, self._asked >= self.words_per_episode, False, information

    def state_dict(self) -> dict[str, Any]:
        """Return learner, clock and generator as plain data, for between two episodes."""
        learner = asdict(self.learner)
        learner["progress"] = {str(place): word for place, word in learner["progress"].items()}
        clock = self.clock.seconds if isinstance(self.clock, SimulatedClock) else None
        return {"learner": learner, "clock": clock, "random": self.np_random.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; a clock that was handed in is left as it is.

        Raises:
            ValueError: The state is incomplete or of another word pool.
        """
        try:
            stored = dict(state["learner"])
            progress = {
                int(place): WordProgress(**word) for place, word in stored.pop("progress").items()
            }
            learner = Learner(progress=progress, **stored)
            generator = np.random.default_rng()
            generator.bit_generator.state = state["random"]
        except (KeyError, TypeError, AttributeError) as error:
            msg = f"not a state of LanguageLearningEnv: {error}"
            raise ValueError(msg) from error
        if any(not 0 <= place < len(self.words) for place in progress):
            msg = f"the state is of another pool: it knows word {max(progress)}, here are {len(self.words)}"
            raise ValueError(msg)
        self.learner = learner
        self.np_random = generator
        if isinstance(self.clock, SimulatedClock) and state.get("clock") is not None:
            self.clock.seconds = float(state["clock"])

    def _now(self) -> float:
        now = self.clock()
        return now.timestamp() if isinstance(now, datetime) else float(now)

    def _advance(self, seconds: float) -> None:
        advance = getattr(self.clock, "advance", None)
        if advance is not None:
            advance(seconds)

    def _choose_word(self, difficulty: int) -> int:
        """Return the place of the next word: due before others, the least mastered first.

        An unseen word is always due and counts as mastery 0, so new words come before known ones.
        """
        places = [i for i, word in enumerate(self.words) if word.difficulty == difficulty]
        if not places:
            return int(self.np_random.integers(len(self.words)))
        progress, now = self.learner.progress, self._now()
        due = [i for i in places if i not in progress or progress[i].next_review <= now]
        if due:
            return min(due, key=lambda i: progress[i].mastery if i in progress else 0.0)
        return places[int(self.np_random.integers(len(places)))]

    def _reward(self, place: int, *, right: bool, response_time: float) -> float:
        """Return the reward of an answer, before it is recorded."""
        if not right:
            return -0.5
        reward = 1.0 + 0.1 * self.words[place].difficulty
        if response_time < FAST_ANSWER_S:
            reward += 0.2
        if place in self.learner.progress:
            # Whole days, as the original counts them: eight days are more than seven, 7.9 are not.
            days = int((self._now() - self.learner.progress[place].last_seen) // DAY_S)
            reward += 0.3 if days > 7 else 0.2 if days > 3 else 0.0
        return reward

    def _record(self, place: int, *, right: bool) -> None:
        learner, now = self.learner, self._now()
        word = learner.progress.setdefault(place, WordProgress())
        word.right += right
        word.wrong += not right
        word.last_seen = now
        word.next_review = now + (min(30, 2**word.right) if right else 1) * DAY_S
        learner.answers += 1
        learner.right += right
        learner.recent = [*learner.recent, right][-RECENT_ANSWERS:]
        learner.streak = learner.streak + 1 if right else 0
        learner.last_session = now

    def _observe(self) -> NDArray[np.float32]:
        learner = self.learner
        mastered = [
            self.words[i].difficulty for i, word in learner.progress.items() if word.mastery > 0.5
        ]
        fifths = np.bincount(
            [min(int(word.mastery * 5), 4) for word in learner.progress.values()], minlength=5
        )
        state = [
            learner.level,
            len(learner.progress),
            learner.accuracy,
            sum(learner.recent) / max(len(learner.recent), 1),
            learner.streak,
            (self._now() - learner.last_session) / HOUR_S,
            *(fifths / max(len(learner.progress), 1)),
            sum(mastered) / max(len(mastered), 1),
        ]
        return np.clip(np.array(state, np.float32), 0, np.array(STATE_HIGH, np.float32))
