"""Whether the two modules of a pair learn alike: gradients of one loss, and some updates of the file's optimizer.

Parameters are compared as the legacy file stores them, whatever form they have in either module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from converters.convert import make_content
from converters.errors import ConversionError
from converters.live.build import tensor_of
from converters.live.load import load_optimizer
from converters.own_pair.models import Pair
from converters.own_pair.outputs import outputs_of
from converters.planned import Plan
from torch_impl.checkpoints import TorchCheckpoint
from torch_impl.keras_compat.optimizers import Adam

STEPS = 10
"""Updates; a wrong epsilon or second bias shows in the first."""
_ROW = re.compile(r"\[\d+\]$")
Values = dict[str, NDArray[np.float64]]


def gradients_of(
    plan: Plan, module: nn.Module, inputs: Sequence[Tensor], keys: Sequence[str]
) -> Values:
    """Return the gradients of a fixed random weighting of the outputs, by stored array and in its layout."""
    module.zero_grad()
    _loss(module, inputs, keys).backward()  # type: ignore[no-untyped-call]
    # What the outputs do not depend on, because it was detached, has a gradient of zero.
    found = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in module.named_parameters()
        if p.requires_grad
    }
    return _stored_form(plan, found)


def values_of(plan: Plan, module: nn.Module) -> Values:
    """Return the trainable parameters by stored array and in its layout."""
    trained = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    return _stored_form(plan, trained)


def _stored_form(plan: Plan, tensors: Mapping[str, Tensor]) -> Values:
    result = {}
    for move in plan.moves:
        if move.target in tensors:
            array = tensors[move.target].detach().cpu().double().numpy()
            result[move.source.name] = move.layout.undo(array, move.source.shape)
    return _with_rows_joined(result)


def _with_rows_joined(arrays: Values) -> Values:
    """Return arrays of which one side has single rows, "bias[0]" and "bias[1]", as one."""
    result: Values = {}
    for name, array in arrays.items():
        whole = _ROW.sub("", name)
        if whole == name:
            result[name] = array
        else:
            result[whole] = np.concatenate(
                [*([result[whole]] if whole in result else []), array[None]]
            )
    return result


def _loss(module: nn.Module, inputs: Sequence[Tensor], keys: Sequence[str]) -> Tensor:
    """Return the mean over the batch of all outputs, each number weighted by a fixed random one."""
    rng = np.random.default_rng(0)
    total = torch.zeros((), dtype=torch.float64)
    for output in outputs_of(module, inputs, keys):
        weights = torch.from_numpy(rng.standard_normal(tuple(output.shape)))
        if output.is_floating_point():
            total = total + (output.double() * weights).sum() / len(output)
    return total


def untrained_here(pair: Pair, own_plan: Plan) -> list[str]:
    """Return a sentence for every parameter that only one of the modules trains."""
    legacy, own = values_of(pair.plan, pair.legacy), values_of(own_plan, pair.own)
    known = {move.target: move.source.name for move in own_plan.moves}
    return [
        f"'{name}' trains here and not in the legacy model: requires_grad_(False)"
        for name, parameter in pair.own.named_parameters()
        if parameter.requires_grad and _ROW.sub("", known[name]) not in legacy
    ] + [
        f"'{name}' trains in the legacy model, not here" for name in sorted(set(legacy) - set(own))
    ]


def make_optimizers(pair: Pair, own_plan: Plan) -> tuple[Optimizer, Optimizer, str]:
    """Return an optimizer for each module, and in words what they are.

    They are the file's, with its state, where its place in both modules is certain and it treats all weights alike;
    else Adam with Keras's defaults.
    """
    plan = pair.plan
    if plan.optimizer is not None and own_plan.optimizer is not None:
        one, other = plan.optimizer.read_arguments(), own_plan.optimizer.read_arguments()
        if (
            one == other and not plan.optimizer.groups
        ):  # no penalties, constraints, or forms by weight
            name = plan.optimizer.target.rpartition(".")[2]
            try:
                return (
                    _stored_optimizer(plan, pair.legacy),
                    _stored_optimizer(own_plan, pair.own),
                    f"{name} of the file",
                )
            except ConversionError:
                pass
    trained = [
        [p for p in module.parameters() if p.requires_grad] for module in (pair.legacy, pair.own)
    ]
    return Adam(trained[0]), Adam(trained[1]), "Adam"


def _stored_optimizer(plan: Plan, module: nn.Module) -> Optimizer:
    content = make_content(plan, dict, {}).optimizer
    if content is None or plan.optimizer is None:
        msg = "the file has no optimizer"
        raise ConversionError(msg)
    state = {
        index: {slot: tensor_of(tensor.move) for slot, tensor in slots.items()}
        for index, slots in enumerate(content.state)
        if slots
    }
    stored = {"state": state, "param_groups": [dict(group) for group in content.param_groups]}
    about = {"optimizer": {"class": plan.optimizer.target, "parameters": list(plan.parameters)}}
    return load_optimizer(module, TorchCheckpoint({}, stored, None, about), Path("optimizer"))


def train(
    module: nn.Module, optimizer: Optimizer, inputs: Sequence[Tensor], keys: Sequence[str]
) -> None:
    """Make `STEPS` updates on one batch."""
    for _ in range(STEPS):
        optimizer.zero_grad()
        _loss(module, inputs, keys).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
