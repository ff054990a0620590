from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from experience.agent import Batch
from torch_impl.checkpoints import CheckpointError, write_checkpoint
from torch_impl.dqn import DQNAgent, DQNetwork
from torch_impl.dqn_files import read_layers
from torch_impl.losses import TensorBatch, q_learning_loss, q_learning_target

SMALL: dict[str, Any] = {
    "state_size": 4,
    "action_size": 3,
    "hidden_sizes": (7, 5, 6),
    "batch_size": 8,
    "memory_size": 20,
    "device": "cpu",
}


def make_agent(**settings: Any) -> DQNAgent:
    return DQNAgent(**{**SMALL, **settings})


def make_batch(seed: int = 0, *, rows: int = 8) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        rng.normal(size=(rows, 4)),
        rng.integers(3, size=rows),
        rng.normal(size=rows),
        rng.normal(size=(rows, 4)),
        rng.random(rows) < 0.3,
    )


def fill(agent: DQNAgent, count: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(count):
        agent.remember(rng.normal(size=4), int(rng.integers(3)), 1.0, rng.normal(size=4), False)


def same_weights(left: DQNAgent, right: DQNAgent) -> bool:
    found, needed = left.get_weights(), right.get_weights()
    return all(np.array_equal(found[name], needed[name]) for name in needed)


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


def test_gradient_reaches_the_chosen_action_only() -> None:
    batch = make_batch()._replace(action=np.full(8, 1))

    _, gradients = make_agent().loss_and_gradients(batch)

    assert np.flatnonzero(gradients["fc4/bias"]).tolist() == [1]


def test_loss_and_gradients_change_nothing() -> None:
    agent, untouched = make_agent(), make_agent()

    agent.loss_and_gradients(make_batch())

    assert same_weights(agent, untouched)
    assert agent.optimizer.state_dict()["state"] == {}


def test_gradient_agrees_with_differences_of_the_loss() -> None:
    agent = make_agent(dtype="float64", dropout=0.0, loss="huber")
    _, gradients = agent.loss_and_gradients(make_batch())
    weights = agent.get_weights()
    step = 1e-6
    losses = []
    for sign in (1, -1):
        moved = weights["fc2/kernel"].copy()
        moved[4, 2] += sign * step
        agent.set_weights({**weights, "fc2/kernel": moved})
        losses.append(agent.loss_and_gradients(make_batch())[0])

    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(
        gradients["fc2/kernel"][4, 2], rel=1e-6
    )


def test_masks_of_ones_switch_dropout_off() -> None:
    ones = {"dropout1": np.ones((8, 7)), "dropout2": np.ones((8, 5))}

    masked = make_agent().loss_and_gradients(make_batch(), ones)[0]

    assert masked == make_agent(dropout=0.0).loss_and_gradients(make_batch())[0]
    assert masked != make_agent().loss_and_gradients(make_batch())[0]


def test_drawn_masks_hold_zero_or_the_inverse_of_the_kept_share() -> None:
    masks = make_agent(dropout=0.2)._masks.draw(1000)

    assert {name: mask.shape for name, mask in masks.items()} == {
        "dropout1": (1000, 7),
        "dropout2": (1000, 5),
    }
    assert masks["dropout1"].unique().tolist() == [0.0, 1.25]
    assert (masks["dropout1"] == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    "noise",
    [
        {},
        {"dropout1": np.ones((8, 7))},
        {"dropout1": np.ones((8, 7)), "dropout2": np.ones((5, 8))},
        {"dropout1": np.ones((8, 7)), "dropout2": np.ones((8, 5)), "dropout3": np.ones((8, 6))},
    ],
    ids=["none", "one-missing", "transposed", "one-too-many"],
)
def test_noise_that_does_not_fit_is_refused(noise: dict[str, NDArray[np.floating]]) -> None:
    with pytest.raises(ValueError, match="noise arrays do not fit"):
        make_agent().update(make_batch(), noise)


def test_weights_have_keras_names_and_layout() -> None:
    weights = make_agent().get_weights()

    assert {name: array.shape for name, array in weights.items()} == {
        "fc1/kernel": (4, 7),
        "fc1/bias": (7,),
        "fc2/kernel": (7, 5),
        "fc2/bias": (5,),
        "fc3/kernel": (5, 6),
        "fc3/bias": (6,),
        "fc4/kernel": (6, 3),
        "fc4/bias": (3,),
    }


def test_set_weights_makes_the_same_values_and_leaves_the_target_alone() -> None:
    agent, other = make_agent(seed=1), make_agent(seed=2)
    state = np.arange(4.0)

    agent.set_weights(other.get_weights())

    assert np.array_equal(agent.get_q_values(state), other.get_q_values(state))
    before = agent.target_network.state_dict()["fc1.weight"].clone()
    agent.update_target()
    assert not torch.equal(agent.target_network.state_dict()["fc1.weight"], before)


def test_weights_that_do_not_fit_are_all_named_and_nothing_changes() -> None:
    agent, untouched = make_agent(), make_agent()
    weights = make_agent(seed=5).get_weights()
    weights["fc1/kernel"] = weights["fc1/kernel"].T
    del weights["fc4/bias"]

    with pytest.raises(ValueError, match=r"fc1/kernel found \(7, 4\), needed \(4, 7\).*fc4/bias"):
        agent.set_weights(weights)
    assert same_weights(agent, untouched)


def test_replay_waits_for_a_batch_and_then_decays_epsilon() -> None:
    agent, rng = make_agent(), np.random.default_rng(0)
    fill(agent, 7)

    assert agent.replay(rng) == 0.0
    assert agent.epsilon == 1.0
    fill(agent, 1)
    assert agent.replay(rng) > 0.0
    assert agent.epsilon == 0.995


def test_epsilon_ends_just_under_its_minimum_after_919_replays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent, rng = make_agent(), np.random.default_rng(0)
    fill(agent, 8)
    monkeypatch.setattr(agent, "update", lambda _: {"loss": 1.0})

    for _ in range(1000):
        agent.replay(rng)

    assert agent.epsilon == pytest.approx(0.00998645, abs=5e-9)


def test_many_updates_at_once_are_as_many_replays() -> None:
    agents = [make_agent(), make_agent()]
    for agent in agents:
        fill(agent, 20)
    generators = [np.random.default_rng(1) for _ in agents]

    losses = [agents[0].replay(generators[0]) for _ in range(9)]
    mean = agents[1].update_many(9, generators[1])

    assert mean == pytest.approx(np.mean(losses), rel=1e-6)
    assert same_weights(*agents)
    assert agents[1].epsilon == agents[0].epsilon
    assert generators[0].random() == generators[1].random()


def test_many_updates_wait_for_a_batch() -> None:
    assert make_agent().update_many(3, np.random.default_rng(0)) == 0.0


def test_target_network_changes_only_when_it_is_copied() -> None:
    agent = make_agent()
    before = agent.target_network.state_dict()["fc1.weight"].clone()

    agent.update(make_batch())

    assert torch.equal(agent.target_network.state_dict()["fc1.weight"], before)
    agent.update_target()
    for name, tensor in agent.q_network.state_dict().items():
        assert torch.equal(agent.target_network.state_dict()[name], tensor)


def test_update_does_not_touch_the_global_generator() -> None:
    before = torch.get_rng_state()

    make_agent().update(make_batch())

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (6, 4)], ids=["one", "batch-of-one", "batch"])
def test_actions_have_the_batch_shape_of_the_observations(shape: tuple[int, ...]) -> None:
    agent, rng = make_agent(epsilon=0.5), np.random.default_rng(0)

    assert agent.act(np.ones(shape), rng, explore=True).shape == shape[:-1]
    assert agent.act(np.ones(shape), rng, explore=False).shape == shape[:-1]


def test_greedy_action_has_the_highest_value() -> None:
    agent, states = make_agent(), np.random.default_rng(1).normal(size=(50, 4))

    actions = agent.act(states, np.random.default_rng(0), explore=False)

    assert actions.tolist() == agent.get_q_values(states).argmax(axis=1).tolist()
    assert len(set(actions.tolist())) > 1


@pytest.mark.parametrize("shape", [(3,), (2, 5), (2, 2, 4), ()])
def test_observation_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needed \(4,\) or \(batch, 4\)"):
        make_agent().get_q_values(np.ones(shape))


def test_explanation_has_the_keys_of_the_guide() -> None:
    explanation = make_agent().get_action_explanation(np.ones(4))

    assert list(explanation) == [
        "action",
        "difficulty",
        "q_values",
        "confidence",
        "exploration_rate",
    ]


def test_device_information_names_the_processor() -> None:
    assert make_agent().get_device_info() == {"device_type": "cpu", "is_cuda": False}


def test_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'toaster' is not available.*device='auto'"):
        make_agent(device="toaster")


@pytest.mark.parametrize("settings", [{}, {"double": True, "dueling": True, "loss": "huber"}])
def test_saved_agent_trains_on_bit_by_bit(settings: dict[str, Any], tmp_path: Path) -> None:
    agent = make_agent(**settings)
    for seed in range(3):
        agent.update(make_batch(seed))
    agent.update_target()
    agent.update(make_batch(3))
    agent.epsilon = 0.25
    agent.history["rewards"].append(1.5)
    agent.save(tmp_path / "agent")

    loaded = DQNAgent.load(tmp_path / "agent", device="cpu")

    assert loaded.configuration == agent.configuration
    assert (loaded.epsilon, loaded.history) == (0.25, agent.history)
    for seed in range(4, 7):
        assert loaded.update(make_batch(seed)) == agent.update(make_batch(seed))
    assert same_weights(loaded, agent)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    agent = make_agent()
    agent.update(make_batch())

    agent.save(tmp_path / "one")
    agent.save(tmp_path / "another.name.pth")

    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "another.name.pth").read_bytes()


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


def test_every_dropout_layer_may_have_its_own_rate() -> None:
    agent = make_agent(dropout=(0.5, 0.0))

    masks = agent._masks.draw(100)

    assert masks["dropout1"].unique().tolist() == [0.0, 2.0]
    assert masks["dropout2"].unique().tolist() == [1.0]
    with pytest.raises(ValueError, match="1 rates of dropout for 2 layers"):
        make_agent(dropout=(0.5,))


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


def test_settings_of_the_caller_win_over_the_file(tmp_path: Path) -> None:
    make_agent(learning_rate=0.5).save(tmp_path / "agent")

    loaded = DQNAgent.load(tmp_path / "agent", device="cpu", learning_rate=0.25, epsilon=0.1)

    assert (loaded.optimizer.param_groups[0]["lr"], loaded.epsilon) == (0.25, 0.1)


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


@pytest.mark.parametrize("dueling", [False, True], ids=["plain", "dueling"])
def test_values_for_acting_are_those_of_the_network_bit_by_bit(dueling: bool) -> None:
    network = DQNetwork(4, 3, hidden_sizes=(9, 7, 5), dueling=dueling, seed=2).eval()

    for rows in (1, 6):
        x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(rows))
        assert torch.equal(network.evaluate(x), network(x))
