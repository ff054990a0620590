"""Agents of stable-baselines 2 open in stable_baselines3 and play as they did."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torchward
from converters.errors import UnsupportedError, VerificationError
from parity_tests import FIXTURES
from parity_tests.stable_baselines_files import (
    Named,
    box,
    dense,
    discrete,
    draw,
    multi_binary,
    write_agent,
    write_ddpg,
    write_dqn,
    write_images,
    write_td3,
)

pytestmark = pytest.mark.slow  # stable_baselines3 takes seconds to import
# What was recorded are float32 sums in another order.
LIMIT = 1e-5
RECORDED = {
    "sb_dqn_mlp_cartpole": ("DQN", 1.0),
    "sb_ppo2_mlp_cartpole": ("PPO", 1.0),
    "sb_ppo2_pendulum_vecnorm": ("PPO", 1.0),
    "sb_a2c_multidiscrete": ("A2C", 1.0),
    "sb_sac_mlp_pendulum": ("SAC", 2.0),  # the policy's own action was recorded, between -1 and 1
}


@pytest.fixture
def library() -> Iterator[Any]:
    hidden = "tensorflow" not in sys.modules  # TensorBoard would import it
    if hidden:
        sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        yield pytest.importorskip("stable_baselines3")
    finally:
        if hidden:
            del sys.modules["tensorflow"]


@pytest.mark.parametrize("case", RECORDED)
@pytest.mark.parametrize("file", ["model.zip", "model.pkl"])
def test_recorded_agents_give_their_actions(
    case: str, file: str, library: Any, tmp_path: Path
) -> None:
    algorithm, scale = RECORDED[case]
    torchward.convert(FIXTURES / case / file, tmp_path / "new.zip", to="sb3")
    model = getattr(library, algorithm).load(tmp_path / "new.zip")
    with np.load(FIXTURES / case / "expected.npz") as expected:
        action, _ = model.predict(expected["x0"], deterministic=True)
        wanted = expected["deterministic_action"]
    if wanted.dtype.kind == "i":
        np.testing.assert_array_equal(action, wanted)
    else:
        np.testing.assert_allclose(action, scale * wanted, atol=LIMIT)


def test_the_same_file_gives_the_same_bytes(library: Any, tmp_path: Path) -> None:
    source = FIXTURES / "sb_ppo2_mlp_cartpole" / "model.zip"
    digests = set()
    for name in ("a.zip", "b.zip"):
        torchward.convert(source, tmp_path / name, to="sb3")
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_normalizers_go_along_as_files_of_their_own(library: Any, tmp_path: Path) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    vectors = pytest.importorskip("stable_baselines3.common.vec_env")
    case = FIXTURES / "sb_ppo2_pendulum_vecnorm"
    agent, normalizer = tmp_path / "new.zip", tmp_path / "normalizer.pkl"
    with pytest.raises(UnsupportedError, match="VecNormalize in a file of its own") as caught:
        torchward.convert(case / "model.zip", agent, normalizer=case / "vecnormalize.pkl", to="sb3")
    assert "convert vecnormalize.pkl --to sb3" in (caught.value.hint or "")

    torchward.convert(case / "model.zip", agent, to="sb3")
    report = torchward.convert(case / "vecnormalize.pkl", normalizer, to="sb3")
    torchward.convert(case / "vecnormalize.pkl", tmp_path / "again.pkl", to="sb3")
    environment = gymnasium.Env()
    environment.observation_space = gymnasium.spaces.Box(-8.0, 8.0, (3,), np.float32)
    environment.action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    loaded = vectors.VecNormalize.load(normalizer, vectors.DummyVecEnv([lambda: environment]))
    model = library.PPO.load(agent, env=loaded)

    with np.load(case / "expected.npz") as expected:
        normalized = model.env.normalize_obs(expected["raw_obs"])
        np.testing.assert_allclose(normalized, expected["normalized_obs"], rtol=1e-6)
    assert not report.ignored
    assert loaded.obs_rms.count > 1
    assert loaded.action_space == environment.action_space
    assert normalizer.read_bytes() == (tmp_path / "again.pkl").read_bytes()


@pytest.mark.parametrize("dueling", [False, True], ids=["single", "dueling"])
def test_dqn_keeps_its_values(dueling: bool, library: Any, tmp_path: Path) -> None:
    path, _ = write_dqn(tmp_path, dueling=dueling, with_norm=False)
    torchward.convert(path, tmp_path / "new.zip", to="sb3")
    torchward.convert(path, tmp_path / "old.pth")
    model, old = library.DQN.load(tmp_path / "new.zip"), torchward.load(tmp_path / "old.pth")
    assert (model.buffer_size, model.gamma) == (500, 0.9)
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32))
    with torch.no_grad():
        expected = old(x)
        torch.testing.assert_close(model.q_net(x), expected["q_values"], atol=LIMIT, rtol=0)
        torch.testing.assert_close(
            model.q_net_target(x), expected["target_q_values"], atol=LIMIT, rtol=0
        )


@pytest.mark.parametrize("kind", ["td3", "ddpg", "ddpg-normalized"])
def test_deterministic_policies_keep_actions_and_values(
    kind: str, library: Any, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    path, _ = (
        write_td3(tmp_path) if kind == "td3" else write_ddpg(tmp_path, normalizes=kind != "ddpg")
    )
    torchward.convert(path, tmp_path / "new.zip", to="sb3")
    torchward.convert(path, tmp_path / "old.pth")
    model = (library.TD3 if kind == "td3" else library.DDPG).load(tmp_path / "new.zip")
    old: Any = torchward.load(tmp_path / "old.pth")
    rng = np.random.default_rng(5)
    x, action = (
        torch.from_numpy(rng.standard_normal((20, size)).astype(np.float32)) for size in (3, 2)
    )
    x *= 3
    with torch.no_grad():
        expected = old(x, action)
        torch.testing.assert_close(
            model.actor_target(x), expected["target_action"], atol=10 * LIMIT, rtol=0
        )
        torch.testing.assert_close(
            model.critic(x, action)[0], expected["q1"], atol=10 * LIMIT, rtol=0
        )
    played, _ = model.predict(x.numpy(), deterministic=True)
    np.testing.assert_allclose(played, np.asarray(old.act(x.numpy())), atol=20 * LIMIT)


def test_images_and_answers_of_yes_and_no(library: Any, tmp_path: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {
        "model/c1/w": (8, 8, 2, 32), "model/c1/b": (1, 32, 1, 1),
        "model/c2/w": (4, 4, 32, 64), "model/c2/b": (1, 64, 1, 1),
        "model/c3/w": (3, 3, 64, 64), "model/c3/b": (1, 64, 1, 1),
        **dense("model/fc1", (128, 20)), **dense("model/vf", (20, 1)), **dense("model/pi", (20, 3)),
    }  # fmt: skip
    arrays = {name: 0.1 * value for name, value in draw(shapes).items()}
    common = "stable_baselines.common.policies:"
    images = write_agent(
        tmp_path / "images.zip", arrays, policy=f"{common}CnnPolicy", action=discrete(3),
        observation=box(0, 255, (40, 44, 2), "uint8"), settings={"alpha": 0.99},
    )  # fmt: skip
    report = torchward.convert(images, tmp_path / "a.zip", to="sb3")
    assert any("same actions on 256 observations" in note for note in report.notes)
    assert library.A2C.load(tmp_path / "a.zip").policy.features_dim == 20
    shapes = {
        **dense("model/pi_fc0", (4, 5)),
        **dense("model/vf", (4, 1)),
        **dense("model/pi", (5, 3)),
    }
    binary = write_agent(
        tmp_path / "binary.zip", draw(shapes), policy=f"{common}MlpPolicy", action=multi_binary(3),
        observation=box(-9, 9, (4,)), settings={"cliprange": 0.2},
    )  # fmt: skip
    torchward.convert(binary, tmp_path / "b.zip", to="sb3")
    assert library.PPO.load(tmp_path / "b.zip").predict(np.zeros(4, np.float32))[0].shape == (3,)


def test_a_dueling_dqn_of_images_is_one_network(library: Any, tmp_path: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    for scope in ("deepq/model", "deepq/target_q_func/model"):
        values = f"{scope}/action_value"
        shapes |= {
            f"{values}/c1/w": (8, 8, 2, 32), f"{values}/c1/b": (1, 32, 1, 1),
            f"{values}/c2/w": (4, 4, 32, 64), f"{values}/c2/b": (1, 64, 1, 1),
            f"{values}/c3/w": (3, 3, 64, 64), f"{values}/c3/b": (1, 64, 1, 1),
            **dense(f"{values}/fc1", (128, 20)),
            **dense(f"{values}/fully_connected", (20, 3), "contrib"),
            **dense(f"{scope}/state_value/fully_connected", (20, 6), "contrib"),
            **dense(f"{scope}/state_value/fully_connected_1", (6, 5), "contrib"),
            **dense(f"{scope}/state_value/fully_connected_2", (5, 1), "contrib"),
        }  # fmt: skip
    arrays = {name: 0.1 * value for name, value in draw(shapes).items()}
    path = write_agent(
        tmp_path / "images.zip", arrays, policy="stable_baselines.deepq.policies:CnnPolicy",
        action=discrete(3), observation=box(0, 255, (40, 44, 2), "uint8"),
        settings={"exploration_fraction": 0.1},
    )  # fmt: skip
    torch = pytest.importorskip("torch")
    torchward.convert(path, tmp_path / "new.zip", to="sb3")
    torchward.convert(path, tmp_path / "old.pth")
    model = library.DQN.load(tmp_path / "new.zip")
    rng = np.random.default_rng(5)
    images = torch.from_numpy(rng.integers(0, 256, (7, 40, 44, 2), dtype=np.uint8))
    with torch.no_grad():
        expected = torchward.load(tmp_path / "old.pth")(images)["q_values"]
        found = model.q_net(images.permute(0, 3, 1, 2))
    torch.testing.assert_close(found, expected, atol=LIMIT, rtol=0)


def write_ppo2(path: Path, *, action: Any, **options: Any) -> Path:
    shapes = {
        **dense("model/pi_fc0", (4, 5)),
        **dense("model/vf", (4, 1)),
        **dense("model/pi", (5, 2)),
        "model/pi/logstd": (1, 2),
    }
    common = "stable_baselines.common.policies:MlpPolicy"
    return write_agent(
        path, draw(shapes), policy=common, action=action, observation=box(-9, 9, (4,)),
        settings={"cliprange": 0.2}, **options,
    )  # fmt: skip


def test_actions_without_bounds_and_leaky_relu_go_along(library: Any, tmp_path: Path) -> None:
    path = write_ppo2(
        tmp_path / "old.zip",
        action=box(-np.inf, np.inf, (2,)),
        policy_kwargs={"act_fun": Named("tensorflow.python.ops.nn_ops", "leaky_relu")},
    )
    torchward.convert(path, tmp_path / "old.pth")
    old: Any = torchward.load(tmp_path / "old.pth")
    x = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)

    torchward.convert(path, tmp_path / "new.zip", to="sb3")

    model = library.PPO.load(tmp_path / "new.zip")
    assert np.isfinite(model.action_space.high).all()
    np.testing.assert_allclose(model.predict(x, deterministic=True)[0], old.act(x), atol=LIMIT)
    slopes = [each.negative_slope for each in model.policy.mlp_extractor.policy_net[1::2]]
    assert slopes == [0.2]  # tf.nn.leaky_relu's default; torch's is 0.01


def test_images_of_other_numbers_than_bytes_are_refused(tmp_path: Path) -> None:
    path, _ = write_images(tmp_path, (8, 4, 3), {}, observation=box(0, 1, (36, 36, 2)))
    with pytest.raises(UnsupportedError, match="no uint8 from 0 to 255"):
        torchward.convert(path, tmp_path / "new.zip", to="sb3", settings={"algorithm": "A2C"})


REFUSED = {
    "sb_ppo2_lstm_cartpole": "recurrent",
    "sb_acktr_mlp_cartpole": "no ACKTR",
    "sb_dqn_cnn_tiny": "user's own",
    "baselines_deepq_cartpole": "no agent of stable-baselines 2",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_counterpart_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    file = next(FIXTURES.glob(f"{case}/model.*"))
    with pytest.raises(UnsupportedError, match=REFUSED[case]):
        torchward.convert(file, tmp_path / "new.zip", to="sb3")
    assert not list(tmp_path.iterdir())


def test_layer_normalization_and_own_images_are_refused(tmp_path: Path) -> None:
    path, _ = write_dqn(tmp_path, dueling=False, with_norm=True)
    with pytest.raises(UnsupportedError, match="layer normalization"):
        torchward.convert(path, tmp_path / "new.zip", to="sb3")
    images, _ = write_images(tmp_path, (8, 3, 4), {})
    with pytest.raises(UnsupportedError, match="user's own"):
        torchward.convert(images, tmp_path / "new.zip", to="sb3", settings={"algorithm": "A2C"})


def test_an_agent_that_would_act_otherwise_is_not_written(
    library: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from converters.stable_baselines3 import agent

    monkeypatch.setitem(agent.ACTIVATIONS, "tanh", "ReLU")
    with pytest.raises(VerificationError, match="acts otherwise"):
        torchward.convert(
            FIXTURES / "sb_ppo2_mlp_cartpole" / "model.zip", tmp_path / "new.zip", to="sb3"
        )
    assert not list(tmp_path.iterdir())
