"""Operations of the suite's graphs: gradients and steps of an agent's losses, assignments to its variables.

The torch side needs no such module but `agent_steps.py`: its losses are computed anew from every batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from experience.actor_critics import target_pairs
from legacy_tf.variables import get_vars

_SLOTS = {"Adam", "Adam_1", "RMSProp", "RMSProp_1"}
_SCOPES = ("main/", "target/", "rrd/", "normalizer/")


class GraphSteps(NamedTuple):
    """What a session runs to train.

    Attributes:
        steps: "pi", "q" or "joint" to figures and the operations of the step.
        figures: of both losses, by name.
        gradients: by variable name.
    """

    steps: dict[str, Any]
    figures: dict[str, tf.Tensor]
    gradients: dict[str, tf.Tensor]


class Assignments(NamedTuple):
    """What a session runs to set variables.

    Attributes:
        variables: by the original's names, without the optimizers'.
        writers: by the same names, placeholder and assignment.
        target_init: copies the trained networks into the targets.
        target_update: moves the targets.
    """

    variables: dict[str, Any]
    writers: dict[str, Any]
    target_init: Any
    target_update: Any


def create_steps(
    losses: Mapping[str, Any], optimizers: Mapping[str, Any], trained: Mapping[str, str]
) -> GraphSteps:
    """Return the operations for losses "pi" and "q", and for both at once.

    Args:
        losses: `actor_critic.Losses` by kind of step. Any: that module imports this one.
        optimizers: by name.
        trained: prefix of the variables by optimizer name.
    """
    graph = tf.compat.v1.get_default_graph()
    objectives = {name: each for kind in losses.values() for name, each in kind.objectives.items()}
    figures = {name: each for kind in losses.values() for name, each in kind.figures.items()}
    gradients = {
        name: optimizers[name].compute_gradients(objective, get_vars(graph, trained[name]))
        for name, objective in objectives.items()
    }
    kinds = {name: (each.objectives, each.figures) for name, each in losses.items()}
    steps = {
        kind: (reported, _apply(minimised, reported, optimizers, gradients))
        for kind, (minimised, reported) in {**kinds, "joint": (objectives, figures)}.items()
    }
    by_variable = {
        variable.op.name: gradient for pairs in gradients.values() for gradient, variable in pairs
    }
    return GraphSteps(steps, figures, by_variable)


def create_assignments(polyak: float) -> Assignments:
    """Return the operations for the variables of the default graph.

    Args:
        polyak: share of a target that stays in `target_update`.
    """
    variables = {
        variable.op.name: variable
        for variable in tf.compat.v1.global_variables()
        if variable.op.name.startswith(_SCOPES)
        and variable.op.name.rpartition("/")[2] not in _SLOTS
    }
    writers = {}
    for name, variable in variables.items():
        placeholder = tf.compat.v1.placeholder(variable.dtype, variable.shape)
        writers[name] = (placeholder, variable.assign(placeholder))
    pairs = [(variables[target], variables[main]) for target, main in target_pairs(variables)]
    return Assignments(
        variables,
        writers,
        tf.group(*(target.assign(main) for target, main in pairs)),
        tf.group(
            *(target.assign(polyak * target + (1.0 - polyak) * main) for target, main in pairs)
        ),
    )


def _apply(
    objectives: Mapping[str, Any],
    figures: Mapping[str, Any],
    optimizers: Mapping[str, Any],
    gradients: Mapping[str, Any],
) -> list[Any]:
    # Without this the order is open: TensorFlow may read a critic for the policy's gradient after its own step.
    read = [gradient for name in objectives for gradient, _ in gradients[name]]
    with tf.control_dependencies([*read, *figures.values()]):
        return [optimizers[name].apply_gradients(gradients[name]) for name in objectives]
