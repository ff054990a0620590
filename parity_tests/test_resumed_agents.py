"""Training of agents of stable-baselines goes on from their checkpoints as it did in TensorFlow 1."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import torchward
from converters.report import ConversionReport
from parity_tests import FIXTURES

GIVEN_GRADIENTS = {
    "sb_a2c_resume": ("keras_compat.RMSprop", 1),  # with momentum
    "sb_td3_resume": ("keras_compat.Adam", 2),  # one trains both action values, one the policy
}
"""Case to its optimizer and the number of its parameter groups. What was fed to TensorFlow were the gradients."""
PPO = {"sb_ppo2_pendulum_vecnorm": "model-512", "sb_ppo2_mlp_cartpole": "model-256"}
"""Case to its checkpoint: one acts by a normal distribution, the other chooses of two."""
LIMIT = 1e-6
"""Of weights of size 1 after three updates in float32, on both sides."""

Arrays = dict[str, NDArray[Any]]


def recorded(case: str) -> Arrays:
    with np.load(FIXTURES / case / "expected.npz") as file:
        return {name: file[name] for name in file.files}


def resumed(
    case: str, checkpoint: str, folder: Path
) -> tuple[nn.Module, torch.optim.Optimizer, ConversionReport]:
    source, packed = FIXTURES / case, FIXTURES / "more_artifacts" / f"{case}.zip"
    if packed.exists():
        source = folder / case
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(source)
    report = torchward.convert(source / "tf1ckpt" / checkpoint, folder / "agent.pth")
    agent, optimizer = torchward.load(folder / "agent.pth", optimizer=True)
    for group in optimizer.param_groups:
        group["lr"] = float(recorded(case)["b_lr"])
    return agent, optimizer, report


def in_torch(values: NDArray[Any], parameter: Tensor) -> Tensor:
    """Return a variable as the parameter has it: kernels are transposed, log_std has no batch."""
    moved = values.T if values.ndim == 2 and parameter.ndim == 2 else values
    return torch.from_numpy(np.array(moved)).reshape(parameter.shape)


def trained(agent: nn.Module, report: ConversionReport) -> dict[str, tuple[nn.Parameter, str]]:
    """Return the parameters that train, each with the name of its variable."""
    variables = {tensor.target: tensor.source for tensor in report.tensors}
    return {
        name: (parameter, variables[name])
        for name, parameter in agent.named_parameters()
        if parameter.requires_grad
    }


@pytest.mark.parametrize("case", GIVEN_GRADIENTS)
def test_optimizers_of_a_graph_continue_where_they_were(case: str, tmp_path: Path) -> None:
    arrays = recorded(case)
    agent, optimizer, report = resumed(case, "model-60", tmp_path)
    parameters = trained(agent, report)

    for parameter, variable in parameters.values():
        parameter.grad = in_torch(arrays[f"b_gradient/{variable}:0"], parameter)
    for _ in range(3):
        optimizer.step()

    kind, groups = GIVEN_GRADIENTS[case]
    assert report.optimizer is not None
    assert (report.optimizer["class"], len(optimizer.param_groups)) == (kind, groups)
    assert list(parameters) == report.optimizer["parameters"]
    fed = sum(name.startswith("b_gradient/") for name in arrays)
    assert len(parameters) == fed
    for parameter, variable in parameters.values():
        known = in_torch(arrays[f"after/{variable}:0"], parameter)
        torch.testing.assert_close(parameter.detach(), known, rtol=0, atol=LIMIT)


@pytest.mark.slow
def test_a_new_optimizer_would_be_seen(tmp_path: Path) -> None:
    arrays = recorded("sb_a2c_resume")
    agent, optimizer, report = resumed("sb_a2c_resume", "model-60", tmp_path)
    parameters = trained(agent, report)
    optimizer.state.clear()

    for parameter, variable in parameters.values():
        parameter.grad = in_torch(arrays[f"b_gradient/{variable}:0"], parameter)
    for _ in range(3):
        optimizer.step()

    worst = max(
        float((parameter.detach() - in_torch(arrays[f"after/{variable}:0"], parameter)).abs().max())
        for parameter, variable in parameters.values()
    )
    assert worst > 1000 * LIMIT


@pytest.mark.parametrize("case", PPO)
def test_ppo_follows_the_losses_that_were_recorded(case: str, tmp_path: Path) -> None:
    arrays = recorded(case)
    agent, optimizer, report = resumed(case, PPO[case], tmp_path)
    parameters = trained(agent, report)
    batch = {name: torch.from_numpy(arrays[name]) for name in arrays if name.startswith("b_")}

    for known in arrays["resume_losses"]:
        optimizer.zero_grad()
        losses = ppo_losses(agent, batch)
        np.testing.assert_allclose([loss.item() for loss in losses], known, rtol=0, atol=LIMIT)
        policy, value, entropy = losses
        loss: Tensor = policy + 0.5 * value - 0.01 * entropy
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([parameter for parameter, _ in parameters.values()], 0.5)
        optimizer.step()

    for parameter, variable in parameters.values():
        known = in_torch(arrays[f"after/{variable}:0"], parameter)
        torch.testing.assert_close(parameter.detach(), known, rtol=0, atol=LIMIT)


def ppo_losses(agent: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the losses of policy and value, both clipped, and the entropy (stable_baselines 2.10, ppo2/ppo2.py)."""
    outputs, clip = agent(batch["b_obs"]), float(batch["b_cliprange"])
    log_probability, entropy = (
        of_choices(outputs["logits"], batch["b_actions"])
        if "logits" in outputs
        else of_numbers(outputs["mean"], outputs["std"], batch["b_actions"])
    )
    change = batch["b_old_neglogpac"] + log_probability
    ratio, advantage = torch.exp(change), batch["b_advs"]
    policy = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - clip, 1 + clip)).mean()
    old = batch["b_old_vpred"]
    near = old + (outputs["value"] - old).clamp(-clip, clip)
    errors = [(each - batch["b_returns"]) ** 2 for each in (outputs["value"], near)]
    return policy, 0.5 * torch.maximum(*errors).mean(), entropy.mean()


def of_numbers(mean: Tensor, std: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Return (batch,) log-probability and entropy of normal distributions."""
    distance, constant = (action - mean) / std, math.log(2 * math.pi)
    log_probability = -0.5 * (distance**2 + 2 * torch.log(std) + constant).sum(-1)
    return log_probability, (torch.log(std) + 0.5 * (constant + 1)).sum(-1)


def of_choices(logits: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Return (batch,) log-probability and entropy of one choice of several."""
    logs = logits - logits.logsumexp(-1, keepdim=True)
    return logs.gather(1, action[:, None])[:, 0], -(logs.exp() * logs).sum(-1)


def test_what_no_optimizer_trains_is_frozen(tmp_path: Path) -> None:
    agent, _, report = resumed("sb_td3_resume", "model-60", tmp_path)

    frozen = {name for name, each in agent.named_parameters() if not each.requires_grad}

    targets = {name for name, _ in agent.named_parameters() if name.startswith("target_")}
    assert frozen == targets
    assert report.optimizer is not None
    assert sum("its learning rate is fed" in note for note in report.notes) == 2
