"""Files that a DQNAgent did not write itself: of the migration guide, and of the converter."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from parity_tests.unit.torch_impl.small_dqn import make_agent, make_batch, same_weights
from torch_impl.checkpoints import CheckpointError, write_checkpoint
from torch_impl.dqn import DQNAgent, DQNetwork
from torch_impl.dqn_files import read_layers


def test_file_of_the_guide_is_loaded_with_stock_adam_state(tmp_path: Path) -> None:
    source, target = (
        DQNetwork(4, 3, hidden_sizes=(7, 5)),
        DQNetwork(4, 3, hidden_sizes=(7, 5), seed=1),
    )
    optimizer = torch.optim.Adam(source.parameters(), lr=0.01)
    source(torch.ones(2, 4)).square().sum().backward()
    optimizer.step()
    content = {
        "model_state_dict": source.state_dict(),
        "target_model_state_dict": target.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
    }
    torch.save(content, tmp_path / "dqn_model.pth")

    agent = DQNAgent.load(tmp_path / "dqn_model.pth", device="cpu")

    assert agent.configuration["hidden_sizes"] == [7, 5]
    assert agent.configuration["learning_rate"] == 0.01
    assert torch.equal(agent.target_network.get_parameter("fc1.weight"), target.fc1.weight)
    group = agent.optimizer.param_groups[0]
    assert (group["iterations"], group["epsilon"], group["global_clipnorm"]) == (1, 1e-8, 1.0)
    moments = agent.optimizer.state[agent.q_network.get_parameter("fc2.weight")]
    stock = optimizer.state[source.get_parameter("fc2.weight")]
    assert torch.equal(moments["exp_avg_sq"], stock["exp_avg_sq"])


def stock_step(source: DQNetwork, target: DQNetwork, optimizer: torch.optim.Adam) -> None:
    """Take the training step of the guide's own code on `make_batch()`."""
    observation, action, reward, following, terminated = (
        torch.from_numpy(np.asarray(array)) for array in make_batch()
    )
    with torch.no_grad():
        best = target(following).amax(dim=1)
    wanted = reward + 0.95 * best * ~terminated
    chosen = source(observation).gather(1, action[:, None])[:, 0]
    optimizer.zero_grad()
    nn.functional.mse_loss(chosen, wanted).backward()
    nn.utils.clip_grad_norm_(source.parameters(), 1.0)
    optimizer.step()


def test_training_goes_on_from_a_file_of_the_guide_as_the_guides_code_does(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"hidden_sizes": (7, 5), "dropout": 0.0, "dtype": "float64"}
    source, target = DQNetwork(4, 3, **sizes), DQNetwork(4, 3, **sizes, seed=1)
    # Stock Adam adds its epsilon behind the bias correction, ours before it: only 0 is the same in both places, and 0 / 0 is nan.
    optimizer = torch.optim.Adam(source.parameters(), lr=0.001, eps=1e-30)
    for _ in range(3):
        stock_step(source, target, optimizer)
    states = {
        "model_state_dict": source.state_dict(),
        "target_model_state_dict": target.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
    }
    torch.save(states, tmp_path / "model.pth")
    before = source.fc2.weight.detach().clone()

    agent = DQNAgent.load(tmp_path / "model.pth", device="cpu", dropout=0.0)
    agent.update(make_batch())
    stock_step(source, target, optimizer)

    assert (source.fc2.weight - before).abs().max() > 1e-4
    for name, weight in source.named_parameters():
        # Stock clipping divides by norm + 1e-6: that much of a step of 1e-3.
        torch.testing.assert_close(agent.q_network.get_parameter(name), weight, rtol=0, atol=1e-8)


def step(op: str, inputs: list[str], output: str, **kwargs: Any) -> dict[str, Any]:
    return {"op": op, "inputs": inputs, "output": output, "attribute": output, "kwargs": kwargs}


def dueling_steps() -> list[dict[str, Any]]:
    return [
        step("nn.Linear", ["x"], "dense"),
        step("F.relu", ["dense"], "r1"),
        step("nn.Dropout", ["r1"], "dropout", p=0.4),
        step("nn.Linear", ["dropout"], "dense_1"),
        step("F.relu", ["dense_1"], "r2"),
        step("nn.Linear", ["r2"], "dense_2"),
        step("F.relu", ["dense_2"], "r3"),
        step("nn.Linear", ["r3"], "v"),
        step("nn.Linear", ["r3"], "a"),
        step("torch.unflatten", ["a"], "column", dim=1, sizes=[3, 1]),
        step("torch.mean", ["column"], "mean", dim=1, keepdim=False),
        step("operator.sub", ["a", "mean"], "centred"),
        step("operator.add", ["v", "centred"], "q"),
    ]


def chain(*ops: str) -> list[dict[str, Any]]:
    names = ["x", *[f"s{index}" for index in range(1, len(ops))], "q"]
    return [
        step(op, [names[i]], names[i + 1], **({"p": 0.1} if op == "nn.Dropout" else {}))
        for i, op in enumerate(ops)
    ]


LINEAR, RELU, DROPOUT = "nn.Linear", "F.relu", "nn.Dropout"


@pytest.mark.parametrize(
    ("ops", "dropout"),
    [
        ((LINEAR, RELU, LINEAR), []),
        ((LINEAR, RELU, DROPOUT, LINEAR, RELU, LINEAR), [0.1]),
        ((LINEAR, RELU, LINEAR, RELU, DROPOUT, LINEAR, RELU, LINEAR), [0.0, 0.1]),
    ],
    ids=["one-hidden", "guide", "second-only"],
)
def test_layers_of_a_converted_chain_are_named_in_order(
    ops: tuple[str, ...], dropout: list[float]
) -> None:
    steps = chain(*ops)
    linear = [s["attribute"] for s in steps if s["op"] == LINEAR]

    layers = read_layers({"inputs": [["x", None, "float32"]], "outputs": ["q"], "steps": steps})

    assert layers.dropout == dropout
    assert layers.names == {name: f"fc{index}" for index, name in enumerate(linear, start=1)}


OTHER = [
    chain(LINEAR, "torch.tanh", LINEAR),
    chain(LINEAR),
    chain(LINEAR, RELU, LINEAR, RELU),
    chain(LINEAR, LINEAR),
    chain(DROPOUT, LINEAR, RELU, LINEAR),
    chain(LINEAR, RELU, DROPOUT, LINEAR),
    [{**s, "kwargs": {"dim": 0}} if s["op"] == "torch.mean" else s for s in dueling_steps()],
    [{**s, "op": "torch.amax"} if s["op"] == "torch.mean" else s for s in dueling_steps()],
    [{**s, "inputs": ["mean", "a"]} if s["op"] == "operator.sub" else s for s in dueling_steps()],
]


@pytest.mark.parametrize(
    "steps",
    OTHER,
    ids=[
        "tanh",
        "linear",
        "relu-at-the-end",
        "no-relu",
        "dropout-first",
        "dropout-last",
        "mean-over-batch",
        "maximum",
        "wrong-sign",
    ],
)
def test_network_that_computes_something_else_is_refused(steps: list[dict[str, Any]]) -> None:
    architecture = {"inputs": [["x", None, "float32"]], "outputs": ["q"], "steps": steps}

    with pytest.raises(ValueError, match="something else than a DQNetwork"):
        read_layers(architecture)


def test_optimizer_other_than_adam_is_refused(tmp_path: Path) -> None:
    agent = make_agent()
    state = {0: {"square_avg": torch.ones(7, 4)}}
    optimizer = {"state": state, "param_groups": [{"learning_rate": 0.1, "iterations": 3}]}
    write_checkpoint(
        tmp_path / "a.pth", agent.q_network.state_dict(), optimizer_state_dict=optimizer
    )

    with pytest.raises(
        CheckpointError, match="optimizer keeps square_avg; the agent trains with Adam"
    ):
        DQNAgent.load(tmp_path / "a.pth", device="cpu")


def test_converted_file_without_target_copies_the_online_network(tmp_path: Path) -> None:
    agent = make_agent(seed=3, dueling=True)
    agent.update(make_batch())
    # Another order than ours, and the plain data a converter leaves.
    state = OrderedDict(reversed(agent.q_network.state_dict().items()))
    optimizer = agent.optimizer.state_dict()
    count = len(state)
    optimizer["state"] = {count - 1 - i: slots for i, slots in optimizer["state"].items()}
    group = optimizer["param_groups"][0]
    group["learning_rate"] = group.pop("lr") / 2
    # The file knows the layers under Keras' own names.
    names = {"fc1": "dense", "fc2": "dense_1", "fc3": "dense_2", "advantage": "a", "value": "v"}
    state = OrderedDict(
        (f"{names[k.split('.')[0]]}.{k.split('.')[1]}", t) for k, t in state.items()
    )
    architecture = {"inputs": [["x", None, "float32"]], "outputs": ["q"], "steps": dueling_steps()}
    path = tmp_path / "converted.pth"
    write_checkpoint(path, state, optimizer_state_dict=optimizer, architecture=architecture)

    loaded = DQNAgent.load(path, device="cpu", gamma=0.5)

    assert same_weights(loaded, agent)
    assert loaded.configuration["dropout"] == [0.4, 0.0]
    assert loaded.configuration["gamma"] == 0.5
    for name, tensor in agent.q_network.state_dict().items():
        assert torch.equal(loaded.target_network.state_dict()[name], tensor)
    for kept, taken in zip(
        agent.optimizer.state.values(), loaded.optimizer.state.values(), strict=True
    ):
        assert torch.equal(kept["exp_avg"], taken["exp_avg"])
    group = loaded.optimizer.param_groups[0]
    assert (group["iterations"], group["lr"], loaded.configuration["learning_rate"]) == (
        1,
        0.0005,
        0.0005,
    )


def test_converted_optimizer_without_clipping_does_not_clip(tmp_path: Path) -> None:
    state = make_agent().q_network.state_dict()
    slots = {i: {"exp_avg": t, "exp_avg_sq": t.abs()} for i, t in enumerate(state.values())}
    group = {"learning_rate": 0.01, "iterations": 4, "params": list(range(8))}
    optimizer = {"state": slots, "param_groups": [group]}
    write_checkpoint(tmp_path / "a.pth", state, optimizer_state_dict=optimizer)

    loaded = DQNAgent.load(tmp_path / "a.pth", device="cpu")

    assert loaded.configuration["gradient_clip"] is None
    assert loaded.optimizer.param_groups[0]["global_clipnorm"] is None


@pytest.mark.parametrize(
    "state",
    [
        {"dense.weight": torch.ones(2, 3), "dense.bias": torch.ones(2)},
        {"fc1.weight": torch.ones(2, 3)},
        {"fc1.weight": torch.ones(2, 3), "fc2.weight": torch.ones(4, 3)},
    ],
    ids=["other-names", "one-layer", "sizes-do-not-chain"],
)
def test_file_of_another_network_is_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "other.pth", state)

    with pytest.raises(CheckpointError, match=r"other\.pth: not a DQNAgent"):
        DQNAgent.load(tmp_path / "other.pth")
