"""d3rlpy's SAC under the conditions of the RRD suite's. It runs under the Python that a variable names.

d3rlpy needs an older Gymnasium than torchward, so it wants an environment of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.subjects import MissingExtraError, NotApplicableError, Prepared
from benchmarks.subjects.suite_conditions import (
    BATCH_SIZE,
    EPISODE_LENGTH,
    STORED,
    make_continuous_transitions,
)
from benchmarks.variants import D3RLPY_PYTHON


class D3rlpySac:
    """`update` on batches of its replay buffer, as its `fit` does it.

    Args:
        threads: of torch within an operation.

    Raises:
        MissingExtraError: d3rlpy cannot be imported.
    """

    def __init__(self, *, threads: int) -> None:
        try:
            # Any: it is in another environment, if at all.
            self._library: Any = importlib.import_module("d3rlpy")
        except ImportError as error:
            message = (
                f"d3rlpy is not installed: make an environment with torch, d3rlpy and gymnasium==1.0.0, and name "
                f"its Python in the variable {D3RLPY_PYTHON}"
            )
            raise MissingExtraError(message) from error
        import torch

        torch.set_num_threads(threads)

    def prepare(self, task: str) -> Prepared:
        """Return the "sac-updates" task; there is no other."""
        if task != "sac-updates":
            message = f"d3rlpy's SAC learns from data: no {task}"
            raise NotApplicableError(message)
        stored = make_continuous_transitions()
        ends = np.zeros(STORED, np.float32)
        ends[EPISODE_LENGTH - 1 :: EPISODE_LENGTH] = 1.0
        data = self._library.dataset.MDPDataset(
            observations=stored.observation,
            actions=stored.action,
            rewards=stored.reward[:, None],
            terminals=ends,
        )
        agent = self._library.algos.SACConfig(batch_size=BATCH_SIZE).create(device="cpu:0")
        agent.build_with_dataset(data)

        def update(count: int) -> None:
            for _ in range(count):
                agent.update(data.sample_transition_batch(BATCH_SIZE))

        return Prepared(update, details={"version": self._library.__version__})

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Return nothing: its files are not measured."""
        del folder
        return []
