"""Check a converted file against its source, and against what the original framework recorded.

Values are compared bit for bit after the layout change; outputs and continued training against arrays that were
recorded in the original framework; a module that the user wrote with both (`converters.own_pair`). Nothing is trusted from the conversion run: both files are read again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from converters.agents.statements import stated_settings, with_statements
from converters.architecture import Architecture
from converters.errors import MismatchError
from converters.limits import Limits
from converters.live.load import load, read_converted
from converters.live.load_losses import loss_of
from converters.live.model import ConvertedModel
from converters.live.own_layers import with_own_layers
from converters.moves import Move
from converters.own_pair.verify import verify_own_module
from converters.plan import plan_conversion
from converters.plan_options import with_input_layout
from converters.planned import Plan
from converters.programs import stored_choice, with_program
from converters.readers import read_checkpoint
from converters.report import installed_version
from converters.rule_modules import import_rules
from converters.verification import (
    NOTHING_RECORDED,
    Arrays,
    Check,
    VerificationReport,
    largest,
    numbered,
    read_recorded,
    relative_difference,
    tolerance_of,
)
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer

MAX_NAMED = 5
"""Tensors that a problem names."""
CONTINUATION_FACTOR = 10
"""Continued training may differ by this many output tolerances: rounding grows over the updates."""
_ASSUMED = "the two files hold the same weights; what is done with them is assumed, and recorded outputs would tell (--expected)"


def verify(
    source: str | os.PathLike[str],
    converted: str | os.PathLike[str] | nn.Module,
    *,
    expected: str | os.PathLike[str] | None = None,
    architecture: str | os.PathLike[str] | None = None,
    tolerance: float | None = None,
    rules: Sequence[str] = (),
    layers: Mapping[str, object] | None = None,
    normalizer: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
    observations: Sequence[tuple[int, ...]] = (),
) -> VerificationReport:
    """Compare a converted file with its source, and with recorded arrays if there are some; or a module of your own.

    Args:
        source: the legacy file.
        converted: the .pth or .safetensors made from it; or your own torch module, or its name,
            "my_package.my_module:Net" or "my_file.py:Net", which is imported (docs/own-module.md).
        expected: .npz with inputs `x0`, `x1`, ... and the outputs `y0`, `y1`, ... the original framework gave. With
            targets `t0`, ..., `resume_loss` and `yafter0`, ... the continued training is compared as well.
        architecture: as for `convert`.
        tolerance: for outputs, instead of the table's.
        rules: as for `convert`.
        layers: as for `convert`.
        normalizer: as for `convert`, where it was given there.
        weights: of your own module: its state dict, .pth or .safetensors; by default the legacy file's arrays are put
            into it, as `convert(into=...)` does.
        names: of your own module: as for `convert`.
        settings: of your own module: arguments of its class.
        observations: of your own module: shapes of one observation, an input each, where the file leaves them open.

    Raises:
        ConversionError: A file cannot be read.
        ValueError: An argument for a module of your own is given for a file.
    """
    path = Path(source)
    import_rules(rules)
    checkpoint = read_checkpoint(
        path, architecture=None if architecture is None else Path(architecture)
    )
    if layers:
        checkpoint = with_own_layers(checkpoint, layers)
    if isinstance(converted, nn.Module) or names_module(converted):
        return verify_own_module(
            checkpoint,
            converted if isinstance(converted, nn.Module) else os.fspath(converted),
            expected=None if expected is None else Path(expected),
            tolerance=tolerance,
            weights=None if weights is None else Path(weights),
            names=names if names is None or isinstance(names, Mapping) else Path(names),
            settings=settings or {},
            observations=observations,
        )
    if weights is not None or names is not None or settings or observations:
        msg = f"weights, names, settings and observations are for a module of your own, my_file.py:Net, not for {converted}"
        raise ValueError(msg)
    result = Path(converted)
    metadata = read_converted(result).metadata
    checkpoint = with_statements(
        checkpoint,
        stated_settings(metadata),
        normalizer=None if normalizer is None else Path(normalizer),
        limits=Limits(),
    )
    inputs, outputs = stored_choice(metadata)
    plan = plan_conversion(with_program(checkpoint, inputs, outputs))
    # Recorded inputs are the legacy model's, so images go in as it takes them.
    model = load(result, input_layout=plan.input_layout, rules=rules, layers=layers)
    checks = [
        _compare_values(plan, model),
        *_compare_steps(plan, result),
        *_compare_slots(plan, result),
    ]
    if expected is not None:
        recorded = read_recorded(Path(expected))
        limit = tolerance_of(plan.architecture.dtype, tolerance)
        checks.append(_compare_outputs(model, recorded, limit))
        if plan.optimizer is not None and "resume_loss" in recorded:
            checks += _compare_continuation(
                result, recorded, limit * CONTINUATION_FACTOR, rules, layers
            )
    report = VerificationReport(path.name, result.name, tuple(checks))
    if plan.assumed and expected is None:  # both sides are made with it, so that nothing can differ
        return replace(report, notes=plan.assumed, verdict=_ASSUMED)
    return report


def names_module(converted: str | os.PathLike[str]) -> bool:
    """Return whether this is the name of a module of the user's, "my_file.py:Net", and no file."""
    place, colon, name = os.fspath(converted).rpartition(":")
    dotted = place.endswith(".py") or all(part.isidentifier() for part in place.split("."))
    named = all(part.isidentifier() for part in name.split("."))
    return bool(colon) and dotted and named and not Path(converted).exists()


def _compare_values(plan: Plan, model: ConvertedModel) -> Check:
    state = model.state_dict()
    different = [move.target for move in plan.moves if not _identical(move, state.get(move.target))]
    extra = sorted(set(state) - {move.target for move in plan.moves})
    count = len(plan.moves)
    compared = f"{count - len(different)} of {count} tensors, bit for bit"
    return Check("values", compared, 0.0, 0.0, _unequal([*different, *extra]))


def _compare_steps(plan: Plan, converted: Path) -> list[Check]:
    """Return a check that fails if the file computes otherwise than a conversion would say today; none if it does not."""
    stored = read_converted(converted, mapped=True)
    found = Architecture.from_data(stored.architecture)
    layout = stored.metadata.get("input_layout")
    plan = plan if layout is None else with_input_layout(plan, str(layout))
    wanted = Architecture.from_data(plan.architecture.to_data())
    if replace(found, name=wanted.name) == wanted:
        return []
    version = stored.metadata.get("torchward_version")
    if version != installed_version():
        why = f"not compared: written by torchward {version}, this is {installed_version()}"
        return [Check("computation", why, 0.0, 0.0, skipped=True)]
    pairs = zip_longest(found.steps, wanted.steps)
    unlike = next(((left, right) for left, right in pairs if left != right), None)
    if unlike is None:
        where = "inputs or outputs differ"
    else:
        left, right = (step.op if step else "nothing" for step in unlike)
        step = next(each for each in unlike if each is not None)
        where = f"{step.attribute or step.output}: {left}{', set otherwise' if left == right else f', in the source {right}'}"
    compared = f"{len(wanted.steps)} steps"
    return [Check("computation", compared, 0.0, 0.0, f"not that of the source: {where}")]


def _unequal(names: Sequence[str]) -> str | None:
    """Return what is said of tensors that are not those of the source, or None if there are none."""
    if not names:
        return None
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"not equal to the source: {', '.join(names[:MAX_NAMED])}{more}"


def _compare_slots(plan: Plan, converted: Path) -> list[Check]:
    if plan.optimizer is None:
        return []
    stored = read_converted(converted).optimizer_state_dict or {}
    states = stored.get("state")
    states = states if isinstance(states, Mapping) else {}
    different, count = [], 0
    for index, slots in enumerate(plan.slots):
        for slot, move in slots.items():
            count += 1
            if not _identical(move, states.get(index, {}).get(slot)):
                different.append(move.target)
    compared = f"{count - len(different)} of {count} state tensors, bit for bit"
    return [Check("optimizer", compared, 0.0, 0.0, _unequal(different))]


def _identical(move: Move, tensor: Tensor | None) -> bool:
    if tensor is None:
        return False
    wanted = np.asarray(move.layout.apply(move.source.read()))
    if tuple(tensor.shape) != wanted.shape:
        return False
    # Bytes, so that NaN equals itself and -0.0 differs from 0.0. An axis of size 1 may have any stride, which counts as
    # contiguous and is none for a view as bytes.
    found = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.detach().reshape(-1))
    little = wanted.astype(wanted.dtype.newbyteorder("<"), copy=False)
    return bool(little.tobytes() == found.view(torch.uint8).numpy().tobytes())


def _outputs(model: ConvertedModel, inputs: Sequence[NDArray]) -> list[Tensor]:  # type: ignore[type-arg]
    try:
        result = model(*[torch.from_numpy(np.array(x)) for x in inputs])
    except (RuntimeError, TypeError) as error:
        shapes = ", ".join(f"{x.shape} {x.dtype}" for x in inputs)
        msg = f"the model does not take the recorded inputs ({shapes}): {error}"
        raise MismatchError(msg) from error
    if isinstance(result, Mapping):
        return list(result.values())
    return list(result) if isinstance(result, tuple) else [result]


def _difference(found: Tensor, wanted: NDArray, where: str) -> float:  # type: ignore[type-arg]
    values = found.detach().cpu().double().numpy()
    if values.shape != wanted.shape:
        msg = f"{where}: found shape {values.shape}, recorded {wanted.shape}"
        raise MismatchError(msg)
    return relative_difference(values, wanted)


def _verdict(name: str, compared: str, differences: Sequence[float], tolerance: float) -> Check:
    worst = largest(differences)
    # "not <=" so that NaN fails.
    problem = None if worst <= tolerance else f"differs by {worst:.2e}, allowed {tolerance:.0e}"
    return Check(name, compared, worst, tolerance, problem)


def _compare_outputs(model: ConvertedModel, recorded: Arrays, tolerance: float) -> Check:
    inputs, wanted = numbered(recorded, "x"), numbered(recorded, "y")
    if not inputs or not wanted:
        raise MismatchError(NOTHING_RECORDED)
    with torch.no_grad():
        found = _outputs(model, inputs)
    if len(found) != len(wanted):
        msg = f"the model has {len(found)} outputs, recorded are {len(wanted)}"
        raise MismatchError(msg)
    differences = [
        _difference(y, want, f"output {i}")
        for i, (y, want) in enumerate(zip(found, wanted, strict=True))
    ]
    return _verdict("outputs", f"{len(inputs[0])} recorded inputs", differences, tolerance)


def _compare_continuation(
    converted: Path,
    recorded: Arrays,
    tolerance: float,
    rules: Sequence[str],
    layers: Mapping[str, object] | None,
) -> list[Check]:
    """Train on as the original framework did: same batch, dropout off, and compare losses and outputs."""
    loss = loss_of(read_converted(converted))
    targets, after = numbered(recorded, "t"), numbered(recorded, "yafter")
    if loss is None or not targets or not after:
        why = (
            "the stored loss is not known here"
            if targets and after
            else "no t0, ... and yafter0, ..."
        )
        return [Check("continued training", f"not compared: {why}", 0.0, 0.0, skipped=True)]
    model, optimizer = load(converted, optimizer=True, rules=rules, layers=layers)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()  # the recordings were made with dropout off, but with moving statistics
    inputs = numbered(recorded, "x")
    wanted = [torch.from_numpy(np.array(target)) for target in targets]
    losses = []
    for _ in recorded["resume_loss"]:
        optimizer.zero_grad()
        value = loss(_outputs(model, inputs), wanted)
        value.backward()  # type: ignore[no-untyped-call]
        penalty = optimizer.regularization_loss() if isinstance(optimizer, KerasOptimizer) else 0.0
        optimizer.step()
        losses.append(float(value.detach() + penalty))
    with torch.no_grad():
        found = _outputs(model.eval(), inputs)
    steps = len(losses)
    differences = [
        _difference(y, want, f"output {i}")
        for i, (y, want) in enumerate(zip(found, after, strict=True))
    ]
    loss_difference = _difference(torch.tensor(losses), recorded["resume_loss"], "losses")
    return [
        _verdict("continued losses", f"{steps} recorded updates", [loss_difference], tolerance),
        _verdict("continued outputs", f"after {steps} updates", differences, tolerance),
    ]
