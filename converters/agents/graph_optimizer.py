"""The optimizers of an agent whose checkpoint has the graph that trained it: their slots go along with the weights.

Which optimizer trains which variable is told by the graph's own operations, as for any other graph; what is trained by
none (target networks, heads that no loss uses) does not train in the module either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.architecture import Step
from converters.checkpoint import Program
from converters.errors import UnsupportedError
from converters.moves import Move
from converters.optimizers.by_name import plan_named
from converters.planned import Plan
from converters.readers.tensorflow.graph_def import GraphFile
from converters.tensorflow_graphs.optimizers import plan_named_optimizers
from converters.tensorflow_graphs.updates import trained_names
from converters.tensorflow_graphs.variables import Variables

NONE_IN_GRAPH = (
    "no optimizer state: the graph has no operations of an optimizer (those of mpi4py algorithms, PPO1, TRPO and DDPG, "
    "keep it outside of all variables, so no checkpoint has it)"
)
NATURAL = "no optimizer state: the agent was trained with K-FAC, whose statistics no optimizer of torch continues with"
_KFAC = "KFAC"
"""In the names of the variables that K-FAC keeps its statistics in."""


def with_optimizer(plan: Plan, program: Program) -> Plan:
    """Return the plan of an agent with the optimizers of its graph, or with a note on why there are none.

    Args:
        plan: of the agent's networks; its moves are in the order of the module's state dict.
        program: graph and variables of the checkpoint.
    """
    graph = program.graph
    if any(_KFAC in name for name in program.arrays) or _KFAC in " ".join(graph.nodes):
        return replace(plan, notes=(*plan.notes, NATURAL))
    variables = Variables.of(graph, program.arrays)
    trained = trained_names(graph)
    moves = [move for move in plan.moves if _node(graph, move.source.name) in trained]
    if not moves:
        return replace(plan, notes=(*plan.notes, NONE_IN_GRAPH))
    weights = [(_node(graph, move.source.name), move.source.name) for move in moves]
    optimizers, notes = plan_named_optimizers(graph, variables, weights)
    named = {name for optimizer in optimizers for name in optimizer.slots}
    moves = [move for move in moves if move.source.name in named]
    try:
        optimizer = plan_named(optimizers, [move.source for move in moves])
    except UnsupportedError as error:
        return replace(
            plan, notes=(*plan.notes, f"the optimizer state is not converted: {error}", *notes)
        )
    slots = tuple(
        {
            name: Move(array, f"{move.target}/{name}", move.layout)
            for name, array in optimizer.slots_of(place).items()
        }
        for place, move in enumerate(moves)
    )
    targets = tuple(move.target for move in moves)
    used = {each.source.name for found in slots for each in found.values()}
    architecture = replace(plan.architecture, steps=_frozen(plan.architecture.steps, targets))
    return replace(
        plan,
        architecture=architecture,
        optimizer=optimizer,
        slots=slots,
        parameters=targets,
        ignored=tuple((name, reason) for name, reason in plan.ignored if name not in used),
        notes=(*plan.notes, *notes, *optimizer.notes),
    )


def _node(graph: GraphFile, stored: str) -> str:
    """Return the node of a variable; savers store it under its own name."""
    return stored if stored in graph.nodes else stored.partition(":")[0]


def _frozen(steps: Sequence[Step], trained: Sequence[str]) -> tuple[Step, ...]:
    """Return the steps; layers none of whose parameters train are frozen."""
    owners = {name.rpartition(".")[0] for name in trained}
    return tuple(
        step
        if step.attribute is None or not step.state or _owns(step.attribute, owners)
        else replace(step, frozen=True)
        for step in steps
    )


def _owns(attribute: str, owners: set[str]) -> bool:
    return any(owner == attribute or owner.startswith(f"{attribute}.") for owner in owners)
