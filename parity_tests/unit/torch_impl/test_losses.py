from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_impl.losses import TensorBatch, q_learning_loss, q_learning_target
from torch_impl.networks import DQNetwork


def constant_network(*values: float) -> nn.Module:
    """Return a network whose values are the same in every state."""
    network = DQNetwork(2, len(values), hidden_sizes=(3,), dtype="float64")
    nn.init.zeros_(network.get_parameter("fc2.weight"))
    with torch.no_grad():
        network.get_parameter("fc2.bias").copy_(torch.tensor(values))
    return network.eval()


def one_transition(reward: float, *, terminated: bool) -> TensorBatch:
    state = torch.ones(1, 2, dtype=torch.float64)
    number = torch.tensor([reward], dtype=torch.float64)
    end = torch.tensor([float(terminated)], dtype=torch.float64)
    return TensorBatch(state, torch.tensor([1]), number, state, end)


@pytest.mark.parametrize(
    ("double", "terminated", "target"),
    # Worked out by hand: online best is action 2, the target network's best is action 0.
    [(False, False, 1 + 0.5 * 9), (True, False, 1 + 0.5 * 4), (False, True, 1), (True, True, 1)],
    ids=["plain", "double", "plain-end", "double-end"],
)
def test_target_bootstraps_from_the_right_network(
    double: bool, terminated: bool, target: float
) -> None:
    online, frozen = constant_network(1, 2, 3), constant_network(9, 5, 4)
    batch = one_transition(1.0, terminated=terminated)

    found = q_learning_target(online, frozen, batch, gamma=0.5, double=double)

    assert found.tolist() == [target]


@pytest.mark.parametrize(
    ("loss", "reward", "value"),
    # Q is 2 for the action taken; error 0.5, then 3.
    [("mse", 2.5, 0.25), ("huber", 2.5, 0.125), ("mse", 5.0, 9.0), ("huber", 5.0, 2.5)],
)
def test_loss_is_that_of_the_chosen_action(loss: str, reward: float, value: float) -> None:
    online = constant_network(1, 2, 3)
    batch = one_transition(reward, terminated=True)

    found = q_learning_loss(online, online, batch, {}, gamma=0.9, double=False, loss=loss)

    assert found.item() == value
