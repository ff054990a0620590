"""Compare a module that the user wrote with the legacy file it stands for: outputs, gradients, updates, actions.

The reference is the file's own conversion, whose parity is proven elsewhere (and recorded outputs, if there are some);
no TensorFlow is needed. Gradients and updates are computed in float64 where both modules can, so that what is compared
is the formula and not the rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from converters.checkpoint import Checkpoint
from converters.errors import MismatchError
from converters.into.user_module import make_user_module
from converters.own_pair.first_difference import AGREEMENT, find_first_difference
from converters.own_pair.inputs import as_taken, channels_first, draw_inputs
from converters.own_pair.learning import (
    STEPS,
    gradients_of,
    make_optimizers,
    train,
    untrained_here,
    values_of,
)
from converters.own_pair.likely_causes import Cause, Changes, find_causes
from converters.own_pair.models import Names, Pair, make_pair
from converters.own_pair.outputs import (
    CODE_ERRORS,
    Distance,
    distance,
    flat_outputs,
    run_in_parts,
    shape_problem,
)
from converters.own_pair.tracing import Call, trace
from converters.plan import plan_conversion
from converters.programs import with_program
from converters.verification import (
    NOTHING_RECORDED,
    Check,
    VerificationReport,
    numbered,
    read_recorded,
    tolerance_of,
)

COUNT = 1_000
"""Random inputs of the forward pass."""
TRAINED = 32
"""Of them, those of the gradients and updates."""
TRACED = 8
"""Of them, those of the search for the first difference: all values on the way are kept."""
SEED = 0
GRADIENT_TOLERANCE = 1e-4
"""Relative to the largest of a tensor: float32 sums over the batch; in float64, where it is used, 1e-13 is usual."""
UPDATE_TOLERANCE = 1e-5
"""Of the parameters, relative to the largest of a tensor: ten steps of 1e-3 that depart by a thousandth show."""
_BOUNDED = ("torch.tanh", "torch.sigmoid", "nn.Tanh", "nn.Sigmoid")
"""Operations at whose end numbers are no values of discrete actions."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A pair with inputs for each side, and the names of its outputs."""

    pair: Pair
    legacy: Sequence[Tensor]
    own: Sequence[Tensor]
    keys: tuple[str, ...]

    def first(self, count: int) -> _Run:
        """Return the same with fewer inputs."""
        return _Run(
            self.pair, [x[:count] for x in self.legacy], [x[:count] for x in self.own], self.keys
        )


def verify_own_module(
    checkpoint: Checkpoint,
    converted: nn.Module | str,
    *,
    expected: Path | None,
    tolerance: float | None,
    weights: Path | None,
    names: Names,
    settings: Mapping[str, object],
    observations: Sequence[tuple[int, ...]] = (),
) -> VerificationReport:
    """Return how the user's module compares with a legacy file.

    Args:
        checkpoint: of the legacy file.
        converted: the module, which stays as it is, or its name.
        expected: recorded inputs and outputs of the original, which are a reference, too.
        tolerance: for outputs, instead of the table's.
        weights: state dict of the module; None: the arrays of the file are put into it.
        names: as for `make_pair`.
        settings: arguments of the module's class.
        observations: shapes of one observation where the file leaves them open, an input each.

    Raises:
        ConversionError: A file cannot be read, or the two cannot be compared at all.
    """
    if isinstance(converted, nn.Module):
        module, name = copy.deepcopy(converted), type(converted).__name__
    else:
        module, name = make_user_module(converted, settings), converted
    recorded = None if expected is None else _read_outputs(expected)
    plan = plan_conversion(with_program(checkpoint))
    pair = make_pair(checkpoint, plan, module, weights=weights, names=names)
    limit = tolerance_of(plan.architecture.dtype, tolerance)
    drawn = draw_inputs(plan.architecture, COUNT, seed=SEED, stated=observations)
    run, legacy, found, notes = _forward(pair, drawn)
    checks = [_compare_lists("forward", f"{COUNT:,} inputs", legacy, found, limit)]
    if recorded is not None:
        checks.append(_compare_recorded(run, *recorded, limit))
    difference, causes = "", list[Cause]()
    if checks[0].problem is not None:
        try:
            difference, causes = _explain(run, drawn)
        except CODE_ERRORS as error:
            why = " ".join(str(error).split())[:160]
            notes.append(f"where it begins to differ cannot be watched: {why}")
    checks += _compare_learning(run, drawn)
    checks += _compare_actions(run, legacy, found, limit)
    return VerificationReport(
        checkpoint.provenance.file,
        name,
        tuple(checks),
        first_difference=difference,
        likely=tuple(cause.describe() for cause in causes),
        hints=tuple(cause.hint for cause in causes),
        notes=(*notes, *plan.assumed),  # of the reference, which is no more certain than they are
        verdict="the two models are the same function and learn the same way"
        if not any(check.skipped for check in checks)
        else "the two models are the same function",
    )


def _read_outputs(path: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Return recorded inputs and outputs. Raises MismatchError if there are none."""
    arrays = read_recorded(path)
    inputs, outputs = (
        [torch.from_numpy(np.array(x)) for x in numbered(arrays, letter)] for letter in "xy"
    )
    if not inputs or not outputs:
        raise MismatchError(NOTHING_RECORDED)
    return inputs, outputs


def _forward(
    pair: Pair, drawn: Sequence[Tensor]
) -> tuple[_Run, list[Tensor], list[Tensor], list[str]]:
    """Return the outputs of both modules, with the images in the order that the user's takes."""
    architecture = pair.plan.architecture
    dtype = next((p.dtype for p in pair.own.parameters()), torch.float32)
    keys = architecture.output_names if architecture.structure == "dict" else ()
    legacy_inputs = as_taken(drawn, architecture, torch.float32)
    given = as_taken(drawn, architecture, dtype)
    legacy = run_in_parts(pair.legacy, legacy_inputs, keys)
    errors, found_forms = [], []
    for note, inputs in (
        ("", given),
        ("inputs go into it as (batch, channel, ...)", channels_first(given)),
    ):
        if note and all(x.ndim < 3 for x in given):
            continue
        run = _Run(pair, legacy_inputs, inputs, keys)
        try:
            found = run_in_parts(pair.own, inputs, keys)
        except CODE_ERRORS as error:
            errors.append(" ".join(str(error).split())[:200])
            continue
        far = float("inf") if shape_problem(legacy, found) else distance(legacy, found).relative
        found_forms.append((far, run, found, [note] if note else []))
    if not found_forms:
        shapes = ", ".join(str(tuple(x.shape)) for x in given)
        msg = f"{type(pair.own).__name__} does not take the legacy model's inputs, {shapes}: {errors[-1]}"
        raise MismatchError(msg)
    _, run, found, notes = min(found_forms, key=lambda form: (form[0] != form[0], form[0]))
    return run, legacy, found, notes


def _compare_lists(
    name: str, compared: str, legacy: Sequence[Tensor], found: Sequence[Tensor], limit: float
) -> Check:
    wrong = shape_problem(legacy, found)
    if wrong is not None:
        return Check(name, compared, float("inf"), limit, wrong)
    return _judged(name, compared, distance(legacy, found), limit)


def _judged(name: str, compared: str, far: Distance, limit: float) -> Check:
    # "not <=" so that NaN fails.
    wrong = None if far.relative <= limit else f"differs by {far.relative:.1e}"
    return Check(name, compared, far.relative, limit, wrong, absolute=far.absolute)


def _compare_recorded(
    run: _Run, inputs: Sequence[Tensor], wanted: Sequence[Tensor], limit: float
) -> Check:
    """Return how far the user's module is from what the original framework gave."""
    dtype = next((p.dtype for p in run.pair.own.parameters()), torch.float32)
    given = as_taken(inputs, run.pair.plan.architecture, dtype)
    if any(x.shape[1:] != one.shape[1:] for x, one in zip(run.legacy, run.own, strict=True)):
        given = channels_first(given)
    found = run_in_parts(run.pair.own, given, run.keys)
    return _compare_lists("recorded", f"{len(inputs[0])} recorded inputs", wanted, found, limit)


def _in_double(run: _Run, drawn: Sequence[Tensor]) -> _Run:
    """Return the run in float64 if the user's module can; as it is if not, with copies of the modules."""
    double = run.pair.in_double()
    architecture = run.pair.plan.architecture
    turned = [x.shape for x in run.legacy] != [x.shape for x in run.own]
    if double is not None:
        inputs = as_taken(drawn, architecture, torch.float64)
        given = channels_first(inputs) if turned else inputs
        try:
            run_in_parts(double.own, [x[:TRACED] for x in given], run.keys)
        except CODE_ERRORS:  # a number type is written into its code
            pass
        else:
            return _Run(double, inputs, given, run.keys)
    return _Run(run.pair.copied(), run.legacy, run.own, run.keys)


def _explain(run: _Run, drawn: Sequence[Tensor]) -> tuple[str, list[Cause]]:
    """Return where the modules begin to differ, and what explains it."""
    small = _in_double(run, drawn).first(TRACED)
    calls, result = trace(small.pair.legacy, small.legacy)
    wanted = flat_outputs(result, "", small.keys)
    known = [*small.legacy, *(call.output for call in calls)]

    def attempt(changes: Changes) -> tuple[list[Call], bool]:
        calls, result = trace(small.pair.own, small.own, changes)
        found = flat_outputs(result, "", small.keys)
        if shape_problem(wanted, found):
            return calls, False
        far = distance(wanted, found, least=0.0).relative
        return calls, far <= AGREEMENT.get(small.pair.dtype, 1e-5)

    calls, _ = attempt({})
    return find_first_difference(calls, known).describe(), find_causes(attempt, known)


def _compare_learning(run: _Run, drawn: Sequence[Tensor]) -> list[Check]:
    """Return the comparison of gradients and of updates, if it is known what belongs to what."""
    if run.pair.own_plan is None:
        why = f"not compared: {run.pair.unmatched}; name them in a table: --map"
        return [
            Check("gradients", why, 0.0, 0.0, skipped=True),
            Check("update", why, 0.0, 0.0, skipped=True),
        ]
    small = _in_double(run, drawn).first(TRAINED)
    plan, own_plan = small.pair.plan, run.pair.own_plan
    try:
        legacy = gradients_of(plan, small.pair.legacy, small.legacy, small.keys)
        found = gradients_of(own_plan, small.pair.own, small.own, small.keys)
    except CODE_ERRORS as error:
        why = f"not compared: {' '.join(str(error).split())[:160]}"
        return [
            Check("gradients", why, 0.0, 0.0, skipped=True),
            Check("update", why, 0.0, 0.0, skipped=True),
        ]
    common = [name for name in legacy if name in found]
    if not common:
        why = "not compared: nothing trains in both"
        return [
            Check("gradients", why, 0.0, 0.0, skipped=True),
            Check("update", why, 0.0, 0.0, skipped=True),
        ]
    far = _apart(legacy, found, common, least=0.0)
    gradients = _judged("gradients", f"{len(common)} tensors", far, GRADIENT_TOLERANCE)
    one, other, name = make_optimizers(small.pair, own_plan)
    train(small.pair.legacy, one, small.legacy, small.keys)
    train(small.pair.own, other, small.own, small.keys)
    after = _apart(
        values_of(plan, small.pair.legacy), values_of(own_plan, small.pair.own), common, least=1.0
    )
    compared = f"{name}, {STEPS} steps"
    alone = untrained_here(small.pair, own_plan)
    if alone:
        update = Check(
            "update",
            compared,
            after.relative,
            UPDATE_TOLERANCE,
            "; ".join(alone[:3]),
            absolute=after.absolute,
        )
    else:
        update = _judged("update", compared, after, UPDATE_TOLERANCE)
    return [gradients, update]


def _apart(
    legacy: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
    found: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
    names: Sequence[str],
    *,
    least: float,
) -> Distance:
    one = [torch.from_numpy(np.array(legacy[name])) for name in names]
    other = [torch.from_numpy(np.array(found[name])) for name in names]
    return distance(one, other, least=least)


def _compare_actions(
    run: _Run, legacy: Sequence[Tensor], found: Sequence[Tensor], limit: float
) -> list[Check]:
    """Return whether the largest of a row of numbers is the same; nothing where there is no such row."""
    steps = run.pair.plan.architecture.steps
    if (
        len(legacy) != 1
        or legacy[0].ndim != 2
        or legacy[0].shape[1] < 2
        or steps[-1].op in _BOUNDED
    ):
        return []
    if shape_problem(legacy, found):
        return []
    [values], [others] = legacy, found
    best = values.max(1).values
    chosen = values.gather(1, others.argmax(1, keepdim=True)).squeeze(1)
    # Rounding decides between values that are equal within the tolerance of the forward pass.
    allowed = limit * max(1.0, float(values.abs().max()))
    same = int((best - chosen <= allowed).sum())
    count = len(values)
    wrong = None if same == count else f"{count - same:,} other actions"
    return [Check("argmax", f"{same:,} of {count:,} actions agree", 0.0, 0.0, wrong)]
