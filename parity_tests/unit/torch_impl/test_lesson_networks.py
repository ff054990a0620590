from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from torch_impl.dqn import DQNAgent
from torch_impl.lesson_networks import (
    DuelingQNetwork,
    LineNetwork,
    QNetwork,
    ValueNetwork,
    XorNetwork,
)

CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR = torch.tensor([[0.0], [1.0], [1.0], [0.0]])


def size(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_are_those_of_the_lesson() -> None:
    assert size(ValueNetwork(4, 64)) == 4_545
    assert size(QNetwork(4, 2)) == 17_410
    # Shared 640 + 16,512, advantages 258, value 129.
    assert size(DuelingQNetwork(4, 2)) == 640 + 16_512 + 258 + 129
    assert size(XorNetwork()) == 33
    assert size(LineNetwork()) == 2


def test_shapes_are_those_of_states_and_actions() -> None:
    states = torch.randn(7, 4)

    assert ValueNetwork(4).fc1.weight.shape == (64, 4)
    assert ValueNetwork(4)(states).shape == (7, 1)
    assert QNetwork(4, 2)(states).shape == (7, 2)
    assert DuelingQNetwork(4, 2)(states[:1]).shape == (1, 2)


def test_the_mean_over_actions_is_the_value() -> None:
    network = DuelingQNetwork(4, 3, dtype="float64", seed=5)
    states = torch.randn(6, 4, dtype=torch.float64)
    hidden = F.relu(network.fc2(F.relu(network.fc1(states))))

    torch.testing.assert_close(network(states).mean(dim=1, keepdim=True), network.value(hidden))


def test_advantages_count_only_relative_to_each_other() -> None:
    network = DuelingQNetwork(4, 3, dtype="float64", seed=5)
    states = torch.randn(6, 4, dtype=torch.float64)
    before = network(states)

    with torch.no_grad():
        network.advantage.bias += 12.5

    torch.testing.assert_close(network(states), before)


@pytest.mark.parametrize("dueling", [False, True], ids=["plain", "dueling"])
def test_an_agent_of_these_sizes_has_this_network(dueling: bool) -> None:
    agent = DQNAgent(4, 2, hidden_sizes=(128, 128), dropout=0.0, dueling=dueling, seed=3)
    network = (DuelingQNetwork if dueling else QNetwork)(4, 2)

    network.load_state_dict(agent.q_network.state_dict())

    states = torch.randn(5, 4)
    torch.testing.assert_close(network(states), agent.q_network(states), rtol=0, atol=0)


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 20))]
)
def test_xor_is_learnt_from_any_first_weights(seed: int) -> None:
    network = XorNetwork(seed=seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)

    for _ in range(1_000):
        loss = F.binary_cross_entropy(network(CORNERS), XOR)
        if loss.item() < 0.01:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert loss.item() < 0.01
    torch.testing.assert_close(network(CORNERS).round(), XOR)


def test_first_weights_follow_from_the_seed() -> None:
    same, again, other = (
        XorNetwork(seed=seed).get_parameter("hidden.weight") for seed in (1, 1, 2)
    )

    assert torch.equal(same, again)
    assert not torch.equal(same, other)
