"""Files of weights with nothing but dense layers: one chain of them, or several on one observation."""

from __future__ import annotations

import re

from converters.checkpoint import Checkpoint, LayerArrays
from converters.stacks.dense import Dense, as_dense, chain_of, is_counter
from converters.stacks.networks import Found, Network

OUTPUT_NAMES = {
    "q_network": "q", "q_net": "q", "online": "q", "online_network": "q",
    "target_network": "target_q", "target_net": "target_q", "target": "target_q", "target_q_network": "target_q",
    "policy_network": "policy", "value_network": "value",
}  # fmt: skip
"""What a network computes, by the usual names of the attribute that holds it; others keep their own."""
_LAMBDA = re.compile(r"lambda(_\d+)?")
_PASSIVE = re.compile(r"(flatten|activation|input|dropout|\w+_input)(_\d+)?")
"""Names that Keras gives to layers without weights that leave numbers as they are, up to the activation."""


def find(checkpoint: Checkpoint) -> Found | None:
    """Return the chains; None if anything else than dense layers is in the file, or their order is not certain."""
    entries = [entry for entry in checkpoint.layers if not is_counter(entry)]
    passive = [entry.path for entry in entries if not entry.arrays]
    layers = [as_dense(entry) for entry in entries if entry.arrays]
    dense = [layer for layer in layers if layer is not None]
    if not dense or len(dense) < len(layers):
        return None
    chain = chain_of(dense)
    dueling = bool(entries and not entries[-1].arrays and _LAMBDA.fullmatch(entries[-1].path))
    if dueling:
        passive.remove(entries[-1].path)
    if any(not _PASSIVE.fullmatch(path.rsplit("/", 1)[-1]) for path in passive):
        return None
    flattens = any("flatten" in path for path in passive)
    if dueling:
        return None if chain is None else _dueling(chain, entries, flattens)
    networks = [Network("", chain, flattens=flattens)] if chain else _side_by_side(dense, flattens)
    used = frozenset(layer.path for layer in dense)
    return Found(networks, used) if networks else None


def _dueling(chain: list[Dense], entries: list[LayerArrays], flattens: bool) -> Found | None:
    """Return a DQN of keras-rl with dueling: the last layer has a column more than there are actions.

    It lies on the layer that gave the action values before, without an activation in between.
    """
    paths = [entry.path for entry in entries]
    if chain[-1].sizes[1] < 2 or len(chain) < 2:
        return None
    before = chain[-2].path
    follows = paths.index(chain[-1].path) == paths.index(before) + 1
    plain = (
        frozenset({before})
        if follows and chain[-1].sizes[1] == chain[-2].sizes[1] + 1
        else frozenset()
    )
    network = Network("", chain, flattens=flattens, plain=plain, dueling=True)
    return Found([network], frozenset(layer.path for layer in chain))


def _side_by_side(layers: list[Dense], flattens: bool) -> list[Network]:
    """Return a network for every attribute of the root that holds layers; empty if one of them is no chain."""
    groups: dict[str, list[Dense]] = {}
    for layer in layers:
        name, slash, _ = layer.path.partition("/")
        if not slash:
            return []
        groups.setdefault(name, []).append(layer)
    chains = {name: chain_of(group) for name, group in groups.items()}
    whole = {name: chain for name, chain in chains.items() if chain}
    inputs = {chain[0].sizes[0] for chain in whole.values()}
    if len(groups) < 2 or len(whole) < len(groups) or len(inputs) != 1:
        return []
    return [
        Network(
            name,
            chain,
            output=OUTPUT_NAMES.get(name, name),
            flattens=flattens,
            trained="target" not in name,
        )
        for name, chain in sorted(whole.items())
    ]
