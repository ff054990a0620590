"""Weight containers of Keras 2.12 to 3: `.weights.h5`, and the same inside a `.keras` archive.

Paths follow the model's attributes and class names, not its layer names: `layers/dense_1/vars/0`. The file's own
order is alphabetical and says nothing about the order of layers; entries come out in natural order of their paths
(`dense_2` before `dense_10`), and the plan matches them to layers by the configuration, or by the name that
Keras 3.1 and later store with every entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, StoredFile
from converters.limits import Limits
from converters.readers.files.keras_settings import Architecture, optimizer_state, provenance
from converters.readers.files.natural_order import natural_key
from converters.readers.files.source import Source
from converters.readers.hdf5.client import Hdf5Index, index_of, require_index

_ROOT_OF_KERAS_2_12 = "_layer_checkpoint_dependencies"


@dataclass(frozen=True, slots=True)
class Container:
    """The arrays of a weight container.

    Attributes:
        layers: one entry for each group with variables, also for those that have none.
        variables: the optimizer's, those of `optimizer/vars` first, then of optimizers inside it.
        extras: metrics, variables of the model itself, anything else.
        generation: 2 or 3 where the file tells, else None.
        index: all of the HDF5 file.
    """

    layers: Sequence[LayerArrays]
    variables: Sequence[ArrayInfo]
    extras: Sequence[ArrayInfo]
    generation: int | None
    index: Hdf5Index


class KerasWeightsH5:
    """Reader of `.weights.h5`."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file has groups of variables and none of the older layout's names."""
        index = index_of(source, limits)
        return index is not None and is_container(index)

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the content of the file."""
        container = read_container(require_index(source, limits))
        index = container.index
        generation = container.generation or (architecture.generation if architecture else 3)
        training = architecture.training if architecture else None
        return Checkpoint(
            layers=container.layers,
            graph=architecture.graph(limits) if architecture else None,
            optimizer=optimizer_state(
                training, container.variables, generation=generation, version=None
            ),
            training=training,
            extras=container.extras,
            provenance=provenance(
                source,
                "keras-weights-h5",
                version=None,
                generation=generation,
                architecture=architecture,
            ),
            stored=StoredFile(
                "keras-weights-h5",
                index.groups,
                index.attributes,
                index.arrays,
                {},
                architecture.text if architecture else None,
                architecture.version if architecture else None,
            ),
        )


READER = KerasWeightsH5()


def is_container(index: Hdf5Index) -> bool:
    """Tell whether an HDF5 file has the layout of a weight container."""
    older = index.texts("", "layer_names") is not None or index.text("", "model_config") is not None
    return not older and any(group.rsplit("/", 1)[-1] == "vars" for group in index.groups)


def read_container(index: Hdf5Index) -> Container:
    """Return the arrays of a weight container, sorted into layers, optimizer and the rest."""
    members: dict[str, list[ArrayInfo]] = {}
    extras: list[ArrayInfo] = []
    for path in sorted(index.arrays, key=natural_key):
        holder, _, _ = path.rpartition("/")
        if holder.rsplit("/", 1)[-1] == "vars":
            members.setdefault(holder, []).append(index.arrays[path])
        else:
            extras.append(index.arrays[path])
    layers: list[LayerArrays] = []
    variables: list[ArrayInfo] = []
    for group in sorted(
        (g for g in index.groups if g.rsplit("/", 1)[-1] == "vars"), key=natural_key
    ):
        owner = group[: -len("/vars")]
        if group == "vars" or owner.split("/")[0] == "metrics":
            extras += members.get(group, [])
        elif owner.split("/")[0] == "optimizer":
            variables += members.get(group, [])
        else:
            arrays = {array.name.rsplit("/", 1)[-1]: array for array in members.get(group, [])}
            layers.append(LayerArrays(owner, index.text(group, "name"), arrays))
    variables.sort(key=lambda array: (array.name.count("/"), natural_key(array.name)))
    return Container(layers, variables, extras, _generation(index), index)


def _generation(index: Hdf5Index) -> int | None:
    if _ROOT_OF_KERAS_2_12 in index.groups:
        return 2
    if any("name" in attributes for attributes in index.attributes.values()):
        return 3
    # Keras 2 saves the metrics' variables with the model, Keras 3 does not.
    return 2 if "metrics" in index.groups else None
