"""Networks of dense layers as a graph in the words of Keras, with their arrays in the same places."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays
from converters.configuration.keras_rl import dueling_graph
from converters.graph import Call, Graph, Input, Layer, Operand, TensorRef
from converters.stacks.dense import Dense

_NUMBERED = re.compile(r"layer_with_weights-(\d{1,9})")
"""What Keras 2 calls the layers of a model in a checkpoint."""


ACTIVATIONS = (
    *("relu", "tanh", "elu", "selu", "sigmoid", "softplus", "softsign", "leaky_relu", "relu6"),
    *("swish", "gelu", "softmax", "linear"),
)
"""Of Keras, by name: those that are found between dense layers, or after the last."""


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer normalization after a dense layer."""

    path: str
    scale: ArrayInfo
    offset: ArrayInfo
    epsilon: float


@dataclass(frozen=True, slots=True)
class Network:
    """A chain of dense layers.

    Attributes:
        name: as the file has it; "" for the only one.
        layers: in the order in which each feeds the next.
        output: what it gives, as a key of the model's results; None: it only feeds others.
        hidden: activation after every layer but the last.
        last: activation after the last layer.
        norm: of what the last layer gives, before its activation.
        source: name of the network that feeds it; None: the observation does.
        flattens: True if observations are flattened first.
        trained: False for targets, which follow others.
        shape: of one result, where it is not a vector.
        plain: paths of layers without an activation, besides the last.
        dueling: True for keras-rl's dueling on top.
    """

    name: str
    layers: Sequence[Dense]
    output: str | None = None
    hidden: str = "relu"
    last: str = "linear"
    norm: Norm | None = None
    source: str | None = None
    flattens: bool = False
    trained: bool = True
    shape: tuple[int, ...] = ()
    plain: frozenset[str] = frozenset()
    dueling: bool = False

    @property
    def assumption(self) -> str:
        """What the file does not say of it."""
        paths = [layer.path for layer in self.layers]
        hidden = [f"'{path}'" for path in paths[:-1] if path not in self.plain]
        last = " and ".join(f"'{path}'" for path in (*sorted(self.plain), paths[-1]))
        where = f" in '{self.name}'" if self.name else ""
        after = f"{self.hidden} after {', '.join(hidden)}, and " if hidden else ""
        end = "nothing" if self.last == "linear" else self.last
        flat = ", on a flattened window of 1 observation" if self.flattens else ""
        norm = "" if self.norm is None else f" and '{self.norm.path}' (epsilon {self.norm.epsilon})"
        shape = f", as {' x '.join(map(str, self.shape))}" if self.shape else ""
        dueling = (
            "; its columns are keras-rl's dueling: the first is the state's value, the others advantages less their mean"
            if self.dueling
            else ""
        )
        return (
            f"assumed{where}, because the file has weights only: {after}{end} after {last}{norm}{flat}{shape}{dueling}; "
            "if that is wrong, --set activation=tanh, or give the model with --architecture or --into"
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The networks of a file.

    Attributes:
        networks: those that feed others before these.
        used: paths of the entries that they are made of; all others are left over.
        notes: what a user should know beside the assumptions.
    """

    networks: Sequence[Network]
    used: frozenset[str]
    notes: tuple[str, ...] = field(default=())


def model_of(checkpoint: Checkpoint, found: Found) -> tuple[Checkpoint, tuple[str, ...]]:
    """Return the checkpoint with the graph of its networks, and what was assumed."""
    networks = found.networks
    graphs = {network.name: _network(network) for network in networks}
    only = len(networks) == 1 and not networks[0].name
    graph = graphs[""] if only else _together(networks, graphs)
    rest = [entry for entry in checkpoint.layers if entry.path not in found.used]
    left = [array for entry in rest for array in entry.arrays.values()]
    whole = replace(
        checkpoint,
        layers=[entry for network in networks for entry in _entries(network)],
        graph=graph,
        extras=[*checkpoint.extras, *left],
    )
    return whole, (*(network.assumption for network in networks), *found.notes)


def _network(network: Network) -> Graph:
    size = network.layers[0].sizes[0]
    shape = (None, 1, size) if network.flattens else (None, size)
    dtype = network.layers[0].kernel.dtype.name
    layers = [Layer("input", "InputLayer", {"dtype": dtype, "batch_shape": shape})]
    if network.flattens:
        layers.append(Layer("flatten", "Flatten", {"dtype": dtype, "data_format": "channels_last"}))
    for layer in network.layers:
        last = layer is network.layers[-1]
        hidden = "linear" if layer.path in network.plain else network.hidden
        activation = network.last if last else hidden
        config = {
            "units": layer.sizes[1],
            "activation": "linear" if last and network.norm else activation,
            "use_bias": layer.bias is not None,
            "dtype": dtype,
        }
        layers.append(Layer(_name(network, layer.path), "Dense", config, trainable=network.trained))
    if network.norm is not None:
        settings = {"axis": [-1], "epsilon": network.norm.epsilon, "dtype": dtype}
        layers.append(Layer(_name(network, network.norm.path), "LayerNormalization", settings))
        layers.append(
            Layer("activation", "Activation", {"activation": network.last, "dtype": dtype})
        )
    if network.dueling:
        columns = network.layers[-1].sizes[1]
        layers.append(Layer("dueling", "Functional", {}, graph=dueling_graph("dueling", columns)))
    if network.shape:
        layers.append(Layer("reshape", "Reshape", {"target_shape": network.shape, "dtype": dtype}))
    calls = [
        Call(after.name, 0, (TensorRef(before.name),), {}, (Operand(0),))
        for before, after in itertools.pairwise(layers)
    ]
    return Graph(
        name=network.name or "network",
        class_name="Sequential",
        generation=2,
        layers=tuple(layers),
        calls=tuple(calls),
        inputs=(Input(TensorRef("input"), shape, dtype),),
        outputs=(TensorRef(layers[-1].name),),
    )


def _together(networks: Sequence[Network], graphs: Mapping[str, Graph]) -> Graph:
    """Return a model of all networks on one observation, which gives a dictionary."""
    source = graphs[networks[0].name].inputs[0]
    outputs = sorted((network.output, network.name) for network in networks if network.output)
    return Graph(
        name="networks",
        class_name="Functional",
        generation=2,
        layers=(
            Layer("input", "InputLayer", {"dtype": source.dtype, "batch_shape": source.shape}),
            *(Layer(name, "Sequential", {}, graph=graph) for name, graph in graphs.items()),
        ),
        calls=tuple(
            Call(n.name, 0, (TensorRef(n.source or "input"),), {}, (Operand(0),)) for n in networks
        ),
        inputs=(source,),
        outputs=tuple(TensorRef(name) for _, name in outputs),
        structure="dict",
        output_names=tuple(output for output, _ in outputs),
    )


def _entries(network: Network) -> list[LayerArrays]:
    """Return the arrays where the graph has the layers, in the words of a weight container."""
    above = f"layers/{network.name}/layers/" if network.name else "layers/"
    found = [LayerArrays(f"layers/{network.name}", network.name, {})] if network.name else []
    for layer in network.layers:
        name = _name(network, layer.path)
        arrays = {"kernel": layer.kernel} | ({"bias": layer.bias} if layer.bias else {})
        found.append(LayerArrays(above + name, name, arrays))
    if network.norm is not None:
        name = _name(network, network.norm.path)
        arrays = {"gamma": network.norm.scale, "beta": network.norm.offset}
        found.append(LayerArrays(above + name, name, arrays))
    return found


def _name(network: Network, path: str) -> str:
    """Return the name of a layer inside its network."""
    parts = [part.lstrip("_") for part in path.split("/")]
    while len(parts) > 1 and parts[0] in (network.name, "layers", "agent"):
        parts = parts[1:]
    name = _NUMBERED.sub(r"dense_\1", "_".join(parts))
    return "dense" if name == network.name else name.replace("postprocessing_layers_", "")
