"""Checks of the arrays that an agent is handed, the same for both frameworks and for every algorithm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_rows(observation: ArrayLike, state_size: int, dtype: str) -> NDArray[np.floating]:
    """Return one or several observations as (batch, state) of the dtype.

    Raises:
        ValueError: The shape is neither (state,) nor (batch, state).
    """
    rows: NDArray[np.floating] = np.asarray(observation, dtype=dtype)
    if rows.ndim not in (1, 2) or rows.shape[-1] != state_size:
        msg = (
            f"an observation of shape {rows.shape}; needed ({state_size},) or (batch, {state_size})"
        )
        raise ValueError(msg)
    return rows.reshape(-1, state_size)


def check_shapes(
    what: str, found: Mapping[str, ArrayLike], needed: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise one ValueError with every array that is missing, unknown or of another shape."""
    shapes = {name: np.shape(array) for name, array in found.items()}
    problems = [
        f"{name} found {shapes.get(name, 'nothing')}, needed {needed.get(name, 'nothing')}"
        for name in {**needed, **shapes}
        if shapes.get(name) != needed.get(name)
    ]
    if problems:
        msg = f"{what} do not fit: {'; '.join(problems)}"
        raise ValueError(msg)
