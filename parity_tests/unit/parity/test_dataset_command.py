from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import torchward
from experience.datasets import load_episodes
from parity_tests import FIXTURES
from parity_tests.dataset_command import choose_shares, name_dataset
from torch_impl.dqn import DQNAgent

pytest.importorskip("minari")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def agent(root: Path) -> Path:
    """An agent that pushes to the side to which the pole falls: far better than chance."""
    agent = DQNAgent(4, 2, hidden_sizes=(4,), dropout=0.0)
    with torch.no_grad():
        for parameter in agent.q_network.parameters():
            parameter.zero_()
        agent.q_network.fc1.weight[0] = torch.tensor([0.0, 0.0, 1.0, 0.5])
        agent.q_network.fc1.weight[1] = -agent.q_network.fc1.weight[0]
        agent.q_network.fc2.weight[1, 0] = agent.q_network.fc2.weight[0, 1] = 1.0
    agent.save(root / "agent")
    return root / "agent.pth"


def _run(*arguments: str) -> int:
    return torchward.main(["dataset", *arguments])


def test_an_agents_episodes_are_recorded_listed_and_shown(
    agent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("record", "--env", "CartPole-v1", "--policy", str(agent), "--episodes", "3")
    assert _run(*command, "--id", "cartpole/expert-v0") == 0
    assert "agent.pth 100%" in capsys.readouterr().out

    assert _run("list") == 0
    assert "cartpole/expert-v0" in capsys.readouterr().out
    assert _run("show", "cartpole/expert-v0", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["environment"] == "CartPole-v1"
    assert shown["mean_return"] == shown["steps"] / 3 > 100  # chance reaches 22


def test_a_mixture_has_each_policys_share_and_says_so(
    agent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("record", "--env", "CartPole-v1", "--policy", str(agent), "--policy", "random",
                "--mix", "0.25", "--episodes", "8", "--id", "mixed-v0", "--json") == 0  # fmt: skip

    made = json.loads(capsys.readouterr().out)
    assert [each["episodes"] for each in made["policies"]] == [2, 6]
    assert made["policies"][0]["mean_return"] > 3 * made["policies"][1]["mean_return"]
    assert made["algorithm"] == "agent.pth 25%, random 75%"


def test_the_same_seed_records_the_same_data(root: Path) -> None:
    for name in ("a-v0", "b-v0"):
        command = ("record", "--env", "CartPole-v1", "--episodes", "3", "--seed", "5")
        assert _run(*command, "--id", name, "--quiet") == 0

    for one, other in zip(load_episodes("a-v0"), load_episodes("b-v0"), strict=True):
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.actions, other.actions)


def test_epsilon_makes_an_expert_worse(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    means = {}
    for epsilon in ("0", "1"):
        assert _run("record", "--env", "CartPole-v1", "--policy", str(agent), "--episodes", "3",
                    "--epsilon", epsilon, "--id", f"e-v{epsilon}", "--json") == 0  # fmt: skip
        means[epsilon] = json.loads(capsys.readouterr().out)["policies"][0]["mean_return"]

    assert means["1"] < means["0"] / 3


def test_a_converted_network_plays(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    converted = root / "dqn.pth"
    fixture = FIXTURES / "kerasrl2_dqn_cartpole"
    torchward.convert(fixture / "dqn_weights.h5", converted, architecture=fixture / "model.json")

    command = ("record", "--env", "CartPole-v1", "--policy", str(converted), "--episodes", "2")
    assert _run(*command, "--id", "converted-v0") == 0

    episode = load_episodes("converted-v0")[0]
    model = torchward.load(converted)
    with torch.no_grad():
        values = model(torch.from_numpy(episode.observations[:-1]))
    assert values.argmax(-1).reshape(-1).tolist() == episode.actions.tolist()


def test_a_converted_agent_of_stable_baselines_plays(root: Path) -> None:
    converted = root / "sb.pth"
    torchward.convert(FIXTURES / "sb_dqn_mlp_cartpole" / "model.zip", converted)

    command = ("record", "--env", "CartPole-v1", "--policy", str(converted), "--episodes", "1")
    assert _run(*command, "--id", "stable-v0", "--quiet") == 0

    episode = load_episodes("stable-v0")[0]
    agent = torchward.load(converted)
    assert agent.act(episode.observations[:-1]).tolist() == episode.actions.tolist()


def test_a_recurrent_agent_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    converted = root / "lstm.pth"
    torchward.convert(FIXTURES / "sb_ppo2_lstm_cartpole" / "model.zip", converted)

    assert _run("record", "--env", "CartPole-v1", "--policy", str(converted)) == 4

    assert "without memory" in capsys.readouterr().err


def test_an_agent_of_d3rlpy_is_refused_where_it_does_not_fit(root: Path) -> None:
    converted = root / "cql.pth"
    torchward.convert(FIXTURES / "d3rlpy" / "td3_plus_bc" / "model.d3", converted)

    # Its observations have five numbers; Pendulum's have three.
    command = ("record", "--env", "Pendulum-v1", "--policy", str(converted))
    assert _run(*command) == 4


def test_a_buffer_of_d3rlpy_is_imported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = FIXTURES / "d3rlpy" / "buffer_continuous" / "buffer.h5"

    assert _run("import", str(source), "--id", "old/pendulum-v0") == 0

    assert "3 episodes, 34 steps" in capsys.readouterr().out
    assert [len(episode) for episode in load_episodes("old/pendulum-v0")] == [12, 8, 14]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("record", "--env", "CartPole-v1", "--policy", "nothing.pth"), "nothing.pth"),
        (("record", "--env", "Nowhere-v1"), "Nowhere"),
        (("record", "--env", "CartPole-v1", "--id", "x/y"), "needed (namespace/)name-v0"),
        (("record", "--env", "CartPole-v1", "--mix", "0.5", "--mix", "0.5"), "--mix"),
        (("show", "nothing-v0"), "no data set 'nothing-v0'"),
        (("import", "nothing.h5", "--id", "a-v0"), "nothing.h5"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_cannot_be_done_is_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert _run(*arguments) in (2, 3)

    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_an_agent_of_another_environment_is_refused(
    agent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("record", "--env", "MountainCar-v0", "--policy", str(agent)) == 4

    assert "cannot act in" in capsys.readouterr().err


def test_a_taken_id_is_refused_before_anything_is_played(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("record", "--env", "CartPole-v1", "--episodes", "1", "--id", "a-v0")
    assert _run(*command) == 0
    assert _run(*command) == 6
    assert "exists already" in capsys.readouterr().err
    assert _run(*command, "--force") == 0


def test_shares_are_as_many_as_policies() -> None:
    assert choose_shares(["a", "b"], []) == [0.5, 0.5]
    assert choose_shares(["a", "b"], [0.2]) == [0.2, 0.8]
    assert choose_shares(["a", "b", "c"], [1, 2, 3]) == [1, 2, 3]
    with pytest.raises(ValueError, match="one for each"):
        choose_shares(["a", "b", "c"], [1, 2])


def test_an_id_is_made_of_environment_and_policies() -> None:
    assert name_dataset("CartPole-v1", ["runs/Best Agent.pth", "random"]) == (
        "cartpole-v1/best-agent-random-v0"
    )
    assert name_dataset("ALE/Pong-v5", ["random"]) == "ale-pong-v5/random-v0"
