"""The game as a Gymnasium environment: one side is the agent's, the other a player's, or both are the agent's.

Turns without a move are passed inside `step`, so that an observation always has one, until the game is over.
`info["action_mask"]` says which pieces can move; an action that it does not allow changes nothing and costs
`illegal_reward`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import FEATURE_LIMIT, FEATURES, PIECES, ROLL, TURN
from experience.environments.royal_ur.features import extract_features
from experience.environments.royal_ur.picture import draw_state
from experience.environments.royal_ur.players import Player, make_player
from experience.environments.royal_ur.rules import (
    BLOCKED,
    State,
    apply_move,
    count_moves,
    find_moves,
    find_square,
    find_winner,
    make_state,
    pass_turn,
    roll_dice,
)
from experience.environments.royal_ur.text_board import format_state

SELF_PLAY = "self"


class RoyalUrEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """The Royal Game of Ur against a player, or with both sides moved by the agent.

    An action is a piece, 0 to 6; the observation the 150 features (absolute, not from the agent's side); the reward 1
    for a won game, -1 for a lost one, 0 before. In self-play it is that of the side that moved.

    Args:
        opponent: a player, the name of one (`players.PLAYER_NAMES`), or "self" for self-play.
        side: 1 or 2; None: drawn at every reset. In self-play it means nothing.
        max_moves: the agent's moves after which an episode is truncated.
        illegal_reward: of an action that cannot be played.
        render_mode: "ansi" for text, "rgb_array" for a picture, or None.

    Raises:
        ValueError: No such player, side or render mode.
    """

    # Not a ClassVar: Gymnasium declares it as an instance variable.
    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012

    def __init__(
        self,
        opponent: Player | str = "heuristic",
        *,
        side: int | None = None,
        max_moves: int = 1_000,
        illegal_reward: float = -0.01,
        render_mode: str | None = None,
    ) -> None:
        if side not in (None, 1, 2) or render_mode not in (None, *self.metadata["render_modes"]):
            msg = (
                "side is 1, 2 or None and render_mode 'ansi', 'rgb_array' or None; "
                f"got {side!r} and {render_mode!r}"
            )
            raise ValueError(msg)
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(
            -FEATURE_LIMIT, FEATURE_LIMIT, (FEATURES,), np.float32
        )
        self.action_space = gymnasium.spaces.Discrete(PIECES)
        self._opponent: Player | None
        if isinstance(opponent, str):
            self._opponent = None if opponent == SELF_PLAY else make_player(opponent)
        else:
            self._opponent = opponent
        self._wanted_side, self._side = side, side or 1
        self._max_moves, self._illegal_reward = max_moves, illegal_reward
        self._state, self._moves = make_state(), 0

    @property
    def state(self) -> State:
        """A copy of the state, (16,)."""
        return self._state.copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a game; player 1 rolls first, and the opponent may have moved already."""
        super().reset(seed=seed, options=options)
        self._state, self._moves = make_state(), 0
        self._side = self._wanted_side or int(self.np_random.integers(1, 3))
        self._roll()
        self._go_on()
        return extract_features(self._state), self._describe()

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move a piece, and let the opponent play until the agent can move again.

        Raises:
            ValueError: The action is not 0 to 6, or the game is over.
        """
        if not self.action_space.contains(action) or find_winner(self._state):
            msg = f"needed an action of 0 to {PIECES - 1} in a running game; got {action!r}"
            raise ValueError(msg)
        self._moves += 1
        mover = int(self._state[TURN])
        legal = find_square(self._state, int(action)) != BLOCKED
        reward = 0.0 if legal else self._illegal_reward
        if legal:
            apply_move(self._state, int(action))
            if not find_winner(self._state):
                self._roll()
                self._go_on()
        winner = find_winner(self._state)
        if winner:
            reward = 1.0 if winner == (mover if self._opponent is None else self._side) else -1.0
        truncated = not winner and self._moves >= self._max_moves
        return extract_features(self._state), reward, bool(winner), truncated, self._describe()

    def render(self) -> str | NDArray[np.uint8] | None:
        """Return the position as text or as a picture, (224, 256, 3)."""
        if self.render_mode == "ansi":
            return format_state(self._state) + "\n"
        return draw_state(self._state) if self.render_mode == "rgb_array" else None

    def _roll(self) -> None:
        self._state[ROLL] = roll_dice(self.np_random, 1)[0]

    def _go_on(self) -> None:
        """Play until the agent has a move, or the game is over."""
        while not find_winner(self._state):
            can_move = count_moves(self._state) > 0
            if can_move and (self._opponent is None or self._state[TURN] == self._side):
                return
            if can_move and self._opponent is not None:
                moves = find_moves(self._state)
                piece = self._opponent.choose(self._state.copy(), moves, self.np_random)
                if piece not in moves:
                    msg = f"{self._opponent!r} chose {piece}; the pieces that can move are {moves.tolist()}"
                    raise ValueError(msg)
                apply_move(self._state, piece)
            else:
                pass_turn(self._state)
            if not find_winner(self._state):
                self._roll()

    def _describe(self) -> dict[str, Any]:
        mask = np.zeros(PIECES, np.int8)
        winner = find_winner(self._state)
        if not winner:
            mask[find_moves(self._state)] = 1
        return {"action_mask": mask, "player": int(self._state[TURN]), "side": self._side,
                "roll": int(self._state[ROLL]), "winner": winner}  # fmt: skip
