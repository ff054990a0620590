"""Checkpoints of `tf.train.Saver` in TensorFlow 1: variables by name, without objects that say what they belong to.

The graph lies beside them in `<prefix>.meta`, which may be missing. What is a weight and what belongs to an optimizer is
told by the names of slots, which end in the optimizer's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, Program, Provenance
from converters.errors import placed
from converters.limits import Limits
from converters.readers.files.source import Source
from converters.readers.tensorflow.bundle import Bundle
from converters.readers.tensorflow.graph_def import graph_bytes, parse_meta_graph
from converters.readers.tensorflow.meta_graph import GraphFacts, read_graph_facts

FORMAT = "tf1-checkpoint"
GRAPH = "graph"
"""Key of the graph's facts in `Checkpoint.training`."""
_OF_OPTIMIZERS = re.compile(
    r"/(?:Adam|RMSProp|Momentum|Adagrad|Adadelta|Ftrl)(?:_\d+)?$|(?:^|/)beta[12]_power(?:_\d+)?$"
)


def named_checkpoint(source: Source, bundle: Bundle, prefix: str, limits: Limits) -> Checkpoint:
    """Return the variables of a checkpoint by the scopes they are in; those of optimizers are `extras`.

    Args:
        source: the files it came from.
        bundle: its tensors.
        prefix: of the files.
        limits: bounds on the graph.

    Raises:
        UnreadableFileError: The graph is damaged.
    """
    scopes: dict[str, dict[str, ArrayInfo]] = {}
    extras = []
    for name, array in bundle.arrays.items():
        if _OF_OPTIMIZERS.search(name):
            extras.append(array)
        else:
            scope, _, role = name.rpartition("/")
            scopes.setdefault(scope, {})[role] = array
    return Checkpoint(
        layers=[LayerArrays(scope, None, arrays) for scope, arrays in scopes.items()],
        graph=None,
        optimizer=None,
        training=_graph(source, prefix, limits),
        extras=extras,
        provenance=Provenance(
            file=source.path.name,
            digest=source.sha256,
            size=source.size,
            format=FORMAT,
            producer="TensorFlow 1",
            generation=1,
        ),
        program=_program(source, bundle.arrays, prefix, limits),
    )


def _graph(source: Source, prefix: str, limits: Limits) -> Mapping[str, GraphFacts]:
    name = f"{prefix}.meta"
    if not (source.main.parent / name).exists():
        return {}
    return {GRAPH: read_graph_facts(source.companion(name), limits)}


def _program(
    source: Source, arrays: Mapping[str, ArrayInfo], prefix: str, limits: Limits
) -> Callable[[], Program] | None:
    """Return what reads the graph of a checkpoint; None if there is none, or more than one that it might be."""
    name = _graph_file(source.main.parent, prefix)
    if name is None:
        return None

    def read() -> Program:
        file = source.companion(name)
        with placed(file.path.name):
            graph = parse_meta_graph(graph_bytes(file, limits))
        own = name == f"{prefix}.meta"
        return Program(
            graph,
            arrays,
            () if own else (f"the graph is that of {name}: the checkpoint has none of its own",),
        )

    return read


def _graph_file(folder: Path, prefix: str) -> str | None:
    """Return the `.meta` of a checkpoint from its folder, or the only one there or in the folder around it.

    Checkpoints that were written without their graph (moving averages, renamed variables) lie so beside one that has it.
    """
    own = f"{prefix}.meta"
    if (folder / own).is_file():
        return own
    for place in ("", "../"):
        found = sorted(each.name for each in (folder / place).glob("*.meta"))
        if own in found or len(found) == 1:
            return f"{place}{own if own in found else found[0]}"
        if found:
            return None
    return None
