"""Both modules of a pair: ours, made from the legacy file, and the user's, with its weights and its match to the file.

What belongs to what is settled as `convert --into` does it; where two layers have one shape and the weights are given,
their values tell which is which.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from converters.checkpoint import Checkpoint
from converters.errors import ConversionError, MismatchError, UnsupportedError
from converters.into.match import Filling, fit
from converters.into.places import find_places
from converters.into.plan import legacy_layers
from converters.into.prepare import plan_user_module
from converters.layouts import Layout
from converters.live.build import build_model, build_planned, tensor_of
from converters.live.load import read_converted
from converters.live.model import ConvertedModel
from converters.planned import Plan

Names = Path | Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Pair:
    """The two modules, in evaluation mode.

    Attributes:
        legacy: what the file holds, converted.
        own: the user's.
        plan: of `legacy`.
        own_plan: which stored array fills which key of `own`; None: `unmatched` says why that is not known.
        dtype: of both, torch.float64 where both compute in it.
    """

    legacy: ConvertedModel
    own: nn.Module
    plan: Plan
    own_plan: Plan | None
    unmatched: str = ""
    dtype: torch.dtype = torch.float32

    def copied(self) -> Pair:
        """Return the pair with modules that may be changed."""
        return replace(self, legacy=copy.deepcopy(self.legacy), own=copy.deepcopy(self.own))

    def in_double(self) -> Pair | None:
        """Return the pair in float64; None where the user's module cannot be copied."""
        try:
            module = copy.deepcopy(self.own).double()
        except (RuntimeError, TypeError):  # tensors that are results of others
            return None
        legacy = build_legacy(self.plan, double=True)
        return replace(self, legacy=legacy, own=module, dtype=torch.float64)


def make_pair(
    checkpoint: Checkpoint, plan: Plan, module: nn.Module, *, weights: Path | None, names: Names
) -> Pair:
    """Return our module of a file and the user's with its weights.

    Args:
        checkpoint: of the legacy file.
        plan: of its conversion.
        module: the user's; its values are replaced.
        weights: state dict of the module; None: the arrays of the file are its weights, as `convert --into` does it.
        names: table of `--map`, or its file; where there is none yet, one to edit is written if it is needed.

    Raises:
        MismatchError: The weights do not fit the module; without `weights`, or it is not certain what belongs to what.
        UnsupportedError: The file is no single network.
    """
    if (
        plan.agent is not None
        or plan.architecture.action is not None
        or not plan.architecture.steps
    ):
        msg = f"{checkpoint.provenance.file}: is an agent of several networks, not one network"
        raise UnsupportedError(msg, hint="torchward convert it and compare networks one by one")
    legacy = build_legacy(plan)
    if weights is None:
        own_plan = plan_user_module(checkpoint, module, names, {})
        _load(module, {move.target: tensor_of(move) for move in own_plan.moves}, "the legacy file")
        return Pair(legacy, module.eval(), plan, own_plan)
    _load(module, read_converted(weights).model_state_dict, str(weights))
    try:
        own_plan = _plan_with_values(checkpoint, module, names)
    except ConversionError as error:
        why = " ".join(str(error).split())
        return Pair(legacy, module.eval(), plan, None, why)
    return Pair(legacy, module.eval(), plan, own_plan)


def build_legacy(plan: Plan, *, double: bool = False) -> ConvertedModel:
    """Return the converted module of a plan, in evaluation mode."""
    if not double:
        return build_planned(plan)
    state = {move.target: tensor_of(move) for move in plan.moves}
    inputs = tuple(
        replace(value, dtype="float64") if "float" in value.dtype else value
        for value in plan.architecture.inputs
    )
    return build_model(
        replace(plan.architecture, inputs=inputs, dtype="float64"),
        {name: x.double() if x.is_floating_point() else x for name, x in state.items()},
    )


def _load(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    try:
        module.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        why = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        msg = f"the weights of {source} do not fit {type(module).__name__}: {why}"
        raise MismatchError(msg) from error


def _plan_with_values(checkpoint: Checkpoint, module: nn.Module, names: Names) -> Plan:
    """Return the plan for a module that has its weights: they tell apart what shapes do not."""
    if names is not None and not (isinstance(names, Path) and not names.exists()):
        return plan_user_module(checkpoint, module, names, {})
    try:
        return plan_user_module(checkpoint, module, _by_values(checkpoint, module), {})
    except MismatchError:
        return plan_user_module(checkpoint, module, names, {})


def _by_values(checkpoint: Checkpoint, module: nn.Module) -> dict[str, object]:
    """Return the layers whose arrays one place of the module holds, and only that, each with the place."""
    layers, _ = legacy_layers(checkpoint)
    places, state = find_places(module), module.state_dict()
    pairs = [
        (layer.name, place.path)
        for layer in layers
        for place in places
        if any(_holds(state, way) for way in fit(layer, place))
    ]
    taken_layers, taken_places = [name for name, _ in pairs], [path for _, path in pairs]
    return {
        name: path
        for name, path in pairs
        if taken_layers.count(name) == 1 and taken_places.count(path) == 1
    }


def _holds(state: Mapping[str, Tensor], way: Sequence[Filling]) -> bool:
    for filling in way:
        if filling.array is not None:
            stored = filling.slot.take(filling.array).read()
            wanted = np.asarray(Layout.parse(filling.layout).apply(stored), np.float64)
            found = state[filling.slot.key].detach().cpu().double().numpy()
            if not np.allclose(found, wanted, rtol=1e-6, atol=1e-7):
                return False
    return True
