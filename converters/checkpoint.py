"""The neutral form of a legacy file: named arrays, an optional graph, optional optimizer state.

Readers produce it, plans consume it. Nothing in here knows a framework or a file format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from converters.agents.facts import AgentFacts
from converters.graph import Graph

if TYPE_CHECKING:
    from converters.readers.tensorflow.graph_def import GraphFile


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the numbers of an array come from that is made of stored ones.

    Attributes:
        sources: the stored arrays.
        move: brings arrays of their shapes to their places, so that slots of an optimizer go the same way; None: an
            optimizer's slots do not, for numbers are repeated or others are among them.
    """

    sources: tuple[ArrayInfo, ...]
    move: Callable[[Sequence[NDArray]], NDArray] | None  # type: ignore[type-arg]


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """One stored array; nothing is loaded until `read` is called."""

    name: str  # path inside the file, as stored: "dense/dense/kernel:0", "layers/dense/vars/0"
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], NDArray]  # type: ignore[type-arg]  # a read-only view or a fresh array
    moved: Moved | None = None  # of an array that is not stored as it is

    @property
    def nbytes(self) -> int:
        """Size in bytes once read."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class LayerArrays:
    """The arrays that one entry of the file holds for one layer, in stored order.

    Attributes:
        path: how the file addresses the layer: its name in a legacy .h5 (`dense_1`), the container path in a
            .weights.h5 (`layers/dense_1`). Nested models hold one entry per layer, parents first in the path.
        name: the layer's own name where the file states it (legacy .h5, Keras >= 3.1 .weights.h5), else None.
        arrays: role as far as the file tells it (`kernel`, `bias`, `moving_mean`; `0`, `1` where only the
            order is known) to array, in stored order.
    """

    path: str
    name: str | None
    arrays: Mapping[str, ArrayInfo]


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """What the file says of the optimizer.

    Attributes:
        kind: Keras class name without prefixes ("Adam"), or None when the file has slots but no configuration.
        config: hyper-parameters as stored ("learning_rate", "beta_1", ...; a schedule stays a nested mapping).
        variables: stored arrays in stored order, name as stored; the optimizer rules split them into slots.
        legacy: True for optimizers of Keras <= 2.10 and `tf.keras.optimizers.legacy`: all first slots, then all
            second ones. False: interleaved per weight.
        generation: 1, 2 or 3: which Keras wrote it.
        weights: that it trains, in the order of its slots, by the names that Keras gave them; empty: those that train
            in the order of the graph.
    """

    kind: str | None
    config: Mapping[str, object]
    variables: Sequence[ArrayInfo]
    legacy: bool
    generation: int
    weights: Sequence[tuple[str, ArrayInfo]] = ()


@dataclass(frozen=True, slots=True)
class NamedOptimizer:
    """An optimizer whose slots are known weight by weight.

    Attributes:
        name: what the file calls it.
        kind: Keras class with the same formula.
        config: hyper-parameters by Keras's names, without the learning rate.
        learning_rate: as it is at the saved step; None: the file does not say.
        iterations: updates done.
        slots: stored name of a weight to its slots, by their names in torch.
    """

    name: str
    kind: str
    config: Mapping[str, object]
    learning_rate: float | None
    iterations: int
    slots: Mapping[str, Mapping[str, ArrayInfo]]


@dataclass(frozen=True, slots=True)
class Program:
    """A graph with the arrays of its variables.

    Attributes:
        graph: as the file holds it.
        arrays: by stored name.
        notes: what a user should know of where the graph was found.
    """

    graph: GraphFile
    arrays: Mapping[str, ArrayInfo] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the file came from; no clock, no host, no absolute path, so that the same input gives the same bytes."""

    file: str  # base name
    digest: Callable[[], str]  # waits for the checksum, which is calculated while the file is used
    size: int  # bytes
    format: str  # "keras-h5", "keras-h5-weights", "keras-weights-h5", "keras-archive"
    producer: str | None  # "Keras 2.15.0"
    generation: int  # 1, 2 or 3
    details: Mapping[str, str] = field(default_factory=dict)  # e.g. {"backend": "tensorflow"}

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the file."""
        return self.digest()


@dataclass(frozen=True, slots=True)
class StoredFile:
    """How a Keras file was laid out, so that one of the same kind can be written again.

    Attributes:
        format: as in `Provenance`.
        groups: paths of all HDF5 groups.
        attributes: group path to attribute name to text or list of texts, as far as Keras reads them.
        arrays: dataset path to array, in the order of the file.
        members: texts beside the arrays: "config.json" and "metadata.json" of an archive.
        configuration: the model configuration that was used, wherever it came from; None: there is none.
        version: of the Keras that wrote it.
    """

    format: str
    groups: frozenset[str]
    attributes: Mapping[str, Mapping[str, str | list[str]]]
    arrays: Mapping[str, ArrayInfo]
    members: Mapping[str, str]
    configuration: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One legacy file in neutral form.

    Attributes:
        layers: the weights, layer by layer, in stored order.
        graph: None: the file has weights only.
        optimizer: None: the file has no optimizer state.
        training: `training_config` or `compile_config` as stored (loss, metrics), for the report.
        extras: arrays that belong to no layer and no optimizer (metrics, bare variables), for the report.
        stored: for the way back; None: files of this kind are not written.
        agent: of a file of an RL library, what it says of the agent.
        optimizers: in place of `optimizer`, where the file says which slot belongs to which weight; all of one kind.
        program: reads the graph of TensorFlow that the file has, if it has one; `converters.programs` makes layers of it.
        notes: what a user should know of how the file was read.
    """

    layers: Sequence[LayerArrays]
    graph: Graph | None
    optimizer: OptimizerState | None
    training: Mapping[str, object] | None
    extras: Sequence[ArrayInfo]
    provenance: Provenance
    stored: StoredFile | None = None
    agent: AgentFacts | None = None
    optimizers: tuple[NamedOptimizer, ...] = ()
    program: Callable[[], Program] | None = None
    notes: tuple[str, ...] = ()
