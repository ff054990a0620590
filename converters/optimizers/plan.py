"""Plans where the stored state of a Keras optimizer goes, without loading it and without torch.

`plan_optimizer` answers with plain data: the torch class, its arguments, and for every slot the stored array of every
trainable weight. The caller loads the arrays, applies the layout of the weight to its slots, and
hands both to the torch class (`KerasOptimizer.load_slots`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converters.checkpoint import ArrayInfo, OptimizerState
from converters.errors import AmbiguousTargetError, MismatchError, UnsupportedError
from converters.optimizers.loss_scaling import unwrap_loss_scaling
from converters.optimizers.options import plan_options, used_options
from converters.optimizers.rules import RULES, OptimizerRule, find_rule
from converters.optimizers.stated import HINT, not_of_adam
from converters.optimizers.stored_names import Dialect, are_numbered, dialect_of, mentions
from converters.optimizers.stored_order import Split, Weights, split_variables, used_slots
from converters.optimizers.uneven import ADAM, Kind, choose_kinds, split_uneven

Plain = int | float | bool | str | None | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OptimizerGroup:
    """A parameter group: options, learning rate and counter of its own, and places of its weights in the model's order."""

    options: Mapping[str, Plain]
    learning_rate: float | None
    iterations: int
    places: tuple[int, ...]

    def read_arguments(self) -> dict[str, object]:
        """Return the keyword arguments of the torch class for this group."""
        rate = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        return {**rate, **self.options}


@dataclass(frozen=True, slots=True)
class OptimizerPlan:
    """How a stored optimizer becomes a torch one.

    Attributes:
        target: key of the torch class, "keras_compat.Adam".
        options: keyword arguments of the class, plain data, without the learning rate.
        learning_rate: the stored number, which wins over the configuration; else the configured number or
            schedule; None: the file says nothing, the default of the class holds.
        iterations: the stored counter, or 0 where the file has none.
        numbers: further single numbers of the state by the name of the group entry.
        slots: name in the torch state to one array for each trainable weight, in the order and
            layout of the weights. Empty: the optimizer starts anew.
        partial: the same for slots that not every weight has, by place of the weight.
        dropped_axes: for slots of fewer axes than the weight the one of Keras that is missing.
        for_weights: options that have an entry for each weight, in the order of the weights.
        in_keras_order: the class needs `keras_order`.
        row_wise: rows of embeddings that a batch does not look up stay as they are.
        ignored: stored arrays that are not used, each with the reason.
        notes: what was assumed, or is lost.
        groups: parameter groups, if there are several; what is said above then holds for the first.
    """

    target: str
    options: Mapping[str, object]
    learning_rate: ArrayInfo | float | Mapping[str, object] | None
    iterations: ArrayInfo | int
    numbers: Mapping[str, ArrayInfo] = field(default_factory=dict)
    slots: Mapping[str, tuple[ArrayInfo, ...]] = field(default_factory=dict)
    partial: Mapping[str, Mapping[int, ArrayInfo]] = field(default_factory=dict)
    dropped_axes: Mapping[str, int] = field(default_factory=dict)
    for_weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    in_keras_order: bool = False
    row_wise: bool = False
    ignored: tuple[tuple[ArrayInfo, str], ...] = ()
    notes: tuple[str, ...] = ()
    groups: tuple[OptimizerGroup, ...] = ()

    def slots_of(self, place: int) -> dict[str, ArrayInfo]:
        """Return the slots of one weight."""
        found = {slot: infos[place] for slot, infos in self.slots.items()}
        return found | {
            slot: infos[place] for slot, infos in self.partial.items() if place in infos
        }

    def read_arguments(self) -> dict[str, object]:
        """Return the keyword arguments of the torch class, with the learning rate read if it is stored."""
        rate = self.learning_rate
        if isinstance(rate, ArrayInfo):
            rate = _number(rate)
        return dict(self.options) if rate is None else {"learning_rate": rate, **self.options}

    def read_iterations(self) -> int:
        """Return the number of updates done.

        Raises:
            UnsupportedError: What is stored is NaN or infinite (Keras 1 and 2 counted in floating point), or no number.
        """
        if isinstance(self.iterations, int):
            return self.iterations
        stored = _number(self.iterations)
        if not math.isfinite(stored):
            msg = f"its counter '{self.iterations.name}' is {stored}"
            raise UnsupportedError(msg)
        return int(stored)

    def read_groups(self) -> list[Mapping[str, object]]:
        """Return the parameter groups if there are several, as a `state_dict` has them."""
        return [
            {
                **each.read_arguments(),
                "iterations": each.iterations,
                "params": list(each.places),
            }
            for each in self.groups
        ]

    def read_numbers(self) -> dict[str, float]:
        """Return the further group entries."""
        return {
            name: int(array.read()) if array.dtype.kind in "iu" else _number(array)
            for name, array in self.numbers.items()
        }


def plan_optimizer(
    state: OptimizerState, weights: Weights, paths: Sequence[Sequence[str]] = ()
) -> OptimizerPlan:
    """Return where the optimizer state goes.

    Args:
        state: as the reader found it; variables in stored order.
        weights: stored name and shape (Keras layout) of every trainable weight, in model order.
        paths: the paths Keras knows the weights by, in each of the forms they may have; default: the stored names.

    Raises:
        UnsupportedError: There is no rule for the optimizer, or an option has no counterpart.
        AmbiguousTargetError: The file does not name its optimizer, and more than one fits, or the likeliest does not.
        MismatchError: Variables and weights do not belong together.
    """
    state, scaling = unwrap_loss_scaling(state)
    notes: list[str] = [*scaling.notes]
    dialect = dialect_of(state)
    rule = find_rule(state.kind) if state.kind else _infer_rule(state.variables, weights, notes)
    rate, options = plan_options(rule, dialect, state.config, notes)
    if options.get("weight_decay"):
        notes.append(
            "weights that exclude_from_weight_decay named are in no file: all decay; leave some out again with "
            "optimizer.exclude_from_weight_decay(parameters)"
        )
    used = used_options(options)
    if state.kind is None or not state.config:
        used = _infer_used(rule, state.variables, notes)
        options |= {name: True for name in used if name != "momentum"}
        if "momentum" in used:
            options["momentum"] = 0.9
            notes.append(_assumed_momentum(rule, dialect))
    scheduled = isinstance(rate, Mapping)
    try:
        split = split_variables(
            rule, dialect, state.variables, weights, used=used, scheduled=scheduled
        )
    except MismatchError as error:
        if state.kind is not None:
            raise
        message = (
            f"the file does not name its optimizer, and its arrays are not those of {rule.kind}"
        )
        raise AmbiguousTargetError(message, hint=HINT) from error
    guessed = state.kind is None and are_numbered(state.variables)
    if guessed and (reason := not_of_adam(split.slots)) is not None:
        message = f"the file does not name its optimizer, and its slots are not Adam's: {reason}"
        raise AmbiguousTargetError(message, hint=HINT)
    plan = _plan(rule, split, rate, {**options, **scaling.options}, notes)
    plan = replace(
        plan,
        numbers={**plan.numbers, **scaling.numbers},
        ignored=(*plan.ignored, *scaling.ignored),
        row_wise=dialect == "legacy" and (rule.row_wise is True or rule.row_wise in used),
    )
    if rule.kind == "Nadam" and dialect == "keras2":
        # Its product of momenta is another for each weight, by the weight's turn in a step.
        plan = replace(plan, for_weights={"turns": tuple(range(len(weights)))})
    if rule.choose_kind is None:
        return plan
    forms = paths or ([name for name, _ in weights],)
    kinds = choose_kinds(rule.choose_kind, state.config, forms, weights, split.rest)
    return _with_kinds(plan, rule, kinds, split)


def _with_kinds(
    plan: OptimizerPlan, rule: OptimizerRule, kinds: Sequence[Kind], split: Split
) -> OptimizerPlan:
    """Return the plan with the slots of weights of different kinds."""
    partial, ignored = split_uneven(kinds, split.rest) if split.rest else ({}, [])
    slots = {slot for kind in kinds for slot in kind.slots if slot is not None}
    return replace(
        plan,
        partial=partial,
        dropped_axes={s.key: s.dropped_axis for s in slots if s.dropped_axis is not None},
        for_weights={"with_adam": tuple(kind == ADAM for kind in kinds)}
        if rule.kind == "Muon"
        else {},
        in_keras_order=rule.in_keras_order,
        ignored=(*plan.ignored, *ignored),
    )


def _plan(
    rule: OptimizerRule,
    split: Split,
    rate: float | Mapping[str, object] | None,
    options: dict[str, Plain],
    notes: list[str],
) -> OptimizerPlan:
    """Put the parts together: the stored learning rate wins, and what is missing is noted."""
    stored = split.learning_rate
    wide = stored.dtype == np.float64 if stored is not None else _is_wide(rate)
    if wide:
        options["learning_rate_dtype"] = "float64"
    if stored is None and rate is None:
        notes.append("the learning rate is not in the file; the default of the class is taken")
    if split.iterations is None:
        notes.append("the file has no iteration counter; it starts at 0")
    return OptimizerPlan(
        target=rule.target,
        options=options,
        learning_rate=rate if stored is None else stored,
        iterations=0 if split.iterations is None else split.iterations,
        numbers={} if split.number is None or rule.number is None else {rule.number: split.number},
        slots=split.slots,
        ignored=tuple(split.ignored),
        notes=tuple(notes + split.notes),
    )


def _is_wide(rate: float | Mapping[str, object] | None) -> bool:
    """Return whether a configured learning rate was a float64 variable: float32 cannot hold it."""
    return isinstance(rate, float) and float(np.float32(rate)) != rate


def _infer_rule(
    variables: Sequence[ArrayInfo], weights: Weights, notes: list[str]
) -> OptimizerRule:
    """Return the rule of a file that has slots but does not name the optimizer.

    Keras starts the names with that of the optimizer ("adam_w/..."); a name the user chose says nothing, then
    the slots' names must fit one rule. Where there are only numbers, two slots a weight are taken for Adam's.
    """
    if are_numbered(variables):
        return _infer_from_count(len(variables), len(weights), notes)
    rule = _named_rule(variables)
    if rule is None:
        fitting = [rule for rule in RULES if _names_fit(rule, variables)]
        if len(fitting) != 1:
            kinds = ", ".join(rule.kind for rule in fitting or RULES)
            message = f"the file does not name its optimizer; possible: {kinds}"
            raise AmbiguousTargetError(message, hint=HINT)
        rule = fitting[0]
    notes.append(f"the file does not name its optimizer; {rule.kind} by the names of its slots")
    return rule


def _named_rule(variables: Sequence[ArrayInfo]) -> OptimizerRule | None:
    """Return the rule that the names start with: "adam_w/...", "Adam/m/...", "training/Adam/..."; else None."""
    for variable in variables:
        for part in variable.name.split("/")[:-1][:2]:
            try:
                return find_rule(part)
            except UnsupportedError:
                continue
    return None


def _infer_from_count(stored: int, count: int, notes: list[str]) -> OptimizerRule:
    """Return Adam's rule for two slots a weight (besides counter and learning rate), SGD's for none."""
    numbers = (1, 2)
    for slots, kind in ((2, "Adam"), (0, "SGD")):
        if stored - slots * count in numbers:
            notes.append(
                f"the file does not name its optimizer; {slots} slots for each weight are taken for {kind}"
                + (", others have as many: name it with --set optimizer=AdamW" if slots else "")
            )
            return find_rule(kind)
    kinds = ", ".join(rule.kind for rule in RULES)
    message = (
        f"the file does not name its optimizer and holds {stored} arrays without names for "
        f"{count} weights; known: {kinds}"
    )
    raise AmbiguousTargetError(message, hint=HINT)


def _names_fit(rule: OptimizerRule, variables: Sequence[ArrayInfo]) -> bool:
    """Return whether every slot without condition is named in the file, and nothing else is."""
    slots = [slot for block in rule.blocks for slot in block]
    arrays = [variable for variable in variables if variable.shape]
    needed = used_slots(rule, frozenset())
    named = all(any(mentions(variable, slot) for slot in slots) for variable in arrays)
    return named and all(any(mentions(v, slot) for v in arrays) for slot in needed or slots)


def _assumed_momentum(rule: OptimizerRule, dialect: Dialect) -> str:
    """Return the note on a momentum that only its buffer tells of."""
    always = rule.kind == "SGD" and dialect == "keras2"  # keras 2.15.0, optimizers/sgd.py, build
    also = ", though Keras 2.11 to 2.15 has one without momentum too" if always else ""
    return (
        f"momentum is not in the file; its buffer is, and 0.9 is assumed{also}; another one is set by "
        "optimizer.param_groups[0]['momentum'] = 0.0 or what it was"
    )


def _infer_used(
    rule: OptimizerRule, variables: Sequence[ArrayInfo], notes: list[str]
) -> frozenset[str]:
    """Return the options whose slots the names show, for a file without configuration."""
    notes.append("the hyper-parameters are not in the file; the defaults of Keras are taken")
    if are_numbered(variables):
        return frozenset()
    slots = [slot for block in rule.blocks for slot in block if slot.when is not None]
    used = {s.when for s in slots if s.when and any(mentions(v, s) for v in variables)}
    averaged = any(v.name.split(":", 1)[0].endswith("_average") for v in variables)
    return frozenset(used | ({"use_ema"} if averaged else set()))


def _number(array: ArrayInfo) -> float:
    """Return what an array of one real number holds. Raises UnsupportedError for any other."""
    if array.dtype.kind in "cOSU" or array.shape not in ((), (1,)):
        msg = f"'{array.name}' is {array.dtype} of shape {array.shape}; one number is needed"
        raise UnsupportedError(msg)
    return float(array.read().reshape(()))
