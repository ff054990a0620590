from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.actor_critic_inputs import continuous_transitions, small_arguments

pytestmark = pytest.mark.tf


@pytest.fixture(name="build")
def build_fixture() -> Any:
    pytest.importorskip("tensorflow")
    from legacy_tf.ddpg import DDPG
    from legacy_tf.sac import SAC
    from legacy_tf.td3 import TD3

    kinds = {"ddpg": DDPG, "td3": TD3, "sac": SAC}
    return lambda kind, **flags: kinds[kind](small_arguments(**flags), seed=3)


def batch(seed: int = 0) -> Any:
    recipe = continuous_transitions()
    return recipe({"args": small_arguments()}, np.random.default_rng(seed)).batch


def checkpoint_names(path: Path) -> set[str]:
    import tensorflow as tf

    return {name for name, _ in tf.train.list_variables(str(path))}


def test_checkpoint_has_the_names_of_the_original(build: Any, tmp_path: Path) -> None:
    agent = build("ddpg", obs_normalization=True)

    agent.save_model(tmp_path / "agent")

    layers = {"policy": ("pi_dense1", "pi_dense2", "pi"), "value": ("q_dense1", "q_dense2", "q")}
    trained = {
        f"main/{network}/net/{layer}/{kind}"
        for network, names in layers.items()
        for layer in names
        for kind in ("kernel", "bias")
    }
    slots = {f"{name}/{slot}" for name in trained for slot in ("Adam", "Adam_1")}
    targets = {name.replace("main/", "target/") for name in trained}
    powers = {f"beta{n}_power{suffix}" for n in (1, 2) for suffix in ("", "_1")}
    statistics = {
        f"normalizer/normalizer_variables/{n}" for n in ("sum", "sum_sqr", "cnt", "mean", "std")
    }
    assert checkpoint_names(tmp_path / "agent") == trained | slots | targets | powers | statistics


def test_td3_has_as_many_variables_as_the_original(build: Any, tmp_path: Path) -> None:
    build("td3").save_model(tmp_path / "agent")

    assert len(checkpoint_names(tmp_path / "agent")) == 76


def test_powers_without_a_number_are_those_of_the_policy(build: Any) -> None:
    agent = build("td3")

    agent.train_q(batch())

    powers = {
        v.op.name: float(agent.session.run(v))
        for v in agent.graph.get_collection("variables")
        if "beta1_power" in v.op.name
    }
    assert powers == pytest.approx({"beta1_power": 0.9, "beta1_power_1": 0.81})


@pytest.mark.parametrize("kind", ["ddpg", "td3", "sac"])
def test_loaded_agent_trains_on_bit_by_bit(build: Any, kind: str, tmp_path: Path) -> None:
    kept = build(kind)
    kept.train(batch())
    kept.target_update()

    kept.save(tmp_path / "agent")
    loaded = type(kept).load(tmp_path / "agent")
    for each in (kept, loaded):
        each.train(batch(1))

    found, expected = loaded.read_variables(), kept.read_variables()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert loaded.counters == kept.counters == {"pi": 2, "q": 2, "target": 1}


def test_joint_step_takes_all_gradients_at_the_old_weights(build: Any) -> None:
    joint, policy_only, critic_only = (build("ddpg") for _ in range(3))

    joint.train(batch())
    policy_only.train_pi(batch())
    critic_only.train_q(batch())

    found = joint.read_variables()
    for part, of in (("main/policy", policy_only), ("main/value", critic_only)):
        expected = of.read_variables()
        names = [name for name in expected if name.startswith(part)]
        assert all(np.array_equal(found[name], expected[name]) for name in names)


def test_no_match_of_a_prefix_is_an_error(build: Any) -> None:
    from legacy_tf.variables import get_vars

    with pytest.raises(ValueError, match="no trained variable begins with 'critic'"):
        get_vars(build("ddpg").graph, "critic")


def test_density_and_floor_are_those_of_the_original() -> None:
    tf = pytest.importorskip("tensorflow")
    from legacy_tf.policies import RandomNormal

    one = RandomNormal(tf.constant([[0.5, 1.0]]), tf.constant([-10.0, 0.3]))
    other = RandomNormal(tf.constant([[0.1, 0.2]]), tf.constant([[0.2, -0.1]]))

    std = np.array([0.01, np.exp(0.3)])
    assert np.allclose(one.std, [std], rtol=1e-6)
    z = (np.array([0.51, 0.8]) - [0.5, 1.0]) / std
    log_p = np.sum(-0.5 * np.log(2 * np.pi) - [-10.0, 0.3] - z**2 / 2)
    assert one.log_p(tf.constant([[0.51, 0.8]])).numpy().item() == pytest.approx(log_p, rel=1e-5)
    entropy = np.sum([-10.0, 0.3]) + np.log(2 * np.pi * np.e)
    assert one.entropy().numpy().item() == pytest.approx(entropy, rel=1e-5)
    scale = np.exp([0.2, -0.1])
    distance = np.array([0.4, 0.8]) / scale
    kl = np.sum(-0.5 + np.array([10.2, -0.4]) + (std / scale) ** 2 / 2 + distance**2 / 2)
    assert one.kl(other).numpy().item() == pytest.approx(kl, rel=1e-5)


@pytest.mark.parametrize("cuda", [True, False, None])
def test_wish_for_cuda_never_stops_an_agent(build: Any, cuda: bool | None) -> None:
    agent = build("ddpg", cuda=cuda)

    hidden = dict(agent.session._config.device_count)
    assert hidden == ({"GPU": 0} if cuda is False else {})
    assert agent.step(np.zeros(4)).shape == (3,)
