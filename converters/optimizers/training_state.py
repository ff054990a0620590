"""What continues a training: optimizer state by parameter, and penalties on weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, combinations, islice

from converters.checkpoint import ArrayInfo, Checkpoint, OptimizerState
from converters.errors import AmbiguousTargetError, MismatchError, UnsupportedError
from converters.graph import Graph
from converters.layouts import Layout
from converters.lowering import Lowering
from converters.matching.cudnn import is_unfolded
from converters.matching.keras1_order import by_name, in_model_order
from converters.matching.lora import has_lora
from converters.matching.model_weights import Path, leaves, stored_weights
from converters.moves import Move
from converters.optimizers.by_name import plan_named, selected_weights
from converters.optimizers.constraints import find_constraint
from converters.optimizers.keras_order import keras_order, order_of_slot
from converters.optimizers.plan import OptimizerGroup, OptimizerPlan, plan_optimizer

Arrays = Mapping[Path, Mapping[str, ArrayInfo]]
"""Stored arrays by layer and role."""
MEASURES: Mapping[str, str] = {
    **dict.fromkeys(("exp_avg_sq", "square_avg", "sum", "accumulator"), "squares"),
    "exp_inf": "takes the absolute value of",
}
"""Slots that hold sizes of gradients, and what is done to these first."""
CLIPPING = ("clipvalue", "clipnorm", "global_clipnorm")
"""Options that bound gradients."""
MAX_FROZEN_CHOICES = 200
"""Sets of nested models that are tried as the frozen ones of a file that does not say: they double with each model."""
REGULARIZERS = ("L1L2", "L1", "L2", "WeightRegularizer", "L1L2Regularizer")
"""Class names under which Keras 1 to 3 stored l1 * sum(abs(w)) + l2 * sum(w ** 2)."""


def plan_optimizer_state(
    checkpoint: Checkpoint, graph: Graph, arrays: Arrays
) -> tuple[OptimizerPlan | None, list[str]]:
    """Return what becomes of the optimizer, and notes. The weights convert even where the optimizer does not.

    Raises:
        MismatchError: Optimizer variables and weights do not belong together.
    """
    if checkpoint.optimizers:
        return _plan_named(checkpoint, graph, arrays)
    state = checkpoint.optimizer
    if state is None:
        return None, []
    if _is_left_behind(checkpoint, state):
        note = (
            "the optimizer state is not converted: Keras 2 saves nothing of its legacy optimizers in .keras files but the "
            "settings; convert an .h5 file or a SavedModel of the same training, or start a new optimizer"
        )
        return None, [note]
    places = trainable_arrays(graph, arrays)
    infos = [info for _, info in places]
    if state.weights:
        return _plan_in_own_order(state, infos)
    if (reason := _stored_otherwise(infos)) is not None:
        return None, [f"the optimizer state is not converted: {reason}"]
    paths = ["/".join((*path, role)) for (path, role), _ in places]
    # The weights of a Sequential are named after it, unless it was used inside another model first.
    forms = [[f"{graph.name}/{path}" for path in paths], paths]
    if graph.class_name != "Sequential":
        forms.reverse()
    try:
        plan = _plan_in_stored_order(checkpoint, infos, forms)
    except (UnsupportedError, AmbiguousTargetError) as error:
        return None, [_not_converted(error)]
    except MismatchError as error:
        frozen = _frozen_models(checkpoint, places, forms) if graph.generation < 3 else ()
        if not frozen:
            raise
        # Keras starts its optimizer anew then.
        found = str(error).partition("\n")[0]
        names = ", ".join("/".join(path) for path in frozen)
        note = (
            f"the optimizer state is not converted: it is that of a model whose nested {names} was frozen, which the file "
            f"does not say: {found}"
        )
        return None, [note]
    return plan, list(plan.notes)


def _not_converted(error: UnsupportedError | AmbiguousTargetError) -> str:
    """Return the note on a state that stays behind, with what to do where there is something."""
    hint = f"; {error.hint}" if isinstance(error, AmbiguousTargetError) else ""
    return f"the optimizer state is not converted: {error}{hint}"


def _frozen_models(
    checkpoint: Checkpoint,
    places: Sequence[tuple[tuple[Path, str], ArrayInfo]],
    forms: Sequence[Sequence[str]],
) -> tuple[Path, ...]:
    """Return the fewest nested models without whose weights the optimizer's variables fit; () if there are none.

    Standalone Keras stores `trainable` for layers, not that a nested model as a whole was frozen (keras 2.2.4,
    engine/network.py, trainable_weights).
    """
    models = sorted({path[:depth] for (path, _), _ in places for depth in range(1, len(path))})
    choices = chain.from_iterable(
        combinations(models, count) for count in range(1, len(models) + 1)
    )
    for frozen in islice(choices, MAX_FROZEN_CHOICES):
        kept = [
            index
            for index, ((path, _), _) in enumerate(places)
            if not any(path[: len(model)] == model for model in frozen)
        ]
        infos = [places[index][1] for index in kept]
        with suppress(MismatchError, UnsupportedError, AmbiguousTargetError):
            if kept:
                _plan_in_stored_order(
                    checkpoint, infos, [[form[index] for index in kept] for form in forms]
                )
                return frozen
    return ()


def _is_left_behind(checkpoint: Checkpoint, state: OptimizerState) -> bool:
    """Return whether the format has no place for the optimizer's state (keras 2.15.0, optimizers/legacy: no save_own_variables)."""
    in_archive = checkpoint.provenance.format == "keras-archive"
    return in_archive and state.generation == 2 and state.legacy and not state.variables


def _plan_named(
    checkpoint: Checkpoint, graph: Graph, arrays: Arrays
) -> tuple[OptimizerPlan | None, list[str]]:
    """Return the plan for optimizers that name their weights, and notes."""
    try:
        plan = plan_named(
            checkpoint.optimizers, [info for _, info in trainable_arrays(graph, arrays)]
        )
    except UnsupportedError as error:
        return None, [f"the optimizer state is not converted: {error}"]
    return plan, list(plan.notes)


def _plan_in_own_order(
    state: OptimizerState, infos: Sequence[ArrayInfo]
) -> tuple[OptimizerPlan | None, list[str]]:
    """Return the plan for an optimizer that lists its weights, and notes; the model may have fewer of them."""
    names = [name for name, _ in state.weights]
    try:
        shapes = [(name, info.shape) for name, info in state.weights]
        plan = plan_optimizer(state, shapes, [names])
        if plan.partial or plan.in_keras_order:
            msg = f"{state.kind} keeps what it needs of a weight in forms of their own, and the file is a graph"
            raise UnsupportedError(msg)
        places = {info.name: place for place, (_, info) in enumerate(state.weights)}
        plan = selected_weights(plan, places, infos)
    except (UnsupportedError, AmbiguousTargetError, MismatchError) as error:
        reason = str(error).partition("\n")[0]
        return None, [f"the optimizer state is not converted: {reason}"]
    return plan, list(plan.notes)


def _plan_in_stored_order(
    checkpoint: Checkpoint, infos: Sequence[ArrayInfo], forms: Sequence[Sequence[str]]
) -> OptimizerPlan:
    """Return the plan for weights in the model's order, whatever the order their slots are stored in."""
    state = checkpoint.optimizer
    if state is None:
        msg = "the file has no optimizer"
        raise UnsupportedError(msg)
    mismatch: MismatchError | None = None
    if state.generation > 1:
        try:
            return plan_optimizer(state, [(info.name, info.shape) for info in infos], forms)
        except MismatchError as error:
            if state.generation > 2 or not state.legacy:
                raise
            mismatch = error  # the first releases of Keras 2 sorted as Keras 1 did
    ordered = by_name(infos, checkpoint.layers)
    try:
        plan = plan_optimizer(state, [(info.name, info.shape) for info in ordered])
    except MismatchError:
        if mismatch is not None:
            raise mismatch from None
        raise
    return in_model_order(plan, infos, ordered)


def plan_slots(
    plan: OptimizerPlan, graph: Graph, lowering: Lowering, arrays: Arrays
) -> tuple[Mapping[str, Move], ...]:
    """Return the optimizer's state by parameter, brought from Keras's order to the module's."""
    places = [place for place, _ in trainable_arrays(graph, arrays)]
    position = {place: index for index, place in enumerate(places)}
    slots = []
    for key in lowering.trainable:
        path, param = lowering.params[key]
        index = position[path, param.source]
        layout = Layout.parse(param.layout)
        found = plan.slots_of(index)
        slots.append(
            {
                slot: Move(info, f"{key}/{slot}", _slot_layout(plan, slot, layout))
                for slot, info in found.items()
            }
        )
    return tuple(slots)


def groups_in_order(
    plan: OptimizerPlan, graph: Graph, lowering: Lowering, arrays: Arrays
) -> tuple[OptimizerGroup, ...]:
    """Return the parameter groups with their places in the module's order, not Keras's."""
    if not plan.groups:
        return ()
    places = [place for place, _ in trainable_arrays(graph, arrays)]
    position = {place: index for index, place in enumerate(places)}
    order = [
        position[path, param.source]
        for path, param in (lowering.params[key] for key in lowering.trainable)
    ]
    return tuple(
        replace(
            group, places=tuple(here for here, there in enumerate(order) if there in group.places)
        )
        for group in plan.groups
    )


def _slot_layout(plan: OptimizerPlan, slot: str, layout: Layout) -> Layout:
    """Return the layout of a slot for a weight of `layout`."""
    dropped = plan.dropped_axes.get(slot)
    return layout if dropped is None else order_of_slot(layout, dropped)


def parameter_options(
    plan: OptimizerPlan, graph: Graph, lowering: Lowering, arrays: Arrays, notes: list[str]
) -> dict[str, object]:
    """Return the optimizer's options that have an entry for each trainable parameter, in the module's order."""
    places = trainable_arrays(graph, arrays)
    position = {place: index for index, (place, _) in enumerate(places)}
    layers = dict(leaves(graph))
    indices, orders, constraints = [], [], []
    for key in lowering.trainable:
        path, param = lowering.params[key]
        index = position[path, param.source]
        indices.append(index)
        orders.append(keras_order(Layout.parse(param.layout), places[index][1].shape))
        owner, role = layers[path].owner(param.source)
        setting = owner.config.get(f"{_setting_name(owner.class_name, role)}_constraint")
        constraints.append(find_constraint(setting, orders[-1]))
        if setting is not None and constraints[-1] is None:
            notes.append(f"{key}: its constraint is not converted: {setting!r:.60}")
    options: dict[str, object] = {
        name: [entries[index] for index in indices] for name, entries in plan.for_weights.items()
    }
    if tables := _row_wise(plan, graph, lowering):
        options["row_wise"] = tables
    if plan.in_keras_order and any(orders):
        options["keras_order"] = orders
    if any(constraints):
        options["constraints"] = constraints
        notes.append("constraints of weights act in the optimizer, after each step")
    notes += _note_repeated_rows(plan, graph, lowering)
    factors = regularization(graph, lowering, notes)
    return options | ({"regularization": factors} if factors else {})


def _row_wise(plan: OptimizerPlan, graph: Graph, lowering: Lowering) -> list[int]:
    """Return the places of embeddings that get a gradient for the rows of the batch only; a penalty acts on all rows."""
    if not plan.row_wise:
        return []
    layers = dict(leaves(graph))
    owners = [
        layers[path].owner(param.source)[0]
        for path, param in (lowering.params[key] for key in lowering.trainable)
    ]
    return [
        place
        for place, owner in enumerate(owners)
        if owner.class_name == "Embedding" and not owner.config.get("embeddings_regularizer")
    ]


def _note_repeated_rows(plan: OptimizerPlan, graph: Graph, lowering: Lowering) -> list[str]:
    """Return a note where Keras squares or clips gradients of a table's rows that come more than once in a batch.

    On TensorFlow they are slices, one for each time a row is looked up. Keras 3.15.1 squares them (Adamax: takes their absolute
    values) before they are added (optimizers/adam.py on an IndexedSlices); its other backends, Keras 2 and torch add them
    first. `clip_by_value` and the norms clip the slices before that, too (tensorflow 1.15.5 and 2.21, python/ops/clip_ops.py).
    """
    layers = dict(leaves(graph))
    tables = [
        "/".join(path)
        for path, _ in (lowering.params[key] for key in lowering.trainable)
        if layers[path].class_name == "Embedding"
    ]
    slots = (*plan.slots, *plan.partial) if graph.generation > 2 else ()
    words = ["clips"] if any(plan.options.get(name) for name in CLIPPING) else []
    words += dict.fromkeys(MEASURES[slot] for slot in slots if slot in MEASURES)
    done = " and ".join(words)
    if not tables or not done:
        return []
    alike = ", as Keras 2 did as a package of its own" if graph.generation == 2 else ""
    note = (
        f"rows of {', '.join(tables)} that come more than once in a batch: Keras on TensorFlow {done} the gradient of "
        f"each time by itself, torch that of their sum{alike}"
    )
    return [note]


def trainable_arrays(graph: Graph, arrays: Arrays) -> list[tuple[tuple[Path, str], ArrayInfo]]:
    """Return the arrays an optimizer of Keras has slots for, in its order."""
    return [
        ((path, weight.role), arrays[path][weight.role])
        for path, layer in leaves(graph)
        if layer.trainable
        for weight in stored_weights(layer)
        if weight.trainable
    ]


def regularization(graph: Graph, lowering: Lowering, notes: list[str]) -> list[list[float]] | None:
    """Return (l1, l2) of every trainable parameter, or None if no layer has a regularizer."""
    layers = dict(leaves(graph))
    factors = []
    for key in lowering.trainable:
        path, param = lowering.params[key]
        owner, role = layers[path].owner(param.source)
        setting = owner.config.get(f"{_setting_name(owner.class_name, role)}_regularizer")
        found = _penalty(setting)
        if found is None:
            notes.append(
                f"layer '{'/'.join(path)}': regularizer of '{param.source}' is not converted: {setting!r:.60}"
            )
        elif any(found):
            notes.append(f"{key}: its regularizer acts in the optimizer; do not add it to the loss")
        factors.append(list(found or (0.0, 0.0)))
    return factors if any(any(pair) for pair in factors) else None


def _setting_name(class_name: str, role: str) -> str:
    """Return what Keras's settings call a weight: "recurrent" for the recurrent kernel, others as they are."""
    own = role.rpartition("/")[2]
    if own == "kernel" and class_name.startswith("DepthwiseConv"):
        return "depthwise"
    return own.removesuffix("_kernel")


def _penalty(setting: object) -> tuple[float, float] | None:
    """Return l1 and l2 of a stored regularizer; (0, 0) for none, None for one of another form."""
    if setting is None:
        return 0.0, 0.0
    if isinstance(setting, Mapping):
        config = setting.get("config", setting)  # Keras 1 stored the numbers beside the name
        name = str(setting.get("class_name") or setting.get("name") or "")
        if isinstance(config, Mapping) and name in REGULARIZERS:
            l1, l2 = config.get("l1", 0.0), config.get("l2", 0.0)
            numbers = [value for value in (l1, l2) if isinstance(value, (int, float))]
            # Not NaN, and not an integer that is larger than any float.
            if len(numbers) == 2 and all(abs(value) <= sys.float_info.max for value in numbers):
                return float(numbers[0]), float(numbers[1])
    return None


def _stored_otherwise(weights: Sequence[ArrayInfo]) -> str | None:
    """Return why the slots in the file are not those of the weights, if they are not."""
    if any(is_unfolded(info) for info in weights):
        return "cuDNN's layers kept it in a layout of their own"
    if any(has_lora(info) for info in weights):
        return "it is that of LoRA's matrices, which are in the kernels now"
    return None
