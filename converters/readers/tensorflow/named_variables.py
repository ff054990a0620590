"""Checkpoints of `tf.train.Saver` in TensorFlow 1: variables by name, without objects that say what they belong to.

The graph lies beside them in `<prefix>.meta`, which may be missing. What is a weight and what belongs to an optimizer is
told by the names of slots, which end in the optimizer's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, Provenance
from converters.limits import Limits
from converters.readers.files.source import Source
from converters.readers.tensorflow.bundle import Bundle
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
    )


def _graph(source: Source, prefix: str, limits: Limits) -> Mapping[str, GraphFacts]:
    name = f"{prefix}.meta"
    if not (source.main.parent / name).exists():
        return {}
    return {GRAPH: read_graph_facts(source.companion(name), limits)}
