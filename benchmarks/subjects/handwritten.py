"""The yardstick: the guide's DQN update as a good engineer writes it in eager PyTorch, without our code.

Transitions lie in preallocated tensors, indices are drawn by torch, Adam is fused, gradients are dropped instead of
zeroed. It does exactly the work of the agents beside it: dropout on the online network, target network in
evaluation mode, mean squared error, global gradient clipping at 1.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from benchmarks.subjects import Prepared
from benchmarks.subjects.transitions import (
    ACTIONS,
    BATCH_SIZE,
    MEMORY_SIZE,
    OBSERVATION_SIZE,
    SEED,
    make_transitions,
)


def make_network() -> nn.Sequential:
    """Return the guide's network 12-128-64-32-5 with its two dropouts."""
    return nn.Sequential(
        nn.Linear(OBSERVATION_SIZE, 128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(64, 32), nn.ReLU(),
        nn.Linear(32, ACTIONS),
    )  # fmt: skip


class HandwrittenLoop:
    """An eager PyTorch training loop in one function.

    Args:
        threads: of torch within an operation.
    """

    def __init__(self, *, threads: int) -> None:
        torch.set_num_threads(threads)

    def prepare(self, task: str) -> Prepared:
        """Return the "updates" task; there is no other."""
        if task != "updates":
            message = f"the hand-written loop only does updates, found {task!r}"
            raise ValueError(message)
        torch.manual_seed(SEED)
        online, target = make_network(), make_network()
        target.load_state_dict(online.state_dict())
        target.eval()
        parameters = list(online.parameters())
        optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
        stored = make_transitions()
        observation = torch.from_numpy(stored.observation)
        action = torch.from_numpy(stored.action).unsqueeze(1)
        reward = torch.from_numpy(stored.reward)
        next_observation = torch.from_numpy(stored.next_observation)
        going_on = 0.95 * (
            1 - torch.from_numpy(stored.terminated).float()
        )  # discount, 0 at the end

        def update(count: int) -> None:
            for _ in range(count):
                index = torch.randint(0, MEMORY_SIZE, (BATCH_SIZE,))
                with torch.no_grad():
                    future = target(next_observation[index]).amax(1)
                    wanted = reward[index] + going_on[index] * future
                predicted = online(observation[index]).gather(1, action[index]).squeeze(1)
                loss = nn.functional.mse_loss(predicted, wanted)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()

        return Prepared(update, details={"optimizer": "Adam, fused"})

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Return nothing: its file is the one of any PyTorch module."""
        del folder
        return []
