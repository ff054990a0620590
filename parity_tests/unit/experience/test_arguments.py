from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from experience.arguments import Arguments, build_parser, choose_defaults, parse_arguments


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {"alg": "rrd", "basis_alg": "sac", "env": "Ant-v2", "env_type": "ep_rews"}),
        ("", {"epochs": 3, "cycles": 100, "iterations": 100, "timesteps": 100, "batch_size": 256}),
        ("", {"rrd_batch_size": 256, "rrd_sample_size": 64, "train_target": 1, "r_lr": 3e-4}),
        ("", {"gamma": 0.99, "test_rollouts": 10, "test_timesteps": 1000, "buffer_size": 1_000_000}),
        ("", {"warmup": 10_000, "save_rews": True, "train_batches": 100, "rrd_bias_correction": False}),
        ("", {"pi_lr": 3e-4, "q_lr": 3e-4, "polyak": 0.995, "obs_normalization": False, "tag": ""}),
        ("--alg sac", {"alpha_lr": 3e-4, "alpha_init": 1.0, "train_target": 1}),
        ("--alg td3", {"std_act": 0.1, "pi_t_std": 0.2, "pi_t_clip": 0.5}),
        ("--alg ddpg", {"std_act": 0.1, "q_reg": 1e-2, "train_target": 2}),
        ("--alg dqn --env Assault", {"eps_l": 1.0, "eps_r": 0.01, "eps_decay": 250_000, "Adam_eps": 1.5e-4}),
        ("--alg dqn --env Assault", {"double": False, "dueling": False, "optimizer": "adam", "test_rollouts": 5}),
        ("--env Assault", {"epochs": 10, "cycles": 20, "iterations": 500, "batch_size": 32, "warmup": 30_000}),
        ("--env Assault", {"sticky": False, "noop": 30, "frames": 4, "rews_scale": 1.0}),
        ("--env Assault --optimizer rmsprop", {"RMSProp_eps": 1e-2}),
        ("--alg td3", {"pi_delay_freq": 2, "train_target": 2, "polyak": 0.995, "pi_lr": 3e-4}),
        ("--alg ddpg", {"obs_normalization": True, "pi_lr": 1e-4, "q_lr": 1e-3, "polyak": 0.999}),
        ("--alg ddpg --polyak .9", {"polyak": 0.9}),
        ("--alg dqn --env CartPole-v1", {"q_lr": 6.25e-5, "train_target": 8000, "train_batches": 25}),
        ("--env Assault", {"basis_alg": "dqn", "env_category": "atari", "test_timesteps": 27000}),
        ("--env Assault", {"rrd_batch_size": 32, "rrd_sample_size": 32, "test_eps": 0.001}),
        ("--env Assault --optimizer rmsprop", {"q_lr": 2.5e-4, "RMSProp_decay": 0.95}),
        ("--alg ircr --env Assault", {"batch_size": 32, "buffer_size": 1_000_000}),
        ("--alg ircr", {"batch_size": 512, "buffer_size": 300_000, "polyak": 0.999, "alpha_lr": 3e-4}),
        ("--alg ircr --env Humanoid-v2", {"alpha_lr": 0.0, "alpha_init": 0.1}),
        ("--alg ircr --env HumanoidStandup-v2", {"alpha_init": 1.0}),
        ("--alg ircr --basis_alg ddpg --q_lr 1", {"polyak": 0.999, "q_lr": 1.0, "pi_lr": 1e-4}),
        ("--tag=RRD --rrd-bias-correction", {"tag": "RRD", "rrd_bias_correction": True}),
    ],
)  # fmt: skip
def test_defaults_follow_environment_and_algorithm(line: str, expected: dict[str, Any]) -> None:
    found = parse_arguments(line.split())

    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize("text", ["yes", "True", "t", "Y", "1"])
def test_words_for_true_are_true(text: str) -> None:
    assert parse_arguments(["--double", text]).double


@pytest.mark.parametrize("text", ["no", "False", "f", "N", "0"])
def test_words_for_false_are_false(text: str) -> None:
    assert not parse_arguments(["--alg", "ddpg", "--obs_normalization", text]).obs_normalization


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("--alg ddpg", ["rate of the critics [0.001]", "seen so far [yes]", "Gymnasium id [Ant-v2]"]),
        ("--alg ircr --env Assault", ["transitions [32]", "training as well [27000]"]),
    ],
)  # fmt: skip
def test_help_has_the_defaults_of_what_is_named(
    line: str, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments([*line.split(), "--help"])

    text = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert [part for part in shown if part not in text] == []


def test_help_says_what_every_flag_means() -> None:
    explained = {action.dest for action in build_parser()._actions if len(action.help or "") > 5}

    not_flags = {"obs_dims", "acts_dims", "acts_num"}
    assert {each.name for each in fields(Arguments)} - not_flags <= explained


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--alg ppo", "invalid choice: 'ppo'"),
        ("--basis td3", "unrecognized arguments"),
        ("--amp yse", "argument --amp: 'yse' is neither yes, true, t, y, 1 nor no, false, f, n, 0"),
        ("--rrd_sample_size 1 --rrd_bias_correction", "needs a rrd_sample_size of at least 2"),
        ("--hidden_sizes 64,64,64", "hidden_sizes 64,64,64; needed two numbers of at least 1"),
        (
            "--hidden_sizes a,b",
            "argument --hidden_sizes: 'a,b' is no list of numbers such as 64,64",
        ),
        ("--gamma 7 --help", "gamma 7.0; needed 0 to 1"),
        ("--gamma 1.5 --timesteps 0", "timesteps 0; needed at least 1; gamma 1.5"),
        ("--rrd_sample_size 300", "rrd_batch_size 256 holds no sample of 300"),
    ],
)
def test_wrong_arguments_end_with_status_2(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(line.split())

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_unknown_argument_is_refused() -> None:
    with pytest.raises(ValueError, match="no arguments algorithm"):
        choose_defaults(algorithm="sac")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (Arguments(tag="RRD Ant-v2"), "RRD Ant-v2-rrd-Ant-v2"),
        (Arguments(env="ALE/Pong-v5", alg="dqn"), "dqn-ALE-Pong-v5"),
    ],
)
def test_name_begins_with_the_tag(arguments: Arguments, name: str) -> None:
    assert arguments.name == name
