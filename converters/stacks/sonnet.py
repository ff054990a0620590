"""Modules of Sonnet 2, as Acme's agents have them: a torso, and heads on it.

    torso    snt.Sequential([snt.Linear, snt.LayerNorm, tf.tanh]), or plain layers
    heads    snt.nets.MLP (relu between), or one snt.Linear

Names of the variables: `w` (in, out) and `b`; `scale` and `offset` of a LayerNorm, epsilon 1e-5.
"""

from __future__ import annotations

from converters.checkpoint import Checkpoint, LayerArrays
from converters.stacks.dense import Dense, as_dense, chain_of, is_counter
from converters.stacks.networks import Found, Network, Norm

TORSOS = ("torso", "trunk", "encoder", "body", "common", "shared")
OPTIMIZERS = ("optimizer", "opt", "policy_optimizer", "critic_optimizer")
EPSILON = 1e-5


def find(checkpoint: Checkpoint) -> Found | None:
    """Return torso and heads; None if the variables have other names, or the order of layers is not certain."""
    entries = [
        entry
        for entry in checkpoint.layers
        if not is_counter(entry) and entry.path.split("/")[0] not in OPTIMIZERS
    ]
    if not any(set(entry.arrays) >= {"w", "b"} for entry in entries):
        return None
    groups: dict[str, list[LayerArrays]] = {}
    for entry in entries:
        groups.setdefault(entry.path.split("/")[0], []).append(entry)
    parts = {name: _part(group) for name, group in groups.items()}
    torso = next((name for name in parts if name in TORSOS), None)
    networks = []
    for name in sorted(parts, key=lambda name: name != torso):
        part = parts[name]
        if part is None:
            return None
        layers, norm = part
        feeds = name == torso and len(parts) > 1
        networks.append(
            Network(
                name,
                layers,
                output=None if feeds else name,
                last="tanh" if norm else ("relu" if feeds else "linear"),
                norm=norm,
                source=None if name == torso else torso,
                trained="target" not in name,
            )
        )
    if not _connected(networks):
        return None
    used = frozenset(entry.path for entry in entries)
    return Found(networks, used, ("Sonnet: the optimizer's settings are not in the file",))


def _part(entries: list[LayerArrays]) -> tuple[list[Dense], Norm | None] | None:
    """Return the chain of a module, and the normalization at its end; None for anything else."""
    norms = [entry for entry in entries if set(entry.arrays) == {"scale", "offset"}]
    layers = [as_dense(entry) for entry in entries if entry not in norms]
    dense = [layer for layer in layers if layer is not None]
    chain = chain_of(dense) if dense and len(dense) == len(layers) and len(norms) < 2 else None
    if chain is None:
        return None
    if not norms:
        return chain, None
    (entry,) = norms
    scale, offset = entry.arrays["scale"], entry.arrays["offset"]
    # In the middle of a torso it would be a question where it belongs.
    if len(chain) > 1 or scale.shape != chain[-1].sizes[1:] or offset.shape != scale.shape:
        return None
    return chain, Norm(entry.path, scale, offset, EPSILON)


def _connected(networks: list[Network]) -> bool:
    """Tell whether what comes into each network is as wide as what feeds it."""
    widths = {network.name: network.layers[-1].sizes[1] for network in networks}
    inputs = {network.layers[0].sizes[0] for network in networks if network.source is None}
    fed = [network for network in networks if network.source is not None]
    return len(inputs) == 1 and all(
        network.layers[0].sizes[0] == widths[network.source or ""] for network in fed
    )
