"""The RL libraries whose agents are converted: one module and one line each."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol, cast

from converters.agents.facts import AgentFacts
from converters.agents.graph_hints import read_hints
from converters.agents.graph_optimizer import with_optimizer
from converters.agents.network import AgentNetwork
from converters.agents.rrd import plan_agent as plan_rrd_agent
from converters.agents.training import (
    STATED,
    Training,
    frozen_steps,
    optimizers_by_name,
    plain_name,
    plan_training,
)
from converters.architecture import ActionRule
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import UnsupportedError
from converters.planned import Plan

LIBRARIES: Mapping[str, str] = {
    "stable-baselines": "converters.agents.stable_baselines.agent",
    "baselines": "converters.agents.baselines",
    "unnamed": "converters.agents.unnamed",
    "vec-normalize": "converters.agents.stable_baselines.normalizer",
    "rllib": "converters.agents.rllib",
    "tf-agents": "converters.agents.tf_agents",
}
"""Library to the module that knows its variables."""


TITLES: Mapping[str, str] = {
    "stable-baselines": "stable-baselines 2",
    "baselines": "OpenAI baselines",
    "vec-normalize": "stable-baselines 2",
    "rllib": "RLlib",
    "tf-agents": "TF-Agents",
}
"""Libraries as they are called; arrays without names may be of several."""
READ: Mapping[str, str] = {
    "stable-baselines 2": "DQN, PPO1, PPO2, A2C, ACER, ACKTR, TRPO, GAIL, SAC, TD3, DDPG; VecNormalize; --to sb3, --into",
    "OpenAI baselines": "deepq, ppo2, a2c, ddpg; lists of arrays without names",
    "RRD": "SAC, TD3, DDPG, DQN, return decomposition",
    "d3rlpy": "agents listed in docs/offline-rl.md",
    "RLlib": "policies of TensorFlow in its pickles, on vectors and images, with and without LSTM",
    "TF-Agents": "checkpoints of agents and policies: DQN, C51, PPO, REINFORCE, DDPG, TD3, SAC, also recurrent; policies of PolicySaver",
    "Dopamine": "DQN, C51, Rainbow; IQN with its quantiles as an input",
    "Sonnet": "checkpoints of its networks",
    "keras-rl, keras-rl2": "weights of DQN, SARSA, CEM, DDPG and NAF, with --architecture",
}
"""What is read of each library, for people."""


class Library(Protocol):
    """What such a module has."""

    def recognizes(self, names: Collection[str]) -> bool:
        """Tell whether variables have the library's names."""
        ...

    def plan(
        self, arrays: Mapping[str, ArrayInfo], facts: AgentFacts
    ) -> tuple[AgentNetwork, ActionRule | None, str]:
        """Return the networks of an agent, how it acts, and its class name."""
        ...


def find_library(names: Collection[str]) -> str | None:
    """Return the library whose variables have such names."""
    return next((name for name in LIBRARIES if _module(name).recognizes(names)), None)


def library_of(checkpoint: Checkpoint) -> str | None:
    """Return what the library is called whose agent a checkpoint without a graph holds; None: it is none that is known."""
    stated = checkpoint.agent.library if checkpoint.agent is not None else ""
    return TITLES.get(stated or find_library(named_arrays(checkpoint)) or "")


def _module(name: str) -> Library:
    return cast("Library", importlib.import_module(LIBRARIES[name]))


def named_arrays(checkpoint: Checkpoint) -> dict[str, ArrayInfo]:
    """Return the variables of a checkpoint that has no graph, by their names without ":0"."""
    return {
        "/".join(part for part in (entry.path, role) if part): array
        for entry in checkpoint.layers
        for role, array in entry.arrays.items()
    }


def plan_agent(checkpoint: Checkpoint) -> Plan:
    """Return the plan of an agent of a library, or of the RRD suite.

    Raises:
        UnsupportedError: Its variables have other names.
        MismatchError: Variables are missing or of another shape.
    """
    facts = checkpoint.agent or AgentFacts("", in_order=False)
    if facts.library or find_library(named_arrays(checkpoint)) is not None:
        if checkpoint.program is None:
            return plan_library_agent(checkpoint, facts)
        program = checkpoint.program()
        facts = replace(facts, graph=read_hints(program.graph))
        return with_optimizer(plan_library_agent(checkpoint, facts), program)
    return plan_rrd_agent(checkpoint)


def plan_library_agent(checkpoint: Checkpoint, facts: AgentFacts) -> Plan:
    """Return the plan of an agent of one of the libraries.

    Raises:
        UnsupportedError: Its variables have other names.
        MismatchError: Variables are missing or of another shape.
    """
    arrays = named_arrays(checkpoint)
    library = facts.library if facts.library in LIBRARIES else find_library(arrays)
    if library is None:
        shown = ", ".join(list(arrays)[:4])
        msg = f"its {len(arrays)} variables ({shown}, ...) are those of no library that is known"
        raise UnsupportedError(
            msg, hint="--into my_module.py:Net --map names.toml gives every variable its place"
        )
    network, rule, name = _module(library).plan(arrays, facts)
    training = _training(network, checkpoint, arrays, facts)
    network.steps = frozen_steps(network.steps, training.frozen)
    dtypes = {str(move.source.dtype) for move in network.moves}
    dtype = "float64" if dtypes == {"float64"} else "float32"
    architecture = network.architecture(name, rule, dtype)
    ignored = dict(network.ignored)
    for array_name in arrays:
        if array_name not in network.moved:
            ignored.setdefault(array_name, "belongs to no network of the policy")
    ignored |= {array.name: "state of an optimizer" for array in checkpoint.extras}
    if checkpoint.optimizer is not None:
        ignored |= {array.name: "state of an optimizer" for array in checkpoint.optimizer.variables}
    ignored = {n: why for n, why in ignored.items() if plain_name(n) not in training.used}
    unread = (f"not read (code): {part}, {what}" for part, what in facts.unread)
    notes = [*checkpoint.notes, *network.notes, *unread, *training.notes]
    return Plan(
        architecture=architecture,
        moves=tuple(network.moves),
        optimizer=training.optimizer,
        slots=training.slots,
        parameters=training.parameters,
        ignored=tuple(ignored.items()),
        notes=tuple(notes),
        origins=tuple(
            tuple(step.attribute.split(".")) if step.attribute else ()
            for step in architecture.steps
        ),
        roles={
            move.target: (tuple(move.target.split(".")[:-1]), move.target.rpartition(".")[2])
            for move in network.moves
        },
        assumed=tuple(network.assumed),
    )


def _training(
    network: AgentNetwork,
    checkpoint: Checkpoint,
    arrays: Mapping[str, ArrayInfo],
    facts: AgentFacts,
) -> Training:
    """Return how the agent's training goes on by the file's own optimizers or the names of slots, without a graph."""
    if checkpoint.program is not None:
        return Training()
    if checkpoint.optimizers:
        return plan_training(network, checkpoint.optimizers)
    stated = {name: facts.given[name] for name in STATED if name in facts.given}
    weights = [move.source for move in network.moves]
    entries = {**arrays, **{array.name: array for array in checkpoint.extras}}
    found, notes = optimizers_by_name(entries, weights, {**network.training, **stated})
    training = plan_training(network, found)
    return replace(training, notes=(*training.notes, *notes))
