"""Checkpoints of TF-Agents' `common.Checkpointer`: the networks of the agent, by the attributes that hold them.

    agent/_q_network/_encoder/_postprocessing_layers/1/kernel, .../_q_value_layer/kernel     DQN; C51 has one more level
    agent/_actor_net/_encoder/..., .../_projection_networks/_means_projection_layer, _bias   PPO

The activations are arguments of the program. TF-Agents's own default is relu; for PPO its examples and the paper have
tanh. A policy that PolicySaver wrote says all this: convert that folder where there is one.
"""

from __future__ import annotations

import re

from converters.checkpoint import Checkpoint
from converters.stacks.dense import Dense, as_dense, chain_of
from converters.stacks.networks import Found, Network

ROOT = "agent/"
OUTPUTS = {
    "_q_network": "q", "_target_q_network": "target_q",
    "_value_net": "value", "_value_network": "value",
    "_actor_net": "squashed_mean", "_actor_network": "squashed_action", "_target_actor_network": "target_squashed_action",
}  # fmt: skip
"""What a network gives, by the attribute that holds it."""
HIDDEN = {"_actor_net": "tanh", "_value_net": "tanh"}
"""Activations where they are not relu: `_net` are PPO's names, others end in `_network`."""
SQUASHED = ("_actor_net", "_actor_network", "_target_actor_network")
"""Networks that end in tanh; what they give is in [-1, 1], for the bounds of actions are not in the file."""
CATEGORICAL = re.compile(r"/_q_network/_q_network/|/_target_q_network/_q_network/")
ATOMS = 51
"""Of C51, unless the number of outputs says otherwise."""


def find(checkpoint: Checkpoint) -> Found | None:
    """Return the networks of dense layers; None if it is no such checkpoint, or their order is not certain."""
    groups: dict[str, list[Dense]] = {}
    others = []
    for entry in checkpoint.layers:
        name = entry.path.removeprefix(ROOT).split("/")[0]
        layer = as_dense(entry)
        if not entry.path.startswith(ROOT) or name not in OUTPUTS:
            continue
        if layer is None:
            others.append(entry.path)
        else:
            groups.setdefault(name, []).append(layer)
    chains = {name: chain_of(group) for name, group in groups.items()}
    if not chains or any(chain is None for chain in chains.values()):
        return None
    networks = [_network(name, chain) for name, chain in sorted(chains.items()) if chain]
    used = frozenset(layer.path for network in networks for layer in network.layers)
    notes = [f"'{path}' is no dense layer and is left out" for path in others]
    if any("_observation_normalizer" in entry.path for entry in checkpoint.layers):
        notes.append(
            "the agent normalizes observations before its networks; the statistics are left out: convert the folder "
            "that PolicySaver wrote for the whole policy"
        )
    return Found(networks, used, tuple(notes))


def _network(name: str, chain: list[Dense]) -> Network:
    shape: tuple[int, ...] = ()
    output = OUTPUTS[name]
    if CATEGORICAL.search(f"/{chain[0].path}"):
        shape = _actions_and_atoms(chain[-1].sizes[1])
        output = "logits" if output == "q" else "target_logits"
    return Network(
        name.lstrip("_"),
        chain,
        output=output,
        hidden=HIDDEN.get(name, "relu"),
        last="tanh" if name in SQUASHED else "linear",
        trained=not name.startswith("_target"),
        shape=shape,
    )


def _actions_and_atoms(outputs: int) -> tuple[int, ...]:
    """Return how the outputs of C51 are arranged; as they are, if that is not certain."""
    if outputs % ATOMS == 0:
        return (outputs // ATOMS, ATOMS)
    splits = [
        (n, outputs // n) for n in range(2, outputs) if outputs % n == 0 and n <= outputs // n
    ]
    return splits[0] if len(splits) == 1 else ()
