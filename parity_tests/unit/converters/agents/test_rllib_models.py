"""RLlib's networks of images and its LSTM, beside what RLlib recorded and by their formulas."""

from __future__ import annotations

import pickle  # noqa: TID251  # writes files to be read without it
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.errors import ConversionError, MismatchError, UnsupportedError
from parity_tests import FIXTURES

FIXTURE = FIXTURES / "rllib_ppo_lstm"
IMAGES = {
    "conv1": (2, 3, 2, 4),
    "conv2": (3, 2, 4, 5),
    "conv_out": (1, 1, 5, 3),
    "value_out": (5, 1),
}
"""Kernels on images of 6 by 4 with 2 channels; strides 2 and 1 leave one place."""
Array = NDArray[np.floating[Any]]


def recorded() -> dict[str, NDArray[Any]]:
    with np.load(FIXTURE / "expected.npz") as arrays:
        return {name: arrays[name] for name in arrays}


def arrays_of(shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    random = np.random.default_rng(5)
    parts = {f"{name}/kernel": shape for name, shape in shapes.items()}
    parts |= {f"{name}/bias": shape[-1:] for name, shape in shapes.items()}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in parts.items()}


def write(folder: Path, weights: dict[str, Any], **settings: object) -> Path:
    """Write the state of a policy as Ray 2 does."""
    named = {f"default_policy/{name}": array for name, array in weights.items()}
    state = {"weights": named, "global_timestep": 0, "policy_spec": {"config": settings}}
    path = folder / "policy_state.pkl"
    path.write_bytes(pickle.dumps(state, protocol=4))
    return path


def convolve(x: Array, kernel: Array, bias: Array, stride: int, *, same: bool) -> Array:
    """Return relu of a convolution as TensorFlow defines it; SAME puts the larger half of the padding behind."""
    height, width, _, filters = kernel.shape
    if same:
        total = [
            max((-(-size // stride) - 1) * stride + window - size, 0)
            for size, window in zip(x.shape[1:3], (height, width), strict=True)
        ]
        x = np.pad(x, [(0, 0), *((each // 2, each - each // 2) for each in total), (0, 0)])
    rows, columns = (x.shape[1] - height) // stride + 1, (x.shape[2] - width) // stride + 1
    found = np.zeros((len(x), rows, columns, filters), x.dtype)
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            patch = x[:, top : top + height, left : left + width]
            found[:, row, column] = np.tensordot(patch, kernel, 3) + bias
    return np.maximum(found, 0)


def test_lstm_with_the_step_before_gives_what_rllib_gave(tmp_path: Path) -> None:
    known = recorded()
    torchward.convert(FIXTURE / "checkpoint" / "checkpoint-1", tmp_path / "agent.pth")
    agent: Any = torchward.load(tmp_path / "agent.pth")

    with torch.no_grad():
        found = agent(*(torch.from_numpy(known[f"x{place}"]) for place in range(5)))

    for name in ("action_dist_inputs", "vf_preds", "state_out_0", "state_out_1"):
        np.testing.assert_allclose(found[name].numpy(), known[name], rtol=0, atol=1e-6)


def test_recurrent_policy_acts_with_the_states_of_the_step_before(tmp_path: Path) -> None:
    known = recorded()
    torchward.convert(FIXTURE / "checkpoint" / "checkpoint-1", tmp_path / "agent.pth")
    agent: Any = torchward.load(tmp_path / "agent.pth")
    previous = {"prev_action": known["x3"], "prev_reward": known["x4"]}

    action, states = agent.act(known["x0"], (known["x1"], known["x2"]), **previous)
    first = {name: array[0] for name, array in previous.items()}
    one, state = agent.act(known["x0"][0], (known["x1"][0], known["x2"][0]), **first)

    np.testing.assert_array_equal(action, known["deterministic_action"])
    for place, array in enumerate(states):
        np.testing.assert_allclose(array, known[f"state_out_{place}"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(state[place], array[0], rtol=0, atol=1e-6)
    assert one == action[0]


def test_states_of_another_number_are_refused(tmp_path: Path) -> None:
    known = recorded()
    torchward.convert(FIXTURE / "checkpoint" / "checkpoint-1", tmp_path / "agent.pth")
    agent: Any = torchward.load(tmp_path / "agent.pth")

    with pytest.raises(TypeError, match="takes 2 states, got 1"):
        agent.act(known["x0"], known["x1"])


@pytest.mark.slow
def test_source_of_a_recurrent_policy_acts_alike(tmp_path: Path) -> None:
    known = recorded()
    source = tmp_path / "policy.py"
    path = FIXTURE / "checkpoint" / "checkpoint-1"
    torchward.convert(path, tmp_path / "agent.pth", source_code=source)
    agent: Any = torchward.load(tmp_path / "agent.pth")
    names: dict[str, Any] = {}
    exec(compile(source.read_text(), source, "exec"), names)  # noqa: S102  # our own output
    written = names["RLlibAgent"]()
    written.load_state_dict(agent.state_dict())
    x = torch.from_numpy(known["x0"])

    action, states = written.act(x)
    wanted, wanted_states = agent.act(x)

    torch.testing.assert_close(action, wanted)
    torch.testing.assert_close(states, wanted_states)


def test_images_go_through_padded_convolutions_and_a_last_one_without_padding(
    tmp_path: Path,
) -> None:
    weights = arrays_of(IMAGES)
    filters = [[4, [2, 3], 2], [5, [3, 2], 1]]
    path = write(tmp_path, weights, model={"conv_filters": filters}, observation_space=None)
    torchward.convert(path, tmp_path / "agent.pth")
    agent: Any = torchward.load(tmp_path / "agent.pth")
    x = np.random.default_rng(6).normal(size=(3, 6, 4, 2)).astype(np.float32)

    with torch.no_grad():
        found = agent(torch.from_numpy(x))

    hidden = convolve(x, weights["conv1/kernel"], weights["conv1/bias"], 2, same=True)
    hidden = convolve(hidden, weights["conv2/kernel"], weights["conv2/bias"], 1, same=False)
    features = hidden[:, 0, 0]
    scores = features @ weights["conv_out/kernel"][0, 0] + weights["conv_out/bias"]
    value = features @ weights["value_out/kernel"] + weights["value_out/bias"]
    np.testing.assert_allclose(found["action_dist_inputs"].numpy(), scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["value"].numpy(), value[:, 0], rtol=1e-4, atol=1e-5)


def test_last_layer_may_have_the_activation(tmp_path: Path) -> None:
    weights = arrays_of({"fc_out": (5, 3), "value_out": (5, 1)})
    path = write(tmp_path, weights, model={"fcnet_activation": "tanh", "no_final_linear": True})
    torchward.convert(path, tmp_path / "agent.pth")
    x = np.random.default_rng(7).normal(size=(4, 5)).astype(np.float32)

    found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(x))

    scores = np.tanh(x @ weights["fc_out/kernel"] + weights["fc_out/bias"])
    np.testing.assert_allclose(found["logits"].detach().numpy(), scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shapes", "settings", "error", "message"),
    [
        pytest.param(
            IMAGES,
            {"model": {"conv_filters": [[4, [2, 3], 2]]}},
            MismatchError,
            "2 convolutions and 1 strides",
            id="strides",
        ),
        pytest.param(
            {"fc_out": (5, 3), "value_out": (5, 1)},
            {"model": {"use_attention": True}},
            UnsupportedError,
            "with attention",
            id="attention",
        ),
        pytest.param(
            {"fc_out": (5, 3), "value_out": (5, 1)},
            {"model": {"custom_model": "mine"}},
            UnsupportedError,
            "a model of the user",
            id="custom",
        ),
        pytest.param(
            {"fc_1": (5, 4), "logits": (3, 2), "values": (3, 1)},
            {"model": {}},
            MismatchError,
            "takes 9 features",
            id="width",
        ),
    ],
)
def test_what_is_not_certain_is_refused(
    tmp_path: Path,
    shapes: dict[str, tuple[int, ...]],
    settings: dict[str, object],
    error: type[ConversionError],
    message: str,
) -> None:
    weights = arrays_of(shapes)
    if "logits" in shapes:
        zeros = {"kernel": (9, 12), "recurrent_kernel": (3, 12), "bias": (12,)}
        weights |= {f"lstm/{name}": np.zeros(shape, np.float32) for name, shape in zeros.items()}
    path = write(tmp_path, weights, **settings)

    with pytest.raises(error, match=message):
        torchward.convert(path, tmp_path / "agent.pth")
    assert not (tmp_path / "agent.pth").exists()


def test_weights_of_eager_policies_are_refused_by_name(tmp_path: Path) -> None:
    state = {"weights": [np.zeros((5, 3), np.float32)], "global_timestep": 0}
    inner = pickle.dumps({"state": {"default_policy": state}}, protocol=4)
    path = tmp_path / "checkpoint-1"
    path.write_bytes(pickle.dumps({"worker": inner}, protocol=4))

    with pytest.raises(UnsupportedError, match="framework 'tf2'"):
        torchward.convert(path, tmp_path / "agent.pth")
