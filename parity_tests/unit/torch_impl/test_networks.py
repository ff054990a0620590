from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_impl.networks import DQNetwork


@pytest.mark.parametrize(
    ("hidden_sizes", "count"),
    [((128, 64, 32), 12_165), ((128, 64), 10_245)],
    ids=["agent", "guide"],
)
def test_parameter_counts_are_those_of_the_guide(hidden_sizes: tuple[int, ...], count: int) -> None:
    network = DQNetwork(hidden_sizes=hidden_sizes)

    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_state_dict_has_the_names_of_the_keras_layers() -> None:
    names = [
        name.removesuffix(".weight") for name in DQNetwork().state_dict() if "bias" not in name
    ]

    assert names == ["fc1", "fc2", "fc3", "fc4"]
    assert [name for name, _ in DQNetwork().named_children() if "drop" in name] == [
        "dropout1",
        "dropout2",
    ]


def test_initial_kernels_are_he_normal_without_truncation() -> None:
    kernel = DQNetwork(400, hidden_sizes=(300,)).get_parameter("fc1.weight")
    deviation = (2 / 400) ** 0.5

    assert kernel.std().item() == pytest.approx(deviation, rel=0.01)
    # Of 120,000 normal numbers some lie beyond four deviations; truncated ones never beyond 2.3.
    assert kernel.abs().max().item() > 4 * deviation


def test_dueling_values_are_value_plus_centred_advantage() -> None:
    network = DQNetwork(2, 3, hidden_sizes=(4,), dueling=True, dtype="float64")
    for name in ("advantage", "value"):
        nn.init.zeros_(network.get_parameter(f"{name}.weight"))
    with torch.no_grad():
        network.advantage.bias.copy_(torch.tensor([1.0, 2.0, 6.0]))
        network.value.bias.fill_(10.0)

    assert network(torch.ones(1, 2, dtype=torch.float64)).tolist() == [[8.0, 9.0, 13.0]]


def test_dropout_is_active_in_training_mode_only() -> None:
    network, state = DQNetwork(), torch.ones(1, 12)

    network.eval()
    assert torch.equal(network(state), network(state))
    network.train()
    assert not torch.equal(network(state), network(state))


@pytest.mark.parametrize(
    "state",
    [torch.ones(1, 12, dtype=torch.float64), torch.ones(1, 12, device="meta")],
    ids=["dtype", "device"],
)
def test_input_of_another_dtype_or_device_is_refused_with_the_remedy(state: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"move it with x\.to\('cpu', torch.float32\)"):
        DQNetwork()(state)


@pytest.mark.parametrize("dueling", [False, True], ids=["plain", "dueling"])
def test_values_for_acting_are_those_of_the_network_bit_by_bit(dueling: bool) -> None:
    network = DQNetwork(4, 3, hidden_sizes=(9, 7, 5), dueling=dueling, seed=2).eval()

    for rows in (1, 6):
        x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(rows))
        assert torch.equal(network.evaluate(x), network(x))
