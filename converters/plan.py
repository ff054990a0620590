"""The plan: which array goes where, by which layout, into which torch module. Data only; nothing is moved here.

A plan is complete or it is not made: every array of the file is moved once or ignored with a reason, every parameter
of the module is filled once, every shape fits. All problems of a file are reported together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from converters.agents.saved_policies import as_saved_agent
from converters.architecture import Architecture
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import ConversionError, MismatchError, UnsupportedError, placed
from converters.graph import Graph
from converters.json_text import parse_json
from converters.layouts import Layout
from converters.limits import Limits
from converters.loss_names import unstored_options
from converters.lowering import Lowering, lower_model, with_input_shape
from converters.lowering.dtypes import as_declared
from converters.lowering.problems import check_rules, joined, unknown_activations
from converters.matching.groups import Matched, match_arrays, match_equal_layers
from converters.matching.model_weights import Path, leaves
from converters.matching.parts_of_models import only_named_part
from converters.matching.stored_forms import settle_forms
from converters.matching.stored_quantization import graph_as_stored, notes_on_rounding
from converters.matching.thawing import all_thawed, thawed
from converters.moves import Move
from converters.optimizers.plan import OptimizerPlan
from converters.optimizers.training_state import (
    groups_in_order,
    parameter_options,
    plan_optimizer_state,
    plan_slots,
)
from converters.passes.input_layout import CHANNELS_FIRST, CHANNELS_LAST, has_images
from converters.planned import Plan
from converters.stacks import assume_stack

_NO_OPTIMIZER = (
    "the optimizer state is not converted: neither its class nor its learning rate is in the file"
)

_LIKELY_SHARED = (
    "equal layers with equal arrays lie in several nested models and become layers of each, as when Keras loads the file; "
    "whether they were one object of Keras, which all of them train, it does not say: "
)


def plan_conversion(checkpoint: Checkpoint) -> Plan:
    """Return the plan for a checkpoint with a graph. Messages of errors start with the file's name.

    Raises:
        UnsupportedError: The file has no architecture, or layers without a rule (all are listed).
        MismatchError: Arrays and architecture do not belong together.
    """
    with placed(checkpoint.provenance.file):
        return _plan(checkpoint)


def _plan(checkpoint: Checkpoint) -> Plan:
    if checkpoint.provenance.format == "d3rlpy-model":
        # Here and not above, as the other: few files are agents, and what reads them takes its time.
        from converters.agents.d3rlpy import plan_agent as plan_d3rlpy_agent

        return plan_d3rlpy_agent(checkpoint)
    if checkpoint.graph is None and (
        checkpoint.agent is not None or checkpoint.provenance.format == "tf1-checkpoint"
    ):
        from converters.agents.libraries import plan_agent

        return plan_agent(checkpoint)
    return _plan_graph(checkpoint)


def _plan_graph(checkpoint: Checkpoint) -> Plan:
    """Return the plan of a model: of the graph in the file, or of what its arrays can only be."""
    graph = checkpoint.graph
    assumed: tuple[str, ...] = ()
    if graph is None:
        checkpoint, graph, assumed = _assumed(checkpoint)
    check_rules(graph)
    checkpoint = only_named_part(checkpoint, graph)
    matched = _settled(match_arrays(graph, checkpoint.layers), checkpoint)
    matched, optimizer, notes = _plan_optimizer(checkpoint, graph, matched, sure=not assumed)
    graph = matched.graph
    lowering = Lowering(None if optimizer is None else optimizer.read_iterations())
    architecture = lower_model(with_input_shape(graph, matched.arrays), lowering)
    if lowering.problems:
        raise joined([*lowering.problems, *unknown_activations(graph)])
    architecture = as_saved_agent(architecture, checkpoint.provenance.details.get("kind"))
    notes = [*checkpoint.notes, *notes, *lowering.notes, *notes_on_rounding(graph)]
    notes += unstored_options((checkpoint.training or {}).get("loss"))
    moves = _plan_moves(lowering, matched.arrays)
    ignored = [
        *matched.ignored,
        *(
            (info.name, "belongs to no layer: a metric or a bare variable")
            for info in checkpoint.extras
        ),
    ]
    ignored += _uncalled(matched.arrays, moves)
    slots: tuple[Mapping[str, Move], ...] = ()
    if optimizer is not None:
        slots = plan_slots(optimizer, graph, lowering, matched.arrays)
        ignored += [(info.name, reason) for info, reason in optimizer.ignored]
        further = parameter_options(optimizer, graph, lowering, matched.arrays, notes)
        optimizer = replace(
            optimizer,
            options={**optimizer.options, **further},
            groups=groups_in_order(optimizer, graph, lowering, matched.arrays),
        )
    elif checkpoint.optimizer is not None:
        ignored += [(info.name, notes[0]) for info in checkpoint.optimizer.variables]
    return Plan(
        architecture=architecture,
        moves=moves,
        optimizer=optimizer,
        slots=slots,
        parameters=tuple(lowering.trainable),
        ignored=tuple(ignored),
        notes=tuple(notes),
        origins=tuple(lowering.origins),
        roles={key: (path, param.source) for key, (path, param) in lowering.params.items()},
        input_layout=_input_layout(graph, architecture),
        assumed=assumed,
        twins=matched.twins,
    )


def _settled(matched: Matched, checkpoint: Checkpoint) -> Matched:
    """Return the arrays and the graph with what the layers say of the arrays, and the other way round."""
    arrays = as_declared(matched.graph, matched.arrays)
    graph = graph_as_stored(matched.graph, arrays)
    return replace(matched, arrays=arrays, graph=settle_forms(graph, arrays, checkpoint))


def _plan_optimizer(
    checkpoint: Checkpoint, graph: Graph, matched: Matched, *, sure: bool
) -> tuple[Matched, OptimizerPlan | None, list[str]]:
    """Return what becomes of the optimizer, and notes; for networks that were assumed, only what is beyond doubt.

    A state that fits nothing stays behind: the weights have been matched by then, and convert without it. The graph comes
    back with the layers as trainable, and as one, as the optimizer's slots show them to be.
    """
    equal = match_equal_layers(graph, checkpoint.layers, matched)
    notes = [] if equal is None else [_LIKELY_SHARED + _names_of_one(matched, equal)]
    try:
        optimizer, further = plan_optimizer_state(checkpoint, matched.graph, matched.arrays)
        if optimizer is not None:
            optimizer.read_iterations()
            if optimizer.slots or optimizer.partial:
                notes = []  # of each there are as many as of the layers
    except MismatchError as error:
        if equal is not None:
            equal = _settled(equal, checkpoint)
            with suppress(ConversionError):
                return (
                    equal,
                    *plan_optimizer_state(checkpoint, equal.graph, equal.arrays),
                )
        if (found := _plan_thawed(checkpoint, matched.graph, matched.arrays)) is not None:
            return replace(matched, graph=found[0]), *found[1:]
        return matched, None, [*notes, _left_behind(error)]
    except ConversionError as error:
        return matched, None, [*notes, _left_behind(error)]
    if sure or optimizer is None or optimizer.learning_rate is not None:
        return matched, optimizer, [*notes, *further]
    return matched, None, [_NO_OPTIMIZER]


def _names_of_one(matched: Matched, equal: Matched) -> str:
    """Return the names of the layers that are not by themselves in `equal`."""
    return ", ".join("/".join(path) for path in matched.arrays if path not in equal.arrays)


def _left_behind(error: ConversionError) -> str:
    """Return the note on a state that is not converted, with the first of what does not fit."""
    reason, *details = str(error).splitlines()
    first = f": {' '.join(details[0].split())}" if details else ""
    return f"the optimizer state is not converted: {reason}{first}"


def _plan_thawed(
    checkpoint: Checkpoint, graph: Graph, arrays: Mapping[Path, Mapping[str, ArrayInfo]]
) -> tuple[Graph, OptimizerPlan | None, list[str]] | None:
    """Return the same with layers that are frozen by their configuration only, or None if that does not fit either."""
    if graph.generation < 3:
        return None
    for thaw in (thawed, all_thawed):
        other = replace(graph, layers=tuple(map(thaw, graph.layers)))
        names = [
            "/".join(path)
            for (path, layer), (_, changed) in zip(leaves(graph), leaves(other), strict=True)
            if layer != changed
        ]
        if not names:
            continue
        try:
            optimizer, notes = plan_optimizer_state(checkpoint, other, arrays)
        except MismatchError:
            continue
        note = f"trains, as in Keras, which was given trainable=False too late: {', '.join(names)}"
        return other, optimizer, [note, *notes]
    return None


def _assumed(checkpoint: Checkpoint) -> tuple[Checkpoint, Graph, tuple[str, ...]]:
    """Return weights without an architecture as a chain of dense layers, if they can be nothing else.

    Raises:
        UnsupportedError: They can be something else, or the file says that the architecture is the user's code.
    """
    stored = checkpoint.stored.configuration if checkpoint.stored else None
    whole = parse_json(stored, what="model configuration", limits=Limits()) if stored else None
    if isinstance(whole, Mapping):
        name = whole.get("class_name")
        msg = f"model class '{name!s:.80}' is not one of Keras's own; its structure is code, which is not in the file"
        hint = "give an equivalent Functional configuration with --architecture, or your module with --into"
        raise UnsupportedError(msg, hint=hint)
    found = assume_stack(checkpoint)
    if found is None or found[0].graph is None:
        msg = "holds weights only, without the architecture they belong to"
        hint = (
            "give the model's configuration: --architecture config.json (model.to_json()); for a subclassed model your "
            "own module: --into my_networks.py:QNetwork"
        )
        raise UnsupportedError(msg, hint=hint)
    stack, assumed = found
    return stack, found[0].graph, assumed


def _input_layout(graph: Graph, architecture: Architecture) -> str | None:
    """Return how images come in, by what the layers say of their data."""
    if not has_images(architecture):
        return None
    formats = {layer.config.get("data_format") for _, layer in leaves(graph)}
    return CHANNELS_FIRST if "channels_first" in formats else CHANNELS_LAST


def _uncalled(
    arrays: Mapping[Path, Mapping[str, ArrayInfo]], moves: Sequence[Move]
) -> list[tuple[str, str]]:
    moved = {move.source.name for move in moves}
    return [
        (info.name, f"layer '{'/'.join(path)}' is never called")
        for path, found in arrays.items()
        for info in found.values()
        if info.name not in moved
    ]


def _plan_moves(
    lowering: Lowering, arrays: Mapping[Path, Mapping[str, ArrayInfo]]
) -> tuple[Move, ...]:
    moves, problems = [], []
    for key, (path, param) in lowering.params.items():
        info = arrays[path][param.source]
        needed = param.shape
        fits = len(info.shape) == len(needed) and all(
            size in (None, found) for size, found in zip(needed, info.shape, strict=True)
        )
        if fits:
            moves.append(Move(info, key, Layout.parse(param.layout)))
        else:
            problems.append(f"{info.name:40} found {info.shape}   needed {needed}")
    if problems:
        listed = "\n  ".join(problems)
        msg = f"{len(problems)} of {len(lowering.params)} arrays do not fit:\n  {listed}"
        raise MismatchError(msg, hint="is the right --architecture given?")
    return tuple(moves)
