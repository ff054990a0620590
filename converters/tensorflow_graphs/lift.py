"""A graph of TensorFlow as a network of layers: the entry to this package.

    program = checkpoint.program()                  what a reader found: graph and arrays
    checkpoint = lift(checkpoint, inputs, outputs)  the same checkpoint with layers, weights and optimizer state

From there a conversion goes the way of every Keras file: plan, build, emit, write, report, verify. `inputs` and `outputs`
are names of tensors, or mappings of names to them (`choose.choose`). Other readers may call `lift_program` with a
`Program` of their own making.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, NamedOptimizer, Program
from converters.errors import ConversionError, UnsupportedError, UsageError, placed
from converters.graph import Graph
from converters.tensorflow_graphs.builder import GraphBuilder
from converters.tensorflow_graphs.choose import Choice, ChosenInput, Names, choose
from converters.tensorflow_graphs.conditions import settle_conditions
from converters.tensorflow_graphs.dilated import dilated_convolutions
from converters.tensorflow_graphs.distributions import with_distributions, without_draws
from converters.tensorflow_graphs.flatten import INPUT, FlatGraph, FlatNode, flatten
from converters.tensorflow_graphs.frames import join_loops
from converters.tensorflow_graphs.fused_layer_norm import join_fused_layer_norms
from converters.tensorflow_graphs.moving_averages import momenta
from converters.tensorflow_graphs.optimizers import plan_named_optimizers
from converters.tensorflow_graphs.repeated_weights import repeated_weights
from converters.tensorflow_graphs.simplify import pruned, replaced, without_copies
from converters.tensorflow_graphs.translate import translate
from converters.tensorflow_graphs.updates import trained_names
from converters.tensorflow_graphs.values import Ref, Tensor, Weights
from converters.tensorflow_graphs.variables import AVERAGE, VARIABLES, Variables


@dataclass(frozen=True, slots=True)
class Lifted:
    """A network made of a graph.

    Attributes:
        graph: in the words of Keras 3.
        layers: the weights by layer.
        choice: what inputs and outputs were chosen.
        optimizers: that the graph trains the weights with.
        notes: what a user should know.
        repeats: whether numbers of a variable that trains are in several places of the module.
    """

    graph: Graph
    layers: Sequence[LayerArrays]
    choice: Choice
    optimizers: tuple[NamedOptimizer, ...]
    notes: tuple[str, ...]
    repeats: bool = False


def lift(checkpoint: Checkpoint, inputs: Names = None, outputs: Names = None) -> Checkpoint:
    """Return a checkpoint with its graph as layers. Messages of errors start with the file's name.

    Args:
        checkpoint: with a `program`.
        inputs: names of tensors, see `choose`.
        outputs: the same.

    Raises:
        UnsupportedError: The file holds no graph, or operations without a rule (all are listed).
        AmbiguousTargetError: Outputs must be named; candidates are listed.
        MismatchError: Names that are not in the graph, variables without a value.
    """
    with placed(checkpoint.provenance.file):
        if checkpoint.program is None:
            msg = "holds no graph of TensorFlow, so --inputs and --outputs say nothing"
            raise UsageError(msg, hint="leave them out")
        program = checkpoint.program()
        state = checkpoint.optimizer
        trained = [] if state is None else [array.name for _, array in state.weights]
        lifted = lift_program(program, inputs, outputs, trained=trained)
    return replace(
        checkpoint,
        graph=lifted.graph,
        layers=lifted.layers,
        optimizer=state if trained and not lifted.optimizers and not lifted.repeats else None,
        optimizers=lifted.optimizers,
        extras=_left_over(program, lifted),
        training=None,
        notes=(*checkpoint.notes, *lifted.notes),
    )


def lift_program(
    program: Program,
    inputs: Names = None,
    outputs: Names = None,
    *,
    trained: Collection[str] = (),
) -> Lifted:
    """Return the network of a graph from `inputs` to `outputs`; raises as `lift` does.

    Args:
        program: graph and arrays.
        inputs: see `lift`.
        outputs: see `lift`.
        trained: names of the arrays that an optimizer beside the graph trains; empty: the graph says it.
    """
    choice = choose(program.graph, inputs, outputs)
    drawn: tuple[str, ...] = ()
    if choice.optional and choice.names:
        choice, drawn = with_distributions(program.graph, choice)
    lifted = _lifted_if_possible(program, choice, trained)
    return replace(lifted, notes=(*drawn, *lifted.notes))


def _lifted_if_possible(program: Program, choice: Choice, trained: Collection[str]) -> Lifted:
    """Return the network, without outputs that nobody asked for by name and that cannot be converted."""
    try:
        return _lifted(program, choice, trained)
    except UnsupportedError:
        if not choice.optional or len(choice.outputs) < 2:
            raise
        kept, reasons = _convertible(program, choice, trained)
        if not kept:
            raise
        names = tuple(choice.names[place] for place in kept) if choice.names else ()
        smaller = replace(
            choice, outputs=tuple(choice.outputs[place] for place in kept), names=names
        )
        lifted = _lifted(program, smaller, trained)
        return replace(lifted, notes=(*reasons, *lifted.notes))


def _convertible(
    program: Program, choice: Choice, trained: Collection[str]
) -> tuple[list[int], list[str]]:
    """Return which outputs convert on their own, and a note for each that does not."""
    kept, notes = [], []
    for place, output in enumerate(choice.outputs):
        name = choice.names[place] if choice.names else output[0]
        try:
            one = replace(choice, outputs=(output,), names=choice.names[place : place + 1])
            _lifted(program, one, trained)
        except ConversionError as error:
            notes.append(f"output '{name}' is left out: {error}")
        else:
            kept.append(place)
    return kept, notes


def _lifted(program: Program, choice: Choice, stored: Collection[str]) -> Lifted:
    graph = program.graph
    flat, targets = flatten(graph, choice.outputs, [each.ref for each in choice.inputs])
    flat, assumed = settle_conditions(flat, graph)
    flat = join_loops(pruned(flat, targets))
    flat, targets = without_copies(pruned(flat, targets), targets)
    flat, targets, choice, drawn = without_draws(flat, targets, choice)
    flat = pruned(flat, targets)
    flat = join_fused_layer_norms(dilated_convolutions(flat, targets))
    flat, targets, notes = replaced(flat, targets)
    variables = Variables.of(graph, program.arrays)
    variables.settle(flat)
    builder = GraphBuilder()
    chosen, idle = _needed(flat, choice)
    begins = _begin(builder, flat, chosen, variables)
    _check_inputs(flat)
    names = dict(zip(targets, choice.names, strict=True)) if choice.names else {}
    names = {ref: name for ref, name in names.items() if ref not in begins}
    common = _common_scope(flat)

    trained = trained_names(graph)
    used: dict[str, str] = {}

    def weights(node: FlatNode) -> Weights:
        found = variables.weights(node)
        # Where the graph has optimizers they say what trains: a target network does not.
        trainable = found.trainable and (not trained or node.name in trained)
        trainable = trainable and (not stored or found.array.name in stored)
        if trainable:
            used.setdefault(node.name, found.array.name)
        return replace(found, variable=found.variable.removeprefix(common), trainable=trainable)

    results, further = translate(
        flat,
        targets,
        graph=graph,
        builder=builder,
        variables=weights,
        inputs=begins,
        names=names,
        momenta=momenta(graph, variables),
    )
    missing = [each for each in chosen if each.ref[0] not in graph.nodes]
    notes = [
        *program.notes,
        *drawn,
        *(f"input '{each.key}' is left out: no output needs it" for each in idle),
        *(f"input '{each.key}' is not in the graph: the argument is not used" for each in missing),
        *(f"'{name}' is taken for false: the network as it is at inference" for name in assumed),
        *notes,
        *further,
    ]
    if variables.averaged:
        listed = ", ".join(sorted(variables.averaged)[:3])
        notes.append(
            f"moving averages ({AVERAGE[1:]}) stand in for variables that the file does not hold: {listed}"
        )
    if variables.by_shape:
        listed = ", ".join(f"{name} from {stored}" for name, stored in variables.by_shape.items())
        notes.append(
            f"the file names no variable of the graph; assigned by shape, which leaves no choice: {listed}"
        )
    network = builder.graph("network", results, choice.names)
    layers = builder.arrays()
    optimizers, about = plan_named_optimizers(graph, variables, list(used.items()))
    repeated = [name for name in repeated_weights(layers) if name in {*used.values(), *stored}]
    if repeated:
        listed = ", ".join(repeated[:3])
        text = f"numbers of {listed} are in several places of the module, which torch trains each by itself"
        optimizers, about = [], [f"{text}: the optimizer state is not converted"]
    return Lifted(network, layers, choice, tuple(optimizers), (*notes, *about), bool(repeated))


def _needed(flat: FlatGraph, choice: Choice) -> tuple[list[ChosenInput], list[ChosenInput]]:
    """Return the inputs of the network, and those of a signature that none of its outputs needs."""
    met = {node.settings["tensor"] for node in flat.values() if node.op == INPUT}
    needed = [each for each in choice.inputs if choice.idle or each.ref in met]
    if not needed:
        return list(choice.inputs), []
    return needed, [each for each in choice.inputs if each not in needed]


def _common_scope(flat: FlatGraph) -> str:
    """Return the scopes that the names of all variables begin with: they say nothing."""
    scopes = [name.rpartition("/")[0] for name, node in flat.items() if node.op in VARIABLES]
    # A layer keeps its own name: what is common to the kernel and the bias of one layer is not taken away.
    parents = [scope.split("/")[:-1] for scope in scopes]
    shared: list[str] = []
    for level in zip(*parents, strict=False) if len(set(scopes)) > 1 else ():
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "".join(f"{part}/" for part in shared)


def _begin(
    builder: GraphBuilder, flat: FlatGraph, inputs: Sequence[ChosenInput], variables: Variables
) -> dict[Ref, Tensor]:
    """Add the inputs to the network, also those that no output needs; return them by their node."""
    found: dict[Ref, Tensor] = {}
    by_tensor = {node.settings["tensor"]: node.name for node in flat.values() if node.op == INPUT}
    for each in inputs:
        name = by_tensor.get(each.ref)
        shape = each.shape if each.shape is not None else _guessed(flat, name, variables)
        tensor = builder.input(each.key, shape, each.dtype, each.key)
        builder.is_single |= each.is_single
        if name is not None:
            if shape is None:
                msg = f"input '{each.key}' has no stated number of axes in the graph"
                raise UnsupportedError(
                    msg, hint="choose a tensor behind it with --inputs, whose shape is stated"
                )
            found[name, 0] = tensor
    return found


def _guessed(
    flat: FlatGraph, name: str | None, variables: Variables
) -> tuple[int | None, ...] | None:
    """Return the shape of an input of unknown rank by the kernel it meets first; None if it meets none."""
    for node in flat.values():
        if node.op == "MatMul" and len(node.inputs) == 2 and node.inputs[0] == (name, 0):
            kernel = flat[node.inputs[1][0]]
            array: ArrayInfo | None = (
                variables.array(kernel.name) if kernel.op in VARIABLES else None
            )
            if array is not None and len(array.shape) == 2:
                return (None, array.shape[0])
    return None


def _check_inputs(flat: FlatGraph) -> None:
    """Refuse placeholders that were not chosen, all at once."""
    left = [node.name for node in flat.values() if node.op in ("Placeholder", "PlaceholderV2")]
    if left:
        listed = ", ".join(f"{name[:200]}:0" for name in left[:8])
        msg = f"the outputs depend on {len(left)} placeholders that are not among the inputs: {listed}"
        raise UnsupportedError(msg, hint="add them to --inputs, or choose other outputs")


def _left_over(program: Program, lifted: Lifted) -> list[ArrayInfo]:
    """Return what of the file is neither in a layer nor in an optimizer."""
    used = {array.name for entry in lifted.layers for array in entry.arrays.values()}
    used |= {
        slot.name
        for optimizer in lifted.optimizers
        for slots in optimizer.slots.values()
        for slot in slots.values()
    }
    return [array for array in program.arrays.values() if array.name not in used]
