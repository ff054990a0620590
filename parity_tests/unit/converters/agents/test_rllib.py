"""Agents of RLlib: what their pickles hold, and the formulas of their networks, filters and actions."""

from __future__ import annotations

import json
import pickle  # noqa: TID251  # writes files to be read without it
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import AmbiguousTargetError, ConversionError, UnsupportedError
from parity_tests import FIXTURES

FIXTURE = FIXTURES / "rllib_ppo_cartpole"
RANDOM = np.random.default_rng(3)
WEIGHTS = {
    f"default_policy/{name}": RANDOM.normal(size=shape).astype(np.float32)
    for name, shape in {
        "fc_1/kernel": (5, 7),
        "fc_1/bias": (7,),
        "fc_2/kernel": (7, 6),
        "fc_2/bias": (6,),
        "fc_out/kernel": (6, 4),
        "fc_out/bias": (4,),
        "value_out/kernel": (6, 1),
        "value_out/bias": (1,),
    }.items()
}


class Fake:
    """Stands for a class of another package in a pickle."""

    def __init__(self, module: str, name: str, state: dict[str, Any]) -> None:
        self.module, self.name, self.state = module, name, state

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self.name, (), {"__module__": self.module})
        return (_Reference(kind), (), self.state)


class _Reference:
    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __call__(self) -> None: ...


class Pickler(pickle._Pickler):  # type: ignore[misc]
    """Writes a `_Reference` as the bare name of its class."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, _Reference):
            self.write(f"c{obj.kind.__module__}\n{obj.kind.__name__}\n".encode())
        else:
            super().save(obj, save_persistent_id)


def pickled(value: object, path: Path) -> bytes:
    with path.open("wb") as file:
        Pickler(file, 4).dump(value)
    return path.read_bytes()


def box(size: int) -> Fake:
    low = np.full(size, -2.0, np.float32)
    facts = {"low": low, "high": -low, "_shape": (size,), "dtype": np.dtype("float32")}
    return Fake("gym.spaces.box", "Box", facts)


def write(
    folder: Path,
    *,
    filtered: object = None,
    states: int = 1,
    action_space: object = None,
    observation_space: object = None,
    weights: dict[str, Any] = WEIGHTS,
    **config: object,
) -> Path:
    """Write a checkpoint of Ray 1 as RLlib lays it out."""
    action = box(2) if action_space is None else action_space
    seen = box(5) if observation_space is None else observation_space
    spec = {"observation_space": seen, "action_space": action, "config": config}
    names = ["default_policy", *(f"policy_{number}" for number in range(1, states))]
    state = {"weights": weights, "_optimizer_variables": {"default_policy/beta1_power": 0.9}}
    worker = {
        "filters": dict.fromkeys(names, filtered),
        "state": dict.fromkeys(names, state),
        "policy_specs": dict.fromkeys(names, spec),
    }
    path = folder / "checkpoint-7"
    pickled({"worker": pickled(worker, folder / "inner")}, path)
    (folder / "inner").unlink()
    return path


def by_hand(x: np.ndarray, activation: Any) -> tuple[np.ndarray, np.ndarray]:
    w = {name.partition("/")[2]: value for name, value in WEIGHTS.items()}
    for number in (1, 2):
        x = activation(x @ w[f"fc_{number}/kernel"] + w[f"fc_{number}/bias"])
    scores = x @ w["fc_out/kernel"] + w["fc_out/bias"]
    return scores, (x @ w["value_out/kernel"] + w["value_out/bias"])[:, 0]


def test_recorded_policy_gives_what_rllib_gave(tmp_path: Path) -> None:
    with np.load(FIXTURE / "expected.npz") as arrays:
        known = dict(arrays)
    torchward.convert(FIXTURE / "checkpoint", tmp_path / "agent.pth")
    agent = torchward.load(tmp_path / "agent.pth")

    with torch.no_grad():
        found = agent(torch.from_numpy(known["x0"]))

    for name in ("action_dist_inputs", "vf_preds"):
        np.testing.assert_allclose(found[name].numpy(), known[name], rtol=0, atol=1e-6)
    action = agent.act(torch.from_numpy(known["x0"]), deterministic=True)
    np.testing.assert_array_equal(action.numpy(), known["deterministic_action"])
    report = json.loads((tmp_path / "agent.pth.json").read_text())
    assert not any("does not say" in note for note in report["notes"])  # settings lie beside it


def test_value_may_share_the_policys_layers_and_actions_are_scaled_to_the_environment(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, model={"fcnet_activation": "relu"}, normalize_actions=True)
    torchward.convert(path, tmp_path / "agent.pth")
    agent = torchward.load(tmp_path / "agent.pth")
    x = RANDOM.normal(size=(3, 5)).astype(np.float32)

    found = agent(torch.from_numpy(x))

    scores, value = by_hand(x, lambda v: np.maximum(v, 0))
    np.testing.assert_allclose(found["mean"].detach().numpy(), scores[:, :2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["std"].detach().numpy(), np.exp(scores[:, 2:]), rtol=1e-4)
    np.testing.assert_allclose(found["value"].detach().numpy(), value, rtol=1e-5, atol=1e-6)
    action = agent.act(torch.from_numpy(x), deterministic=True)
    np.testing.assert_allclose(action.numpy(), np.clip(2 * scores[:, :2], -2, 2), rtol=1e-5)


def test_observations_pass_the_filter_with_its_statistics(tmp_path: Path) -> None:
    seen = RANDOM.normal(size=(9, 5)) * 4 + 2
    sums = {"_n": 9, "_M": seen.mean(0), "_S": ((seen - seen.mean(0)) ** 2).sum(0)}
    running = Fake("ray.rllib.utils.filter", "RunningStat", sums)
    filtered = Fake("ray.rllib.utils.filter", "MeanStdFilter", {"rs": running, "clip": 10.0})
    path = write(tmp_path, filtered=filtered, model={}, observation_filter="MeanStdFilter")
    torchward.convert(path, tmp_path / "agent.pth")
    x = seen.astype(np.float32)

    found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(x))

    normal = (seen - seen.mean(0)) / (seen.std(0, ddof=1) + 1e-8)
    _, value = by_hand(normal, np.tanh)
    np.testing.assert_allclose(found["value"].detach().numpy(), value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"states": 2}, AmbiguousTargetError, "several policies: default_policy, policy_1"),
        ({"observation_filter": "MeanStdFilter"}, ConversionError, "statistics of the filter"),
        ({"model": {"use_attention": True}}, UnsupportedError, "attention"),
    ],
)
def test_what_is_not_certain_is_refused(
    tmp_path: Path, arguments: dict[str, Any], error: type[ConversionError], message: str
) -> None:
    path = write(tmp_path, **arguments)

    with pytest.raises(error, match=message):
        torchward.convert(path, tmp_path / "agent.pth")
    assert not (tmp_path / "agent.pth").exists()


def test_numbers_that_are_observed_become_one_hot(tmp_path: Path) -> None:
    with np.load(FIXTURES / "rllib_ppo_numbers" / "expected.npz") as arrays:
        known = dict(arrays)
    torchward.convert(FIXTURES / "rllib_ppo_numbers" / "checkpoint", tmp_path / "agent.pth")
    agent = torchward.load(tmp_path / "agent.pth")
    columns = [np.eye(size)[known["x0"][:, place]] for place, size in enumerate((3, 4))]

    with torch.no_grad():
        found = agent(torch.from_numpy(known["x0"]))
        prepared = agent(torch.from_numpy(np.concatenate(columns, axis=1)))  # as RLlib does itself

    for name in ("action_dist_inputs", "vf_preds"):
        np.testing.assert_allclose(found[name].numpy(), known[name], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(found[name].numpy(), prepared[name].numpy())
    np.testing.assert_array_equal(agent.act(known["x0"]), known["played"])
    assert agent.act(known["x0"][3]) == known["played"][3]


def discrete(size: int) -> Fake:
    return Fake("gym.spaces.discrete", "Discrete", {"n": size})


def test_actions_of_several_numbers_are_a_row_of_them(tmp_path: Path) -> None:
    space = Fake("gym.spaces.tuple", "Tuple", {"spaces": [discrete(3), discrete(1)]})
    torchward.convert(write(tmp_path, action_space=space), tmp_path / "agent.pth")
    agent = torchward.load(tmp_path / "agent.pth")
    x = RANDOM.normal(size=(6, 5)).astype(np.float32)

    played = agent.act(x)

    scores, _ = by_hand(x, np.tanh)
    np.testing.assert_array_equal(played[:, 0], scores[:, :3].argmax(1))
    np.testing.assert_array_equal(played[:, 1], 0)


def test_actions_of_several_kinds_are_given_by_their_distributions(tmp_path: Path) -> None:
    spaces = {"turn": box(1), "move": discrete(2)}  # gym sorts them by name
    space = Fake("gym.spaces.dict", "Dict", {"spaces": spaces})
    report = torchward.convert(write(tmp_path, action_space=space), tmp_path / "agent.pth")
    agent = torchward.load(tmp_path / "agent.pth")
    x = RANDOM.normal(size=(6, 5)).astype(np.float32)

    with torch.no_grad():
        found = {name: value.numpy() for name, value in agent(torch.from_numpy(x)).items()}

    scores, _ = by_hand(x, np.tanh)
    np.testing.assert_allclose(found["logits0"], scores[:, :2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["mean1"], scores[:, 2:3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["std1"], np.exp(scores[:, 3:]), rtol=1e-4, atol=1e-5)
    assert not hasattr(agent, "act")
    assert any("parts of several kinds" in note for note in report.notes)


def test_actions_of_a_space_that_is_not_known_are_refused(tmp_path: Path) -> None:
    space = Fake("ray.rllib.utils.spaces.simplex", "Simplex", {"dim": 4})

    with pytest.raises(UnsupportedError, match="actions in a space that is not known"):
        torchward.convert(write(tmp_path, action_space=space), tmp_path / "agent.pth")


def test_observations_of_two_axes_have_a_network_for_parts(tmp_path: Path) -> None:
    with np.load(FIXTURES / "rllib_ppo_windows" / "expected.npz") as arrays:
        known = dict(arrays)
    torchward.convert(FIXTURES / "rllib_ppo_windows" / "checkpoint", tmp_path / "agent.pth")

    with torch.no_grad():
        found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(known["x0"]))

    for name in ("action_dist_inputs", "vf_preds"):
        np.testing.assert_allclose(found[name].numpy(), known[name], rtol=0, atol=1e-6)


def written_parts(folder: Path, **settings: object) -> tuple[Path, dict[str, Any]]:
    """Write a policy that sees an image of 4 by 3 and a number of 2; return its weights, too."""
    shapes: dict[str, tuple[int, ...]] = {
        "conv1": (4, 3, 1, 5), "fc_1": (2, 4), "fc_1_1": (9, 6), "logits": (6, 4),
        "value_out": (5, 1), "value_out_1": (4, 1), "value_out_10": (6, 1), "value_out_2": (9, 1),
    }  # fmt: skip
    weights: dict[str, Any] = {}
    for name, shape in shapes.items():
        weights[f"default_policy/{name}/kernel"] = RANDOM.normal(size=shape).astype(np.float32)
        weights[f"default_policy/{name}/bias"] = RANDOM.normal(size=shape[-1]).astype(np.float32)
    image = np.zeros((4, 3, 1), np.float32)
    facts = {"low": image, "high": image + 1, "_shape": image.shape, "dtype": image.dtype}
    seen = {"view": Fake("gym.spaces.box", "Box", facts), "wind": discrete(2)}
    space = box(14)
    space.state["original_space"] = Fake("gym.spaces.dict", "Dict", {"spaces": seen})
    model = {"fcnet_hiddens": [4], "post_fcnet_hiddens": [6], **settings}
    path = write(folder, observation_space=space, weights=weights, model=model)
    return path, {name.partition("/")[2]: value for name, value in weights.items()}


def test_parts_of_observations_have_networks_of_their_own(tmp_path: Path) -> None:
    path, w = written_parts(tmp_path, conv_filters=[[5, [4, 3], 1]])
    report = torchward.convert(path, tmp_path / "agent.pth")
    x = RANDOM.normal(size=(3, 14)).astype(np.float32)

    with torch.no_grad():
        found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(x))

    def layer(name: str, value: Any) -> Any:
        return value @ w[f"{name}/kernel"].reshape(-1, w[f"{name}/bias"].size) + w[f"{name}/bias"]

    seen = np.maximum(layer("conv1", x[:, :12]), 0)  # an image as large as the kernel
    joined = np.concatenate([seen, np.tanh(layer("fc_1", x[:, 12:]))], axis=1)
    behind = np.maximum(layer("fc_1_1", joined), 0)
    for name, values in {
        "action_dist_inputs": layer("logits", behind), "vf_preds": layer("value_out_10", behind)[:, 0]
    }.items():  # fmt: skip
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-4, atol=1e-5)
    assert any("Box (4, 3, 1) float32, 0 to 1, Discrete 2" in note for note in report.notes)


def test_strides_of_a_part_are_asked_for(tmp_path: Path) -> None:
    path, _ = written_parts(tmp_path)

    with pytest.raises(ConversionError, match=r"convolutions of images \(4, 3, 1\)") as asked:
        torchward.convert(path, tmp_path / "agent.pth")

    assert "--set strides" in str(asked.value.hint)


def test_layers_without_a_place_are_refused(tmp_path: Path) -> None:
    further = {"default_policy/gating/kernel": np.ones((2, 3), np.float32)}

    with pytest.raises(UnsupportedError, match="'gating/kernel' has no place"):
        torchward.convert(write(tmp_path, weights=WEIGHTS | further), tmp_path / "agent.pth")


@pytest.mark.parametrize("stated", [{}, {"normalize_actions": True}], ids=["silent", "stated"])
def test_a_file_that_does_not_say_whether_actions_are_normalized_is_noted(
    stated: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path, model={"fcnet_activation": "relu"}, **stated)

    report = torchward.convert(path, tmp_path / "agent.pth")

    assert any("whether actions are normalized" in note for note in report.notes) == (not stated)
