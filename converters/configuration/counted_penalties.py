"""How often Keras 1.2 to 2.1.3 added the penalty of a weight to the loss.

A model that was called inside another collected the penalties of its layers anew with each call, whatever was the same
in them, and the models around it collected what was there by then. A layer's regularizer so counts as often as it was
collected; factors are multiplied here, so that all behind sees what was trained on.

Source: `losses`, `run_internal_graph` and `get_losses_for` (keras 1.2.2 to 2.1.3, engine/topology.py, layers/wrappers.py
and models.py). Before 1.2 a model had a list of the regularizers of its layers; since 2.1.4 each tensor counts once.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from converters.graph import Graph, Layer

Path = tuple[str, ...]
Release = tuple[int, int, int]

FIRST_COLLECTED: Release = (1, 2, 0)
FIRST_OF_WRAPPERS: Release = (2, 0, 3)
"""Asks wrappers for the penalties of what they wrap; before, only those of layers that were called once were read whole."""
FIRST_CALLED_FIRST: Release = (2, 1, 0)
"""Calls a model that comes first in a Sequential; before, its layers became those of the Sequential."""
FIRST_ONCE: Release = (2, 1, 4)
SETTINGS = "_regularizer"
OF_OUTPUTS = "activity_regularizer"
FIRST_OF_RECURRENT: Release = (2, 0, 0)
"""Before, an LSTM or GRU with a matrix for every gate gave `W_regularizer` to the recurrent ones as well
(keras 1.2.0 to 1.2.2, layers/recurrent.py, `build`)."""
MAX_RUNS = 10_000
"""Passes through nested models; they multiply with each level, and no model that anybody trained comes near."""


def settle_penalties(graph: Graph, version: str | None) -> Graph:
    """Return a model with the factors of its regularizers as often as Keras counted them.

    Args:
        graph: of the whole model, as it is trained.
        version: of standalone Keras that wrote it, "2.0.8"; other releases counted once.
    """
    match = re.fullmatch(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})", version or "")
    if match is None:
        return graph
    release = (int(match[1]), int(match[2]), int(match[3]))
    if not FIRST_COLLECTED <= release < FIRST_ONCE:
        return graph
    try:
        counts = _Model(graph, (), release, itertools.count()).trained_on()
    except _TooManyCallsError:
        return graph
    layers = tuple(_with_counts(layer, (layer.name,), counts, release) for layer in graph.layers)
    return replace(graph, layers=layers)


class _TooManyCallsError(Exception):
    """Models are nested, and called, more often than anybody can have trained."""


@dataclass(slots=True)
class _Part:
    """A layer with what Keras knows of it: how often it is called, and the model it is or wraps."""

    layer: Layer
    path: Path
    model: _Model | None
    calls: int = 0
    is_flat: bool = False  # its layers are those of the model around it
    when_built: Counter[Path] = field(default_factory=Counter)

    @property
    def is_wrapper(self) -> bool:
        return self.layer.graph is None and "layer" in self.layer.inner


class _Model:
    """A model while it is built from its configuration, and called: what it collected so far."""

    def __init__(self, graph: Graph, path: Path, release: Release, runs: Iterator[int]) -> None:
        self.graph = graph
        self.path = path
        self.release = release
        self.runs = runs
        self.collected: Counter[Path] = Counter()
        self.parts = {layer.name: self._part(layer) for layer in graph.layers}
        first = next(
            (layer for layer in graph.layers if layer.class_name != "InputLayer"),
            graph.layers[0],
        )
        if graph.class_name == "Sequential" and release < FIRST_CALLED_FIRST:
            self.parts[first.name].is_flat = first.graph is not None
        self.seen: set[object] = set()
        run = object()
        for call in graph.calls:
            part = self.parts[call.layer]
            part.calls += 1
            if not part.is_flat:
                self._call(part, (run, path, call.inputs))

    def _part(self, layer: Layer) -> _Part:
        path = (*self.path, layer.name)
        held = layer.inner.get("layer")
        graph = layer.graph or (held.graph if held is not None else None)
        inside = path if layer.graph is not None else (*path, "layer")
        model = None if graph is None else _Model(graph, inside, self.release, self.runs)
        part = _Part(layer, path, model)
        if part.is_wrapper or layer.class_name == "Bidirectional":
            part.when_built = self._when_built(part)
        return part

    def _when_built(self, part: _Part) -> Counter[Path]:
        """Return what a wrapper found when it was built."""
        if part.model is not None:
            return part.model.trained_on()
        return Counter(dict.fromkeys(_held_leaves(part.layer, part.path), 1))

    def _nodes(self, run: object) -> Iterator[tuple[_Part, object]]:
        """Yield the calls of one pass with what tells their inputs from others."""
        for call in self.graph.calls:
            part = self.parts[call.layer]
            if part.is_flat and part.model is not None:
                yield from part.model._nodes(run)
            else:
                yield part, (run, self.path, call.inputs)

    def _call(self, part: _Part, key: object) -> None:
        """Call a layer. A model that knows the inputs answers from its cache; wrappers reshape them to new ones."""
        if part.model is not None:
            part.model._run(object() if part.is_wrapper else key)

    def _run(self, key: object) -> None:
        if key in self.seen:
            return
        self.seen.add(key)
        if next(self.runs) >= MAX_RUNS:
            raise _TooManyCallsError
        run = object()
        for part, inner_key in self._nodes(run):
            self._call(part, inner_key)
            self.collected += self._unconditional(part)

    def _unconditional(self, part: _Part) -> Counter[Path]:
        """Return the penalties of a layer that hang on no input."""
        if part.model is not None and not part.is_wrapper:
            return part.model.collected
        if part.is_wrapper or part.layer.class_name == "Bidirectional":
            if self.release < FIRST_OF_WRAPPERS:
                return Counter()
            return part.when_built if part.model is None else part.model.collected
        return Counter(dict.fromkeys(_held_leaves(part.layer, part.path), 1))

    def trained_on(self) -> Counter[Path]:
        """Return how often each layer's penalty is in the loss of this model, by the layer's path."""
        total = Counter(self.collected)
        for part in self.parts.values():
            if part.is_flat and part.model is not None:
                total += part.model.trained_on()
            elif self.release < FIRST_OF_WRAPPERS and part.calls == 1 and part.when_built:
                total += part.when_built
            else:
                total += self._unconditional(part)
        return total


def _held_leaves(layer: Layer, path: Path) -> Iterator[Path]:
    """Yield the paths of what a layer holds, its own if that is nothing."""
    if not layer.inner:
        yield path
    for name, part in layer.inner.items():
        yield from _held_leaves(part, (*path, name))


def _with_counts(layer: Layer, path: Path, counts: Mapping[Path, int], release: Release) -> Layer:
    """Return a layer and all that it holds with the factors of its regularizers multiplied."""
    inner = {
        name: _with_counts(each, (*path, name), counts, release)
        for name, each in layer.inner.items()
    }
    if layer.graph is not None:
        parts = tuple(
            _with_counts(each, (*path, each.name), counts, release) for each in layer.graph.layers
        )
        return replace(layer, graph=replace(layer.graph, layers=parts), inner=inner)
    count = counts.get(path, 0)
    config = {
        key: _times(setting, count)
        if key.endswith(SETTINGS) and key != OF_OUTPUTS and count != 1
        else setting
        for key, setting in _as_built(layer, release).items()
    }
    return replace(layer, config=config, inner=inner)


def _as_built(layer: Layer, release: Release) -> Mapping[str, object]:
    """Return the settings of a layer with the regularizers that its weights were given."""
    by_gates = layer.class_name in ("LSTM", "GRU") and layer.config.get("consume_less") != "gpu"
    if release >= FIRST_OF_RECURRENT or not by_gates:
        return layer.config
    return {**layer.config, "recurrent_regularizer": layer.config.get("kernel_regularizer")}


def _times(setting: object, count: int) -> object:
    """Return a stored regularizer with its factors multiplied; None for one that never counts."""
    if not isinstance(setting, Mapping) or count == 0:
        return None if count == 0 else setting
    whole = {key: _times(value, count) for key, value in setting.items() if key == "config"}
    factors = {
        key: value * count
        for key, value in setting.items()
        if key in ("l1", "l2") and isinstance(value, (int, float))
    }
    return {**setting, **whole, **factors}
