"""Weights without an architecture that can only be a chain of dense layers: the chain, and what had to be assumed.

A file of weights alone says which matrices there are, not what is between them. Where every matrix feeds the next one,
in one order only, the usual network for a vector of observations is meant: that order, a rectified linear unit after
every layer but the last; a network with "target" in its name is not trained. What the file does not say is listed for the user, who may know better. Anything else than
such chains is not guessed at.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays
from converters.graph import Call, Graph, Input, Layer, Operand, TensorRef

ACTIVATION = "relu"
MAX_LAYERS = 64
"""Longer chains of dense layers are no network that anyone trained."""
OUTPUT_NAMES = {
    "q_network": "q", "q_net": "q", "online": "q", "online_network": "q",
    "target_network": "target_q", "target_net": "target_q", "target": "target_q", "target_q_network": "target_q",
    "policy_network": "policy", "value_network": "value",
}  # fmt: skip
"""What a network computes, by the usual names of the attribute that holds it; others keep their own."""
_ROLES = (("kernel", "bias"), ("0", "1"), ("w", "b"))
_PASSIVE = re.compile(r"(flatten|activation|input|dropout)(_\d+)?")
"""Names that Keras gives to layers without weights that leave numbers as they are, up to the activation."""
_NUMBERED = re.compile(r"layer_with_weights-(\d+)")
"""What Keras 2 calls the layers of a model in a checkpoint."""


@dataclass(frozen=True, slots=True)
class Dense:
    """One matrix of a chain, with what adds to it."""

    path: str
    kernel: ArrayInfo
    bias: ArrayInfo | None


def assume_stack(checkpoint: Checkpoint) -> tuple[Checkpoint, tuple[str, ...]] | None:
    """Return the checkpoint with the graph of its chains of dense layers, and what was assumed.

    Networks beside each other become one model that gives a dictionary. None: there is something else in the file.
    """
    entries = [entry for entry in checkpoint.layers if not _is_counter(entry)]
    named = [entry for entry in entries if entry.arrays]
    passive = [entry.path for entry in entries if not entry.arrays]
    layers = [_dense(entry) for entry in named]
    dense = [layer for layer in layers if layer is not None]
    if not dense or len(dense) < len(layers) or len(dense) > MAX_LAYERS:
        return None
    if any(not _PASSIVE.fullmatch(path.rsplit("/", 1)[-1]) for path in passive):
        return None
    chains = {"": chain} if (chain := _chain(dense)) else _chains_by_network(dense)
    if not chains:
        return None
    flat = any("flatten" in path for path in passive)
    networks = {name: _network(name or "network", chain, flat) for name, chain in chains.items()}
    graph = networks[""] if "" in networks else _side_by_side(networks)
    kept = [LayerArrays(f"layers/{name}", name, {}) for name in chains if name]
    kept += [
        LayerArrays(_path(name, layer.path), _layer_name(name, layer.path), _arrays(layer))
        for name, chain in chains.items()
        for layer in chain
    ]
    counters = [
        array
        for entry in checkpoint.layers
        if _is_counter(entry)
        for array in entry.arrays.values()
    ]
    found = replace(checkpoint, layers=kept, graph=graph, extras=[*checkpoint.extras, *counters])
    return found, tuple(_assumptions(chains, flat))


def _is_counter(entry: LayerArrays) -> bool:
    return bool(entry.arrays) and all(not array.shape for array in entry.arrays.values())


def _dense(entry: LayerArrays) -> Dense | None:
    """Return the entry as a dense layer; None if it holds anything else."""
    for kernel, bias in _ROLES:
        matrix, added = entry.arrays.get(kernel), entry.arrays.get(bias)
        if matrix is None or len(matrix.shape) != 2 or set(entry.arrays) - {kernel, bias}:
            continue
        if added is None or added.shape == matrix.shape[1:]:
            return Dense(entry.path, matrix, added)
    return None


def _chain(layers: Sequence[Dense]) -> list[Dense] | None:
    """Return the layers in the one order in which each feeds the next; None if there is none, or another one.

    Layers of one shape are no two orders: they keep the order of the file.
    """
    orders: list[list[Dense]] = []
    _extend([], list(layers), orders)
    return orders[0] if len(orders) == 1 else None


def _extend(begun: list[Dense], rest: list[Dense], orders: list[list[Dense]]) -> None:
    if not rest:
        orders.append(begun)
        return
    tried: set[tuple[int, ...]] = set()
    for place, layer in enumerate(rest):
        fits = not begun or begun[-1].kernel.shape[1] == layer.kernel.shape[0]
        if not fits or layer.kernel.shape in tried or len(orders) > 1:
            continue
        tried.add(layer.kernel.shape)
        _extend([*begun, layer], rest[:place] + rest[place + 1 :], orders)


def _chains_by_network(layers: Sequence[Dense]) -> dict[str, list[Dense]]:
    """Return a chain for every attribute of the root that holds layers; empty if one of them has none."""
    groups: dict[str, list[Dense]] = {}
    for layer in layers:
        name, slash, _ = layer.path.partition("/")
        if not slash:
            return {}
        groups.setdefault(name, []).append(layer)
    chains = {name: _chain(group) for name, group in groups.items()}
    inputs = {chain[0].kernel.shape[0] for chain in chains.values() if chain}
    if len(groups) < 2 or len(inputs) != 1:
        return {}
    return {name: chain for name, chain in chains.items() if chain} if all(chains.values()) else {}


def _network(name: str, chain: Sequence[Dense], flat: bool) -> Graph:
    size = chain[0].kernel.shape[0]
    # Flattened inputs: the last window of keras-rl's memory, which is 1 observation unless it says otherwise.
    shape = (None, 1, size) if flat else (None, size)
    dtype = chain[0].kernel.dtype.name
    layers = [Layer("input", "InputLayer", {"dtype": dtype, "batch_shape": shape})]
    if flat:
        layers.append(Layer("flatten", "Flatten", {"dtype": dtype, "data_format": "channels_last"}))
    for layer in chain:
        config = {
            "units": layer.kernel.shape[1],
            "activation": "linear" if layer is chain[-1] else ACTIVATION,
            "use_bias": layer.bias is not None,
            "dtype": dtype,
        }
        layers.append(
            Layer(_layer_name(name, layer.path), "Dense", config, trainable="target" not in name)
        )
    calls = [
        Call(after.name, 0, (TensorRef(before.name),), {}, (Operand(0),))
        for before, after in itertools.pairwise(layers)
    ]
    return Graph(
        name=name,
        class_name="Sequential",
        generation=2,
        layers=tuple(layers),
        calls=tuple(calls),
        inputs=(Input(TensorRef("input"), shape, dtype),),
        outputs=(TensorRef(layers[-1].name),),
    )


def _side_by_side(networks: Mapping[str, Graph]) -> Graph:
    """Return a model of all networks on one input."""
    first = next(iter(networks.values()))
    source = first.inputs[0]
    names = sorted(networks)  # outputs of a dictionary count in the order of their keys
    outputs = sorted((OUTPUT_NAMES.get(name, name), name) for name in names)
    return Graph(
        name="networks",
        class_name="Functional",
        generation=2,
        layers=(
            Layer("input", "InputLayer", {"dtype": source.dtype, "batch_shape": source.shape}),
            *(Layer(name, "Sequential", {}, graph=networks[name]) for name in names),
        ),
        calls=tuple(Call(name, 0, (TensorRef("input"),), {}, (Operand(0),)) for name in names),
        inputs=(source,),
        outputs=tuple(TensorRef(name) for _, name in outputs),
        structure="dict",
        output_names=tuple(output for output, _ in outputs),
    )


def _layer_name(network: str, path: str) -> str:
    """Return the name of a layer inside its network."""
    own = path.removeprefix(f"{network}/").removeprefix("layers/")
    return _NUMBERED.sub(r"dense_\1", own).replace("/", "_").lstrip("_")


def _path(network: str, path: str) -> str:
    """Return where the layer's arrays are, in the words of a weight container."""
    above = [network, "layers"] if network else []
    return "/".join(["layers", *above, _layer_name(network, path)])


def _arrays(layer: Dense) -> dict[str, ArrayInfo]:
    found = {"kernel": layer.kernel}
    return found if layer.bias is None else {**found, "bias": layer.bias}


def _assumptions(chains: Mapping[str, Sequence[Dense]], flat: bool) -> list[str]:
    """Return what the file does not say, for every network."""
    found = []
    for name, chain in chains.items():
        *hidden, last = (f"'{layer.path}'" for layer in chain)
        where = f" in '{name}'" if name else ""
        after = f"{ACTIVATION} after {', '.join(hidden)}, and " if hidden else ""
        found.append(
            f"assumed{where}, because the file has weights only: {after}nothing after {last}"
            f"{', on a flattened window of 1 observation' if flat else ''}; if that is wrong, give the model with --architecture or --into"
        )
    return found
