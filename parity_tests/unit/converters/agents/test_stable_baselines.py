"""Every algorithm and policy of stable-baselines 2, written here, against its formula in numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.errors import AmbiguousTargetError, ConversionError, MismatchError, UnsupportedError
from converters.live.acting import ConvertedAgent
from parity_tests import FIXTURES
from parity_tests.stable_baselines_files import (
    Named,
    box,
    dense,
    discrete,
    draw,
    multi_binary,
    multi_discrete,
    write_agent,
    write_ddpg,
    write_dqn,
    write_images,
    write_td3,
)

Arrays = dict[str, NDArray[Any]]
COMMON = "stable_baselines.common.policies:"
TANH = np.tanh
LIMIT = 2e-6  # float32 sums of a few terms of size 1, in another order


def relu(x: NDArray[Any]) -> NDArray[Any]:
    return x * (x > 0)


def layer(x: NDArray[Any], arrays: Arrays, scope: str) -> NDArray[Any]:
    for kernel, bias in (("w", "b"), ("kernel", "bias"), ("weights", "biases")):
        if f"{scope}/{kernel}" in arrays:
            weight, offset = arrays[f"{scope}/{kernel}"], arrays[f"{scope}/{bias}"]
            result: NDArray[Any] = x @ weight.astype(np.float64) + offset
            return result
    raise KeyError(scope)


def normalized(
    x: NDArray[Any], gain: NDArray[Any], bias: NDArray[Any], epsilon: float
) -> NDArray[Any]:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    result: NDArray[Any] = (x - mean) / np.sqrt(variance + epsilon) * gain + bias
    return result


def load(path: Path, **options: Any) -> ConvertedAgent:
    torchward.convert(path, path.with_suffix(".pth"), force=True, **options)
    agent = torchward.load(path.with_suffix(".pth"))
    assert isinstance(agent, ConvertedAgent)
    return agent


def outputs(agent: torch.nn.Module, *inputs: NDArray[Any]) -> Arrays:
    with torch.no_grad():
        found = agent(*map(torch.from_numpy, inputs))
    return {name: value.numpy() for name, value in found.items()}


def close(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=LIMIT * max(1, np.abs(expected).max()))


def observations(size: int, count: int = 7) -> NDArray[Any]:
    return np.random.default_rng(8).standard_normal((count, size)).astype(np.float32)


ACTOR_CRITIC = {
    **dense("model/pi_fc0", (4, 6)),
    **dense("model/vf_fc0", (4, 5)),
    **dense("model/vf", (5, 1)),
    **dense("model/pi", (6, 5)),
    **dense("model/q", (5, 5)),
}


@pytest.mark.parametrize(
    ("activation", "formula"),
    [(None, TANH), ("relu", relu), ("elu", lambda x: np.where(x > 0, x, np.expm1(x)))],
    ids=["default", "relu", "elu"],
)
def test_policies_have_the_activation_that_is_stored(
    activation: str | None, formula: Callable[[NDArray[Any]], NDArray[Any]], tmp_path: Path
) -> None:
    arrays = draw(ACTOR_CRITIC)
    stored = (
        {} if activation is None else {"act_fun": Named("tensorflow.python.ops.nn", activation)}
    )
    path = write_agent(
        tmp_path / "a.zip",
        arrays,
        policy=f"{COMMON}MlpPolicy",
        observation=box(-9, 9, (4,)),
        action=discrete(5),
        settings={"cliprange": 0.2},
        policy_kwargs=stored,
    )
    agent, x = load(path), observations(4)
    found = outputs(agent, x)
    logits = layer(formula(layer(x, arrays, "model/pi_fc0")), arrays, "model/pi")
    close(found["logits"], logits)
    close(
        found["value"], layer(formula(layer(x, arrays, "model/vf_fc0")), arrays, "model/vf")[:, 0]
    )
    np.testing.assert_array_equal(agent.act(x), logits.argmax(-1))
    assert agent.architecture.name == "PPO2"


def test_an_own_policy_class_takes_the_default_and_says_so(tmp_path: Path) -> None:
    arrays = draw(ACTOR_CRITIC)
    path = write_agent(
        tmp_path / "a.zip",
        arrays,
        policy="my_policies:MyPolicy",
        observation=box(-9, 9, (4,)),
        action=discrete(5),
        settings={"lr_schedule": "constant", "alpha": 0.99},
    )
    report = torchward.convert(path, tmp_path / "a.pth")
    assert any("--set activation=relu" in note for note in report.notes)
    x = observations(4)
    found = outputs(load(path, settings={"activation": "relu"}), x)
    close(found["logits"], layer(relu(layer(x, arrays, "model/pi_fc0")), arrays, "model/pi"))


def test_an_unknown_statement_is_refused(tmp_path: Path) -> None:
    path = write_agent(
        tmp_path / "a.zip",
        draw(ACTOR_CRITIC),
        policy=f"{COMMON}MlpPolicy",
        observation=box(-9, 9, (4,)),
        action=discrete(5),
    )
    with pytest.raises(UnsupportedError, match="--set colour has no meaning"):
        torchward.convert(path, tmp_path / "a.pth", settings={"colour": "red"})


def test_several_choices_yes_or_no_and_indices(tmp_path: Path) -> None:
    arrays = draw(
        {**dense("model/pi_fc0", (5, 6)), **dense("model/vf", (6, 1)), **dense("model/pi", (6, 5))}
        | dense("model/vf_fc0", (5, 6))
    )
    x = np.array([[0, 1], [1, 2], [1, 0]])
    one_hot = np.concatenate([np.eye(2)[x[:, 0]], np.eye(3)[x[:, 1]]], axis=1)
    logits = layer(np.tanh(layer(one_hot, arrays, "model/pi_fc0")), arrays, "model/pi")
    several = write_agent(
        tmp_path / "m.zip",
        arrays,
        policy=f"{COMMON}MlpPolicy",
        observation=multi_discrete(2, 3),
        action=multi_discrete(3, 2),
    )
    agent = load(several)
    close(outputs(agent, x)["logits1"], logits[:, 3:])
    expected = np.stack([logits[:, :3].argmax(-1), logits[:, 3:].argmax(-1)], axis=-1)
    np.testing.assert_array_equal(agent.act(x), expected)
    assert np.asarray(agent.act(x, deterministic=False)).shape == (3, 2)
    binary = write_agent(
        tmp_path / "b.zip",
        arrays,
        policy=f"{COMMON}MlpPolicy",
        observation=multi_discrete(2, 3),
        action=multi_binary(5),
    )
    np.testing.assert_array_equal(load(binary).act(x), (logits > 0).astype(int))
    index = write_agent(
        tmp_path / "d.zip",
        arrays,
        policy=f"{COMMON}MlpPolicy",
        observation=discrete(5),
        action=discrete(5),
    )
    by_index = layer(np.tanh(layer(np.eye(5)[[4, 0]], arrays, "model/pi_fc0")), arrays, "model/pi")
    close(outputs(load(index), np.array([4, 0]))["logits"], by_index)


def test_gaussian_actions_are_clipped_to_the_environment(tmp_path: Path) -> None:
    arrays = draw(
        {
            **dense("model/shared_fc0", (3, 6)),
            **dense("model/vf", (6, 1)),
            **dense("model/pi", (6, 2)),
            "model/pi/logstd": (1, 2),
            **dense("model/q", (6, 2)),
        }
    )
    arrays["model/pi/b"] += np.array([3.0, 0.0], np.float32)
    path = write_agent(
        tmp_path / "a.zip",
        arrays,
        policy=f"{COMMON}MlpPolicy",
        observation=box(-9, 9, (3,)),
        action=box(-1, 1, (2,)),
        settings={"max_kl": 0.01},
    )
    agent, x = load(path), observations(3)
    mean = layer(np.tanh(layer(x, arrays, "model/shared_fc0")), arrays, "model/pi")
    found = outputs(agent, x)
    close(found["mean"], mean)
    close(found["std"], np.broadcast_to(np.exp(arrays["model/pi/logstd"]), mean.shape))
    action = np.asarray(agent.act(x))
    close(action, np.clip(mean, -1, 1))
    assert not np.allclose(action, mean)
    assert agent.architecture.name == "TRPO"
    assert np.abs(np.asarray(agent.act(x, deterministic=False))).max() <= 1


@pytest.mark.parametrize("with_norm", [False, True], ids=["lstm", "layer-norm-lstm"])
def test_recurrent_policies(with_norm: bool, tmp_path: Path) -> None:
    scope, units = "model/lstm1", 4
    shapes: dict[str, tuple[int, ...]] = {**dense("model/pi_fc0", (3, 5)), f"{scope}/wx": (5, 16)}
    norms: dict[str, tuple[int, ...]] = {f"{scope}/gx": (16,), f"{scope}/bx": (16,)}
    shapes |= norms if with_norm else {}
    shapes |= {f"{scope}/wh": (4, 16)} | (
        {f"{scope}/gh": (16,), f"{scope}/bh": (16,)} if with_norm else {}
    )
    shapes |= {f"{scope}/b": (16,)} | (
        {f"{scope}/gc": (4,), f"{scope}/bc": (4,)} if with_norm else {}
    )
    arrays = draw({**shapes, **dense("model/vf", (4, 1)), **dense("model/pi", (4, 2))})
    path = write_agent(
        tmp_path / "a.zip",
        arrays,
        policy=f"{COMMON}MlpLnLstmPolicy",
        observation=box(-9, 9, (3,)),
        action=discrete(2),
        settings={"cliprange": 0.2},
    )
    x, mask = observations(3, 2), np.array([0.0, 1.0], np.float32)
    state = np.random.default_rng(2).standard_normal((2, 2 * units)).astype(np.float32)
    found = outputs(load(path), x, state, mask)

    def norm(value: NDArray[Any], letter: str) -> NDArray[Any]:
        if not with_norm:
            return value
        return normalized(value, arrays[f"{scope}/g{letter}"], arrays[f"{scope}/b{letter}"], 1e-5)

    cell, hidden = np.split(state.astype(np.float64) * (1 - mask[:, None]), 2, axis=1)
    features = np.tanh(layer(x, arrays, "model/pi_fc0"))
    gates = norm(features @ arrays[f"{scope}/wx"], "x") + norm(hidden @ arrays[f"{scope}/wh"], "h")
    i, f, o, u = np.split(gates + arrays[f"{scope}/b"], 4, axis=1)
    cell = cell / (1 + np.exp(-f)) + np.tanh(u) / (1 + np.exp(-i))
    hidden = np.tanh(norm(cell, "c")) / (1 + np.exp(-o))
    close(found["state"], np.concatenate([cell, hidden], axis=1))
    close(found["logits"], layer(hidden, arrays, "model/pi"))


def q_values(
    x: NDArray[Any], arrays: Arrays, scope: str, *, dueling: bool, with_norm: bool
) -> NDArray[Any]:
    def stream(name: str) -> NDArray[Any]:
        hidden = layer(x, arrays, f"{scope}/{name}/fully_connected")
        if with_norm:
            norm = f"{scope}/{name}/LayerNorm"
            hidden = normalized(hidden, arrays[f"{norm}/gamma"], arrays[f"{norm}/beta"], 1e-12)
        return layer(relu(hidden), arrays, f"{scope}/{name}/fully_connected_1")

    scores = stream("action_value")
    return stream("state_value") + scores - scores.mean(1, keepdims=True) if dueling else scores


@pytest.mark.parametrize("with_norm", [False, True], ids=["plain", "layer-norm"])
@pytest.mark.parametrize("dueling", [False, True], ids=["single", "dueling"])
def test_dqn(dueling: bool, with_norm: bool, tmp_path: Path) -> None:
    path, arrays = write_dqn(tmp_path, dueling=dueling, with_norm=with_norm)
    agent, x = load(path), observations(4)
    found = outputs(agent, x)
    kind = {"dueling": dueling, "with_norm": with_norm}
    expected = q_values(x, arrays, "deepq/model", **kind)
    close(found["q_values"], expected)
    close(found["target_q_values"], q_values(x, arrays, "deepq/target_q_func/model", **kind))
    np.testing.assert_array_equal(agent.act(x), expected.argmax(-1))


def chain(x: NDArray[Any], arrays: Arrays, scope: str, last: str) -> NDArray[Any]:
    number = 0
    while f"{scope}/fc{number}/kernel" in arrays:
        x = layer(x, arrays, f"{scope}/fc{number}")
        if f"{scope}/LayerNorm/gamma" in arrays and number == 0:
            x = normalized(
                x, arrays[f"{scope}/LayerNorm/gamma"], arrays[f"{scope}/LayerNorm/beta"], 1e-12
            )
        x = relu(x)
        number += 1
    return layer(x, arrays, f"{scope}/{last}")


def test_td3(tmp_path: Path) -> None:
    path, arrays = write_td3(tmp_path)
    agent, x, taken = load(path), observations(3), observations(2)
    found = outputs(agent, x, taken)
    action = np.tanh(chain(x, arrays, "model/pi", "dense"))
    close(found["deterministic_action"], action)
    close(found["target_action"], np.tanh(chain(x, arrays, "target/pi", "dense")))
    joined = np.concatenate([x, taken], axis=1)
    close(found["q2"], chain(joined, arrays, "model/values_fn/qf2", "qf2"))
    close(found["target_q1"], chain(joined, arrays, "target/values_fn/qf1", "qf1"))
    close(np.asarray(agent.act(x)), 2 * (action + 1))  # from -1 ... 1 to 0 ... 4
    assert agent.architecture.name == "TD3"


@pytest.mark.parametrize("with_norm", [False, True], ids=["plain", "layer-norm"])
@pytest.mark.parametrize("normalizes", [False, True], ids=["as-it-is", "running-statistics"])
@pytest.mark.parametrize("head", ["qf", "qf_output"])
def test_ddpg(head: str, normalizes: bool, with_norm: bool, tmp_path: Path) -> None:
    path, arrays = write_ddpg(tmp_path, normalizes=normalizes, with_norm=with_norm, head=head)
    agent, x, taken = load(path), 3 * observations(3), observations(2)
    found = outputs(agent, x, taken)
    seen, scale, middle = x.astype(np.float64), 1.0, 0.0
    if normalizes:
        mean = np.array([0.5, -0.3, 0.0])
        seen = (x - mean) / np.sqrt(np.maximum(np.array([9.0, 3.0, 0.0001]) - mean**2, 0.01))
        scale, middle = np.sqrt(6.0 - 0.8**2), 0.8
    seen = np.clip(seen, -2, 2)
    action = np.tanh(chain(seen, arrays, "model/pi", "pi"))
    close(found["deterministic_action"], action)
    for scope, name in (("model", "q1"), ("target", "target_q1")):
        hidden = np.concatenate([relu(layer(seen, arrays, f"{scope}/qf/fc0")), taken], axis=1)
        hidden = relu(layer(hidden, arrays, f"{scope}/qf/fc1"))
        close(found[name], scale * layer(hidden, arrays, f"{scope}/qf/{head}") + middle)
    close(np.asarray(agent.act(x)), 2 * action + 1)


def convolve(x: NDArray[Any], arrays: Arrays, name: str, stride: int) -> NDArray[Any]:
    """Return relu of a convolution by its definition, channels last."""
    kernel = arrays[f"model/{name}/w"].astype(np.float64)
    size = kernel.shape[0]
    places = range(0, x.shape[1] - size + 1, stride)
    rows = [
        [np.einsum("nhwc,hwco->no", x[:, i : i + size, j : j + size], kernel) for j in places]
        for i in places
    ]
    return relu(np.transpose(rows, (2, 0, 1, 3)) + arrays[f"model/{name}/b"].ravel())


def test_the_network_of_the_nature_paper(tmp_path: Path) -> None:
    path, arrays = write_images(tmp_path, (8, 4, 3), {})
    images = np.random.default_rng(1).integers(0, 256, (2, 36, 36, 2), dtype=np.uint8)
    x = images / 255
    for name, stride in (("c1", 4), ("c2", 2), ("c3", 1)):
        x = convolve(x, arrays, name, stride)
    features = relu(layer(x.reshape(2, -1), arrays, "model/fc1"))
    found = outputs(load(path), images)
    close(found["logits"], layer(features, arrays, "model/pi"))


def test_a_target_without_its_convolutions_is_left_out(tmp_path: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    for scope in ("model/pi", "model/values_fn"):
        shapes |= {f"{scope}/c1/w": (8, 8, 2, 4), f"{scope}/c1/b": (1, 4, 1, 1)}
        shapes |= {f"{scope}/c2/w": (4, 4, 4, 5), f"{scope}/c2/b": (1, 5, 1, 1)}
        shapes |= {f"{scope}/c3/w": (3, 3, 5, 6), f"{scope}/c3/b": (1, 6, 1, 1)}
        shapes |= dense(f"{scope}/fc1", (6, 8))
    for name in ("fc0", "dense", "dense_1"):
        shapes |= dense(f"model/pi/{name}", (8, 3) if name == "fc0" else (3, 2), "keras")
    for scope, size in (("model/values_fn/vf", 8), ("target/values_fn/vf", 8)):
        shapes |= dense(f"{scope}/fc0", (size, 3), "keras") | dense(f"{scope}/vf", (3, 1), "keras")
    for name in ("qf1", "qf2"):
        each = f"model/values_fn/{name}"
        shapes |= dense(f"{each}/fc0", (10, 3), "keras") | dense(f"{each}/{name}", (3, 1), "keras")
    path = write_agent(
        tmp_path / "sac.zip", draw(shapes), policy="stable_baselines.sac.policies:CnnPolicy",
        observation=box(0, 255, (36, 36, 2), "uint8"), action=box(-1, 1, (2,)),
        settings={"target_entropy": -2.0},
    )  # fmt: skip
    report = torchward.convert(path, tmp_path / "a.pth")
    images = np.random.default_rng(1).integers(0, 256, (2, 36, 36, 2), dtype=np.uint8)
    found = outputs(load(path), images, observations(2, count=2))
    assert {"value", "q1", "q2", "deterministic_action"} <= set(found)
    assert "target_value" not in found
    missing = [name for name, why in report.ignored if "lacks its network for images" in why]
    assert len(missing) == 4


def test_strides_of_an_own_network_are_asked_for(tmp_path: Path) -> None:
    path, arrays = write_images(tmp_path, (8, 3, 4), {})
    with pytest.raises(AmbiguousTargetError, match="not run") as raised:
        torchward.convert(path, tmp_path / "a.pth")
    assert raised.value.hint is not None
    assert "--set strides=[2,2,2]" in raised.value.hint
    images = np.random.default_rng(1).integers(0, 256, (2, 36, 36, 2), dtype=np.uint8)
    x = images / 255
    for name, stride in (("c1", 4), ("c2", 1), ("c3", 4)):
        x = convolve(x, arrays, name, stride)
    if x.shape[1] != 1:
        pytest.fail("the sizes of this test do not fit")
    features = relu(layer(x.reshape(2, -1), arrays, "model/fc1"))
    found = outputs(load(path, settings={"strides": [4, 1, 4]}), images)
    close(found["logits"], layer(features, arrays, "model/pi"))


def test_other_variables_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = write_agent(
        tmp_path / "a.zip",
        draw({"model/encoder/kernel": (3, 4)}),
        policy="my_policies:Mine",
        observation=box(-1, 1, (3,)),
        action=discrete(4),
    )
    with pytest.raises(UnsupportedError, match="model/encoder/kernel") as raised:
        torchward.convert(path, tmp_path / "a.pth")
    assert raised.value.hint is not None
    assert "--into" in raised.value.hint


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    arrays = draw(ACTOR_CRITIC)
    del arrays["model/pi_fc0/b"]
    path = write_agent(
        tmp_path / "a.zip",
        arrays,
        policy=f"{COMMON}MlpPolicy",
        observation=box(-9, 9, (4,)),
        action=discrete(5),
    )
    with pytest.raises(MismatchError, match="model/pi_fc0/b"):
        torchward.convert(path, tmp_path / "a.pth")


def test_damaged_archives_are_refused_in_one_line(tmp_path: Path) -> None:
    path, _ = write_td3(tmp_path)
    good = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for number in range(60):
        data = good.copy()
        places = rng.integers(0, len(data), 4)
        data[places] = rng.integers(0, 256, 4)
        bad = tmp_path / "bad.zip"
        bad.write_bytes(
            data.tobytes()[: len(data) if number % 3 else int(rng.integers(1, len(data)))]
        )
        try:
            torchward.convert(bad, tmp_path / "bad.pth", force=True)
        except ConversionError as error:
            first = str(error).splitlines()[0]
            assert first.startswith("bad.zip: "), first  # some still convert


RECORDED = FIXTURES / "sb_ppo2_norm_obs_off"


def test_a_wrapper_that_normalizes_no_observations_leaves_them_alone(tmp_path: Path) -> None:
    with np.load(RECORDED / "expected.npz") as known:
        x, mean = known["x0"], known["mean"]
    normalizer = RECORDED / "vecnormalize.pkl"

    report = torchward.convert(
        RECORDED / "model.zip", tmp_path / "agent.pth", normalizer=normalizer
    )

    close(outputs(torchward.load(tmp_path / "agent.pth"), x)["mean"], mean)
    assert any("norm_obs=False" in note for note in report.notes)
    with pytest.raises(UnsupportedError, match="norm_obs=False"):
        torchward.convert(normalizer, tmp_path / "normalizer.pth")


def test_statistics_of_save_running_average_normalize_with_the_wrappers_defaults(
    tmp_path: Path,
) -> None:
    report = torchward.convert(RECORDED / "obs_rms.pkl", tmp_path / "normalizer.pth")
    module = torchward.load(tmp_path / "normalizer.pth")
    mean, variance = (module.state_dict()[f"normalizer.{name}"].numpy() for name in ("mean", "var"))
    x = np.array([[0.5, -9.0, 80.0, 0.0, 1.0]], np.float32)

    found = outputs(module, x)["normalized_obs"]

    close(found, np.clip((x - mean) / np.sqrt(variance + 1e-8), -10, 10))
    assert any("clip_obs=10" in note for note in report.notes)
    with pytest.raises(UnsupportedError, match="returns"):
        torchward.convert(RECORDED / "ret_rms.pkl", tmp_path / "returns.pth")
