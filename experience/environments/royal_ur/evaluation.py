"""The original's integer evaluation of a position, and its two sets of parameters.

Positive is good for player 2. Parameters are data: `DEFAULT` and `EVOLVED` are the original's, `read_parameters` reads
its JSON files.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import FINISHED, IS_ROSETTE, LANE, PIECES, STEPS
from experience.environments.royal_ur.compilation import compiled
from experience.environments.royal_ur.rules import State, count_finished

MAX_PARAMETER_FILE_BYTES = 65_536
"""The original's files have 200 bytes."""
MAX_PARAMETER = 1_000_000
"""Keeps every sum of the search exact in float64."""
WIN, FINISHED_PIECE, POSITION, SAFETY, ROSETTE_CONTROL, ADVANCEMENT, CAPTURE, CENTER_LANE = range(8)
"""Places of the parameters in their array."""
LATE_STEP = 12
"""From here on a piece is out of reach and earns twice `advancement_bonus`."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Weights of the evaluation, by the names of the original's JSON files."""

    win_score: int = 10_000
    finished_piece_value: int = 1_000
    position_weight: int = 15  # tenths, for every step
    safety_bonus: int = 25  # for a piece on a rosette
    rosette_control_bonus: int = 40
    advancement_bonus: int = 5
    capture_bonus: int = 35  # multiplies the pieces on the board, whatever its name says
    center_lane_bonus: int = 2

    def to_array(self) -> NDArray[np.int64]:
        """Return the weights in the order of the fields, as the compiled functions take them."""
        return np.array(astuple(self), np.int64)


DEFAULT = Parameters()
EVOLVED = Parameters(11_135, 1_030, 14, 40, 29, 4, 43, 2)
"""ml/data/genetic_params/evolved.json of the original at commit 517974e."""


def read_parameters(path: Path) -> Parameters:
    """Return the parameters of a JSON file with the original's eight names.

    Raises:
        ValueError: No such file, not JSON, or other names or values than eight integers.
    """
    try:
        if path.stat().st_size > MAX_PARAMETER_FILE_BYTES:
            msg = f"{path}: {path.stat().st_size} bytes; a file of parameters has a few hundred"
            raise ValueError(msg)
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"{path}: not a readable JSON file of parameters: {error}"
        raise ValueError(msg) from error
    needed = [field.name for field in fields(Parameters)]
    if not isinstance(found, dict) or set(found) != set(needed):
        names = sorted(found) if isinstance(found, dict) else type(found).__name__
        msg = f"{path}: needed exactly {', '.join(needed)}; found {names}"
        raise ValueError(msg)
    for name, value in found.items():
        if type(value) is not int or abs(value) > MAX_PARAMETER:
            msg = f"{path}: {name} is {value!r}; needed an integer of at most {MAX_PARAMETER}"
            raise ValueError(msg)
    return Parameters(**found)


@compiled
def evaluate(state: State, parameters: NDArray[np.int64]) -> int:
    """Return the value of a position; the roll plays no part.

        1000 (fin2 - fin1) + 35 (board2 - board1) + trunc((pos2 - pos1) 15 / 10) + strat2 - strat1
        + 40 (rosettes of 2 - rosettes of 1)

    with the default parameters; -win_score and win_score when player 1 or 2 has finished.

    Args:
        state: (16,).
        parameters: (8,), `Parameters.to_array`.
    """
    finished_1, finished_2 = count_finished(state, 1), count_finished(state, 2)
    if finished_1 == PIECES:
        return -int(parameters[WIN])
    if finished_2 == PIECES:
        return int(parameters[WIN])
    total = (finished_2 - finished_1) * parameters[FINISHED_PIECE]
    position = 0
    for k in range(2 * PIECES):
        player = k // PIECES
        square = state[k]
        if square < 0 or square == FINISHED:
            continue
        step = STEPS[player, square]
        worth = parameters[CAPTURE]
        if IS_ROSETTE[square]:
            worth += parameters[ROSETTE_CONTROL] + parameters[SAFETY]
        if LANE[0] <= step <= LANE[1]:
            worth += parameters[ADVANCEMENT] + parameters[CENTER_LANE]
        elif step >= LATE_STEP:
            worth += 2 * parameters[ADVANCEMENT]
        sign = 2 * player - 1
        total += sign * worth
        position += sign * (step + 1)
    # Toward zero, as Rust divides; // would round down.
    weighted = position * parameters[POSITION]
    tenth = abs(weighted) // 10
    return int(total + tenth if weighted >= 0 else total - tenth)
