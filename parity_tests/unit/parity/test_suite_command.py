from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torchward
from experience.agents import create_agent
from experience.suite_training import SuiteRun

pytest.importorskip("gymnasium")

TINY = """--env Pendulum-v1 --epochs 1 --cycles 2 --iterations 2 --timesteps 30 --warmup 30 --train_batches 2
--test_rollouts 1 --test_timesteps 25 --batch_size 8 --hidden_sizes 8,8 --rrd_batch_size 8 --rrd_sample_size 4
--buffer_size 200 --cuda no"""


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("USE_PYTORCH", raising=False)


def train(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    code = torchward.main(["train", *shlex.split(line)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def returns(name: str) -> Any:
    with np.load(f"log/rews/{name}/Pendulum-v1.npz") as stored:
        return stored["info"]


@pytest.mark.parametrize(
    ("line", "figures"),
    [
        ("--alg ddpg", ["Pi_loss", "Q_loss", "Q_reg_loss"]),
        ("--alg rrd --basis_alg sac --rrd_bias_correction=True", ["R_loss", "R_var", "Q_average"]),
        ("--alg ircr --basis_alg td3 --num_envs 3", ["Pi_loss", "Q_loss"]),
    ],
)
def test_command_trains_and_shows_a_table_per_cycle(
    line: str, figures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = train(f"{line} {TINY}", capsys)

    assert (code, err) == (0, "")
    assert out.count("| Cycle ") == 2
    assert [name for name in figures if f"| {name}" not in out] == []
    assert "trained for 120 steps" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("basis", "environment"),
    [("sac", "Pendulum-v1"), ("td3", "Pendulum-v1"), ("ddpg", "Pendulum-v1"), ("dqn", "Catch")],
)
def test_ircr_trains_over_every_basis(
    basis: str, environment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = TINY.replace("Pendulum-v1", environment)

    code, out, err = train(f"--alg ircr --basis_alg {basis} {tiny}", capsys)

    assert (code, err) == (0, "")
    assert "trained for 120 steps, 6 updates" in out


@pytest.mark.slow
def test_resuming_needs_the_run_folder_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(f"--alg rrd --tag whole {TINY}", capsys)
    agent_train = SuiteRun.train

    def interrupted(run: SuiteRun, echo: Any, should_stop: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return agent_train(run, echo, should_stop)

    with monkeypatch.context() as patch:
        patch.setattr(SuiteRun, "train", interrupted)
        code, _, err = train(f"--alg rrd --tag part {TINY}", capsys)
    folder = "runs/part-rrd-Pendulum-v1-seed0"
    resumed, _, _ = train(f"--resume {folder}", capsys)

    assert (code, resumed) == (130, 0)
    assert err == f"stopped at step 30; saved. Continue with:  torchward train --resume {folder}\n"
    np.testing.assert_array_equal(
        returns("part/part-rrd-Pendulum-v1"), returns("whole/whole-rrd-Pendulum-v1")
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--alg sac --env CartPole-v1", "error: CartPole-v1 has numbered actions"),
        ("--alg sac --env Unknown-v1", "error: environment 'Unknown-v1'"),
        ("--alg sac --run_folder .", "error: .: exists already"),
        ("--alg sac --env Pendulum-v1 --resume", "no checkpoint in it"),
        ("--alg sac --timesteps 10 --num_envs 3 --env Pendulum-v1", "no multiple of num_envs 3"),
        ("--alg ppo", "invalid choice: 'ppo'"),
    ],
)
def test_wrong_use_ends_with_2_and_one_line(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = train(line, capsys)

    assert (code, out) == (2, "")
    assert message in err


def test_resumed_run_takes_no_other_flags(capsys: pytest.CaptureFixture[str]) -> None:
    train(f"--alg ddpg {TINY}", capsys)

    code, _, err = train("--resume runs/ddpg-Pendulum-v1-seed0 --gamma 0.5", capsys)

    assert code == 2
    assert "leave out --gamma 0.5" in err


@pytest.mark.parametrize(
    ("pair", "alg"), [("sac", "sac"), ("value_dqn", "dqn"), ("rrd_dqn", "rrd")]
)
def test_a_pair_of_the_suite_names_the_command_that_trains_it(
    pair: str, alg: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = train(f"{pair} --env Pendulum-v1 --steps 10", capsys)

    assert (code, out) == (2, "")
    assert err == (
        f"error: {pair} is of the RRD suite, which is trained with flags of its own\n"
        f"hint: torchward train --alg {alg} --help shows them\n"
    )
    assert list(Path().iterdir()) == []


def test_other_pairs_keep_their_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = train("dqn --framework jax", capsys)

    assert code == 2
    assert "--framework jax: needed torch or tensorflow" in err


@pytest.mark.tf
def test_both_sides_train_alike(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")
    for side, framework in (("0", "a TensorFlow graph"), ("1", "eager PyTorch")):
        monkeypatch.setenv("USE_PYTORCH", side)
        code, out, _ = train(f"--alg rrd --dtype float64 --tag side{side} {TINY}", capsys)
        assert code == 0
        assert f"Updates run in {framework}" in out

    legacy, torch = (returns(f"side{side}/side{side}-rrd-Pendulum-v1") for side in "01")

    np.testing.assert_allclose(torch, legacy, rtol=1e-9)


def test_usage_example_of_the_guide_runs(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from experience.arguments import Arguments
    from experience.environments.suite import make_suite_environment
    from experience.learner import RunningEpisode
    from experience.suite_buffers import create_buffer

    args = Arguments(env="Pendulum-v1", test_timesteps=80)
    num_epochs, batch_size = 2, 16
    # Set up args, as printed
    args.use_pytorch = True
    args.alg = "rrd"
    args.basis_alg = "sac"
    args.cuda = torch.cuda.is_available()

    # Create agent
    agent = create_agent(args)

    environment = make_suite_environment(args)
    replay_buffer = create_buffer(args, np.random.default_rng(0))
    running = RunningEpisode(0, [environment.reset(seed=0)])
    for _ in range(args.test_timesteps):
        running.actions.append(agent.step(running.observations[-1], explore=True))
        outcome = environment.step(running.actions[-1])
        running.observations.append(outcome.observation)
        running.rewards.append(outcome.reward)
        running.done.append(outcome.done)
    replay_buffer.store_episode(running.finish())

    # Training loop (simplified)
    for epoch in range(num_epochs):
        # Collect experience
        batch = replay_buffer.sample(batch_size)

        # Update normalizer
        agent.normalizer_update(batch)

        # Train
        info = agent.train(batch)

        # Update target networks
        agent.target_update()

        # Print training info
        print(f"Epoch {epoch}: {info}")  # noqa: T201  the guide's own line

    out = capsys.readouterr().out
    assert out.startswith("Epoch 0: {'")
    assert all(name in out for name in ("Pi_loss", "Q_loss", "R_loss"))
