"""What both frameworks share of the networks for the Royal Game of Ur: sizes, settings, batches, choice of a piece.

The networks are `legacy_tf/ur_networks.py` and `torch_impl/ur_networks.py`; the game itself is in `experience.environments.royal_ur`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FEATURES = 150
"""Numbers that describe a position."""
PIECES = 7
"""Pieces of a side, which are the classes of the policy."""
HIDDEN_SIZES = (256, 128, 64, 32)
"""Units of the hidden layers of both networks."""
OUTPUTS: Mapping[str, int] = {"value": 1, "policy": PIECES}
"""The two networks and their outputs, in the order of every file."""
VALUE_LOSSES = ("mse", "huber")
POLICY_LOSSES = ("cross_entropy", "double_softmax", "kl")
"""`double_softmax` is the original trainer's: its network ends in a softmax and its loss applies another one, so that
with seven classes the loss cannot fall below log(e + 6) - 1 = 1.1654."""
DTYPES = ("float32", "float64")


class UrBatch(NamedTuple):
    """Positions with what the networks should say of them; the first axis of every field is `batch`."""

    observation: NDArray[np.floating]  # (batch, 150)
    value_target: NDArray[np.floating]  # (batch,), in [-1, 1], good for player 2 where positive
    policy_target: NDArray[np.floating]  # (batch, 7), sums to 1

    def rows(self, chosen: NDArray[np.int64] | slice) -> UrBatch:
        """Return some of the positions."""
        return UrBatch(*(field[chosen] for field in self))


def check_settings(settings: Mapping[str, Any]) -> None:  # Any: arguments of several types
    """Raise one ValueError with every argument of a UrTrainer that is out of range."""
    s = settings
    sizes = list(s["hidden_sizes"])
    rules = {
        "hidden_sizes must name at least one layer, each of at least 1 unit": bool(sizes)
        and min(sizes) >= 1,
        "dropout must be in [0, 1)": 0 <= s["dropout"] < 1,
        "learning_rate must be positive": s["learning_rate"] > 0,
        "batch_size must be at least 1": s["batch_size"] >= 1,
        f"value_loss must be one of {', '.join(VALUE_LOSSES)}": s["value_loss"] in VALUE_LOSSES,
        f"policy_loss must be one of {', '.join(POLICY_LOSSES)}": s["policy_loss"] in POLICY_LOSSES,
        f"dtype must be one of {', '.join(DTYPES)}": s["dtype"] in DTYPES,
    }
    broken = [rule for rule, kept in rules.items() if not kept]
    if broken:
        msg = f"{'; '.join(broken)}; found {dict(settings)}"
        raise ValueError(msg)


def layer_shapes(outputs: int, hidden_sizes: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Return "fc1", "fc2", ... to (in, out) for a network of these sizes."""
    sizes = pairwise((FEATURES, *hidden_sizes, outputs))
    return {f"fc{number}": shape for number, shape in enumerate(sizes, start=1)}


def mask_units(hidden_sizes: Sequence[int]) -> dict[str, int]:
    """Return "value/dropout1", ..., "policy/dropout4" to units: one dropout layer behind every hidden layer."""
    return {
        f"{network}/dropout{number}": units
        for network in OUTPUTS
        for number, units in enumerate(hidden_sizes, start=1)
    }


def batch_rows(order: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of one batch after the other; the last one may be smaller, as a DataLoader leaves it."""
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def choose_pieces(
    policy: Callable[[NDArray[np.floating]], NDArray[np.floating]],
    rows: NDArray[np.floating],
    rng: np.random.Generator,
    *,
    explore: bool,
) -> NDArray[np.int64]:
    """Return the most probable piece of every position, or one drawn with the policy's probabilities.

    Args:
        policy: (batch, 150) to (batch, 7).
        rows: (batch, 150).
        rng: drawn from only if `explore`.
        explore: draw.

    Returns:
        (batch,).
    """
    probabilities = policy(rows)
    if not explore:
        best: NDArray[np.int64] = np.argmax(probabilities, axis=1)
        return best
    below = probabilities.astype(np.float64).cumsum(axis=1)
    drawn = rng.random(len(rows))[:, None] * below[:, -1:]
    pieces: NDArray[np.int64] = np.minimum((below <= drawn).sum(axis=1), PIECES - 1)
    return pieces
