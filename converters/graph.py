"""A Keras model configuration as plain data: layers, calls, inputs, outputs.

`converters.configuration.models` makes it from `model_config`, `config.json` or `to_json` text of any Keras generation. Layer
configurations are kept in the words of Keras 3; what an older generation meant by other words or other
defaults is settled there, so that layer rules see one dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MODEL_CLASSES = ("Sequential", "Functional", "Model")
"""Classes of models whose structure is in their configuration."""
CODE_CLASSES = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
"""Layers whose configuration holds or names code; nothing of them is ever run."""
OPERATION_CLASSES = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
"""What Keras 2 made of operations of TensorFlow among the layers; those of Keras 3 are "ops." and a name."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer (or nested model) of the configuration."""

    name: str  # as stored, unique within its graph
    class_name: str  # "Dense"; registered names of packages are kept: "my_package>NoisyDense"
    config: Mapping[str, object]
    trainable: bool = True
    graph: Graph | None = None  # nested models carry their own graph
    inner: Mapping[str, Layer] = field(default_factory=dict)
    """What a wrapper wraps, by attribute: {"forward_layer": ..., "backward_layer": ...}."""
    is_named: bool = True  # False: the configuration does not say its name, `name` is ours
    object_id: int | None = None
    """What the configuration calls an object of Keras that it has more than once; the first may be without."""
    shared: tuple[str, ...] | None = None
    """Path by which a layer that several models hold is known everywhere (`converters.matching.shared_layers`)."""

    @property
    def is_operation(self) -> bool:
        """True for a function of tensors: it computes in the type of what comes in, whatever type it states."""
        return self.class_name.startswith("ops.") or self.class_name in OPERATION_CLASSES

    def owner(self, role: str) -> tuple[Layer, str]:
        """Return the layer a weight belongs to and its role there: "layer/kernel" is a kernel of the wrapped layer."""
        name, slash, rest = role.partition("/")
        return self.inner[name].owner(rest) if slash and name in self.inner else (self, role)

    def path_in(self, prefix: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the nested models down to the layer, in the model of that path."""
        return self.shared or (*prefix, self.name)


@dataclass(frozen=True, slots=True)
class TensorRef:
    """One output tensor of one call of a layer."""

    layer: str
    call: int = 0  # how often the layer was called before
    index: int = 0  # which of its outputs


@dataclass(frozen=True, slots=True)
class Operand:
    """The place of a tensor among the arguments of a call."""

    index: int  # into the call's inputs


@dataclass(frozen=True, slots=True)
class Constant:
    """An array among the arguments of a call."""

    values: object  # numbers, or nested tuples of them
    dtype: str | None  # None where the file does not say


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a layer: what goes in, in order. A layer that is used twice has two calls."""

    layer: str
    call: int
    inputs: tuple[TensorRef, ...]
    kwargs: Mapping[str, object]  # "training", "mask" and the like; tensors are `Operand`
    args: tuple[
        object, ...
    ] = ()  # what came without a name: `Operand`, numbers, lists and slices of them
    dtypes: tuple[str, ...] = ()  # of the inputs, as the file says them; () or "" where it does not


@dataclass(frozen=True, slots=True)
class Input:
    """A graph input: its tensor and its shape with the batch axis first (None: free)."""

    tensor: TensorRef
    shape: tuple[int | None, ...] | None
    dtype: str
    key: str | None = None  # where the model takes a dictionary


@dataclass(frozen=True, slots=True)
class Graph:
    """A model: layers in configuration order, calls in an order that can be computed.

    Attributes:
        structure: how the outputs were arranged: "single", "list", "dict" (then `output_names` are its keys) or
            "nested" (then `nesting` is the arrangement). Dictionaries count in the order of their keys.
        nesting: a number is an output's place; ("list", ...) and ("dict", (key, ...), ...) hold others.
    """

    name: str
    class_name: str  # "Sequential", "Functional"
    generation: int  # the Keras generation that wrote it: 1, 2, 3
    layers: tuple[Layer, ...]
    calls: tuple[Call, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[TensorRef, ...]
    structure: str = "single"
    output_names: tuple[str, ...] = ()
    nesting: object = None
    _by_name: Mapping[str, Layer] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {layer.name: layer for layer in self.layers}
        object.__setattr__(self, "_by_name", by_name)

    def layer(self, name: str) -> Layer:
        """Return the layer of that name. Raises KeyError."""
        return self._by_name[name]
