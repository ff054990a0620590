"""Further files of recorded agents: what no other suite reads is read here, beside the numbers recorded with it.

The cases lie in archives, since graphs of training are long and compress well. `TORCHWARD_RECORDINGS=FOLDER` names a folder
of unpacked cases (the files, `meta.json`, `expected.npz`) that is read instead.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import torchward
from parity_tests import FIXTURES

ARCHIVES = FIXTURES / "more_artifacts"
RECORDINGS = os.environ.get("TORCHWARD_RECORDINGS")
LIMIT = 1e-5
"""Of the recordings, which are float32 sums in another order; relative to the largest number."""
ONLY = ""
"""Name of what a module gives that gives one tensor."""
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a case, and the name of the output for every recorded name."""

    path: str
    names: Mapping[str, str]
    options: Mapping[str, object] = field(default_factory=dict)  # of `torchward.convert`


def same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


Q = same("q", "deterministic_action")
ARTIFACTS = [
    Artifact("baselines_deepq_cartpole/tf1ckpt/model", Q),
    Artifact("kerasrl2_dqn_cartpole/dqn_weights.h5f", {"y0": ONLY}, {"architecture": "model.json"}),
    Artifact("rllib_ppo_cartpole/exported_model", same("action_dist_inputs", "vf_preds")),
    Artifact("sb_dqn_cnn_tiny/tf1ckpt/model-120", Q | same("proba")),
    Artifact("sb_dqn_mlp_cartpole/tf1ckpt/model-250", Q | same("proba")),
    Artifact(
        "sb_ppo2_mlp_cartpole/tf1ckpt/model-256",
        same("value", "logits", "proba", "deterministic_action"),
    ),
    Artifact(
        "sb_sac_mlp_pendulum/tf1ckpt/model-200",
        same("mean", "std", "deterministic_action", "qf1", "qf2", "vf", "target_vf"),
    ),
    Artifact("spinup_ppo_cartpole/tf1_save", {"pi_out": "logits", **same("v")}),
    Artifact("spinup_vpg_pendulum/tf1_save", {"pi_out": "mean", **same("v")}),
    Artifact(
        "spinup_sac_pendulum/tf1_save",
        {**same("mu", "q1", "q2")},
    ),
    Artifact("tf1_conv_bn_ema/model-4", same("q")),
    Artifact("tf1_conv_bn_ema/savedmodel", same("q")),
    Artifact("tf1_opt_adadelta/m.ckpt-4", same("y")),
    Artifact("tf1_opt_adagrad/m.ckpt-4", same("y")),
    Artifact("tf1_opt_sgd/m.ckpt-4", same("y")),
    Artifact(
        "tf1_raw_variables_pg/params.npz", {"logits": ONLY}, {"settings": {"activation": "tanh"}}
    ),
    Artifact("tf115keras_savedmodels/savedmodel_v1", {"y0": "q/BiasAdd"}),
    Artifact("tf215_dqn_with_target/q.h5", {"q": ONLY}),
    Artifact(
        "tfagents_c51/checkpoint",
        same("logits", "q"),
        {"settings": {"v_min": -5.0, "v_max": 5.0}},
    ),
    Artifact("tfagents_ppo/policy", {"policy_action_on_x0": "action"}),
    Artifact("tfagents_sac_drawing/policy_raw", same("mean", "std", "deterministic_action")),
    Artifact("dopamine_rainbow_tf115/checkpoints/tf_ckpt-0", Q),
    Artifact("dopamine_images_tf115/checkpoints/tf_ckpt-0", Q),
]
LARGE = [Artifact("dopamine_dqn_nature/checkpoints/tf_ckpt-0", {"q": "q_values"})]
"""Not kept in the archives: half a megabyte."""


def case_folder(case: str, folder: Path) -> Path:
    """Return a folder with the files of a case."""
    if RECORDINGS is not None and (Path(RECORDINGS) / case).is_dir():
        return Path(RECORDINGS) / case
    with zipfile.ZipFile(ARCHIVES / f"{case}.zip") as archive:
        archive.extractall(folder / case)
    return folder / case


def recorded(folder: Path) -> Arrays:
    with np.load(folder / "expected.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def in_torch(arrays: Arrays) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def convert(artifact: Artifact, folder: Path, output: Path) -> list[str]:
    """Convert an artifact as a user would, and return the recorded names of its inputs."""
    options = dict(artifact.options)
    if "architecture" in options:
        options["architecture"] = folder / str(options["architecture"])
    stated = json.loads((folder / "meta.json").read_text())
    names = [name for name in ("x0", "x1", "x2") if name in recorded(folder)]
    if artifact.path.startswith("tf1_") and "settings" not in options:
        options["inputs"] = {name: stated["placeholders"][name] for name in names}
        options["outputs"] = stated["outputs"]
    torchward.convert(folder / artifact.path.partition("/")[2], output, **options)  # type: ignore[arg-type]
    return names


@pytest.mark.slow
@pytest.mark.parametrize(
    "artifact", [*ARTIFACTS, *(LARGE if RECORDINGS else [])], ids=lambda artifact: artifact.path
)
def test_a_file_gives_what_was_recorded(artifact: Artifact, tmp_path: Path) -> None:
    folder = case_folder(artifact.path.partition("/")[0], tmp_path)
    arrays = recorded(folder)
    names = convert(artifact, folder, tmp_path / "out.pth")
    model = torchward.load(tmp_path / "out.pth")
    with torch.no_grad():
        given = [in_torch(arrays)[name] for name in names]
        found = model(*given)
    found = found if isinstance(found, dict) else {ONLY: found}

    for known, name in artifact.names.items():
        scale = max(1.0, np.abs(arrays[known]).max())
        assert found[name].shape == arrays[known].shape
        np.testing.assert_allclose(found[name], arrays[known], rtol=0, atol=LIMIT * scale)


def huber(difference: Tensor) -> Tensor:
    return torch.where(difference.abs() < 1, 0.5 * difference**2, difference.abs() - 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adadelta", "adagrad", "sgd"])
def test_training_of_a_small_graph_goes_on_as_it_did(kind: str, tmp_path: Path) -> None:
    folder = case_folder(f"tf1_opt_{kind}", tmp_path)
    arrays = recorded(folder)
    convert(Artifact(f"tf1_opt_{kind}/m.ckpt-4", {}), folder, tmp_path / "out.pth")
    model, optimizer = torchward.load(tmp_path / "out.pth", optimizer=True)
    given, wanted = (torch.from_numpy(arrays[name]) for name in ("x0", "t0"))

    losses = follow(
        model,
        optimizer,
        lambda: ((model(given)["y"] - wanted) ** 2).mean(),
        len(arrays["resume_losses"]),
    )

    np.testing.assert_allclose(losses, arrays["resume_losses"][:, 0], rtol=LIMIT)
    with torch.no_grad():
        np.testing.assert_allclose(model(given)["y"], arrays["after_out/y"], rtol=LIMIT, atol=LIMIT)
    assert np.abs(arrays["after_out/y"] - arrays["y"]).max() > 100 * LIMIT


@pytest.mark.slow
def test_training_of_stable_baselines_dqn_goes_on_as_it_did(tmp_path: Path) -> None:
    folder = case_folder("sb_dqn_mlp_cartpole", tmp_path)
    torchward.convert(folder / "tf1ckpt" / "model-250", tmp_path / "out.pth")
    agent, optimizer = torchward.load(tmp_path / "out.pth", optimizer=True)
    arrays = recorded(folder)
    batch = in_torch({name: array for name, array in arrays.items() if name.startswith("b_")})
    for group in optimizer.param_groups:
        group["lr"] = 0.0005  # meta.json, hyper_parameters: the graph feeds it
    errors = []

    def loss() -> Tensor:
        found = agent(batch["b_obs"])
        chosen = found["q"].gather(1, batch["b_actions"].long()[:, None])[:, 0]
        with torch.no_grad():
            following = agent(batch["b_next_obs"])["target_q_values"].max(1).values
            wanted = batch["b_rewards"] + 0.99 * following * (1 - batch["b_dones"].float())
        errors.append((chosen - wanted).detach().numpy())
        return (batch["b_weights"] * huber(chosen - wanted)).mean()

    follow(agent, optimizer, loss, len(arrays["resume_td_errors"]), clip=10.0)

    np.testing.assert_allclose(errors, arrays["resume_td_errors"], rtol=0, atol=LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["dopamine_images_tf115", *(["dopamine_dqn_nature"] if RECORDINGS else [])]
)
def test_training_of_dopamines_dqn_on_images_goes_on_as_it_did(case: str, tmp_path: Path) -> None:
    folder = case_folder(case, tmp_path)
    torchward.convert(folder / "checkpoints" / "tf_ckpt-0", tmp_path / "out.pth")
    agent, optimizer = torchward.load(tmp_path / "out.pth", optimizer=True)
    target = torchward.load(tmp_path / "out.pth")
    arrays = recorded(folder)
    target.load_state_dict(dopamine_weights(arrays, "Target", list(agent.state_dict())))
    batch = in_torch({name: array for name, array in arrays.items() if name.startswith("b_")})

    def loss() -> Tensor:
        chosen = agent(batch["b_obs"])["q"].gather(1, batch["b_actions"].long()[:, None])[:, 0]
        with torch.no_grad():
            following = target(batch["b_next_obs"])["q"].max(1).values
            wanted = batch["b_rewards"] + 0.99 * following * (1 - batch["b_dones"].float())
        return huber(chosen - wanted).mean()

    before = {name: value.clone() for name, value in agent.state_dict().items()}
    follow(agent, optimizer, loss, 3)

    for name, value in dopamine_weights(arrays, "Online", list(before)).items():
        torch.testing.assert_close(agent.state_dict()[name], value, rtol=0, atol=1e-7)
        assert (before[name] - value).abs().max() > 1e-5


def dopamine_weights(arrays: Arrays, network: str, names: list[str]) -> dict[str, Tensor]:
    """Return what was recorded of a network after training, by the names of a converted one."""
    roles = {"weight": "kernel", "bias": "bias"}
    places = {name: name.rpartition(".") for name in names}
    found = {
        name: torch.from_numpy(arrays[f"after/{network}/{layer}/{roles[role]}"])
        for name, (layer, _, role) in places.items()
    }
    return {n: x.permute(3, 2, 0, 1) if x.dim() == 4 else x.t() for n, x in found.items()}


@pytest.mark.slow
def test_policies_that_draw_do_so_around_what_they_do_otherwise(tmp_path: Path) -> None:
    folder = case_folder("tfagents_sac_drawing", tmp_path)
    torchward.convert(folder / "policy_raw", tmp_path / "out.pth")
    agent = torchward.load(tmp_path / "out.pth")
    arrays = recorded(folder)
    torch.manual_seed(5)

    drawn = np.stack([agent.act(arrays["x0"], deterministic=False) for _ in range(200)])

    np.testing.assert_allclose(
        agent.act(arrays["x0"]), arrays["deterministic_action"], rtol=0, atol=LIMIT
    )
    low, high = np.array([-2.0, 0.0]), np.array([1.0, 3.0])  # meta.json
    assert (drawn >= low).all()
    assert (drawn <= high).all()
    inside = np.arctanh(np.clip(2 * (drawn - low) / (high - low) - 1, -0.999999, 0.999999))
    np.testing.assert_allclose(inside.mean(0), arrays["mean"], rtol=0, atol=0.4)
    np.testing.assert_allclose(inside.std(0), arrays["std"], rtol=0.3)


@pytest.mark.slow
def test_training_of_c51_goes_on_as_it_did(tmp_path: Path) -> None:
    folder = case_folder("tfagents_c51", tmp_path)
    convert(next(each for each in ARTIFACTS if "c51" in each.path), folder, tmp_path / "out.pth")
    agent, optimizer = torchward.load(tmp_path / "out.pth", optimizer=True)
    arrays = recorded(folder)
    batch = in_torch({name: array for name, array in arrays.items() if name.startswith("b_")})

    losses = []
    for _ in arrays["resume_loss"]:
        losses += follow(agent, optimizer, lambda: categorical_loss(agent, batch), 1)
        agent.target_q_network.load_state_dict(agent.q_network.state_dict())  # after every update

    np.testing.assert_allclose(losses, arrays["resume_loss"], rtol=LIMIT)
    trained = [value for name, value in agent.state_dict().items() if name.startswith("q_network")]
    for index, value in enumerate(trained):
        known = arrays[f"after/q/{index:02}"]
        np.testing.assert_allclose(value.t().numpy(), known, rtol=0, atol=1e-6)


def categorical_loss(agent: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the cross entropy of C51 (Bellemare et al. 2017, algorithm 1): 11 atoms from -5 to 5, discount 0.97."""
    low, high, count, discount = -5.0, 5.0, 11, 0.97
    support, rows = torch.linspace(low, high, count), torch.arange(len(batch["b_action"]))
    logits = agent(batch["b_observation"][:, 0])["logits"][rows, batch["b_action"][:, 0]]
    with torch.no_grad():
        target = agent(batch["b_observation"][:, 1])["target_logits"].softmax(-1)
        best = (target * support).sum(-1).argmax(1)
        moved = batch["b_reward"][:, :1] + discount * batch["b_discount"][:, :1] * support
        places = (moved.clamp(low, high) - low) / ((high - low) / (count - 1))
        near = (1 - (places[:, None, :] - torch.arange(count)[:, None]).abs()).clamp(0, 1)
        wanted = (near * target[rows, best][:, None, :]).sum(-1)
    valid = batch["b_step_type"][:, 0] != 2
    return (valid * -(wanted * logits.log_softmax(-1)).sum(-1)).mean()


def follow(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[], Tensor],
    updates: int,
    *,
    clip: float | None = None,
) -> list[float]:
    """Update as often as the recording did and return the losses; `clip`: of the norm of each gradient."""
    losses = []
    for _ in range(updates):
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        for parameter in model.parameters() if clip is not None else ():
            if parameter.grad is not None:
                nn.utils.clip_grad_norm_([parameter], clip)
        optimizer.step()
        losses.append(value.item())
    return losses
