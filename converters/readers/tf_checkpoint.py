"""Checkpoints of TensorFlow 2, `save_weights`, `tf.train.Checkpoint` and its manager, and of `tf.train.Saver`.

Three files and no suffix: `<prefix>.index`, `<prefix>.data-00000-of-00001`, and perhaps a text file `checkpoint`. The user
names the prefix, the `.index`, or the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from converters.agents.facts import AgentFacts
from converters.agents.tf_agents_names import recognizes as is_tf_agents
from converters.checkpoint import ArrayInfo, Checkpoint, Provenance
from converters.errors import UnsupportedError, placed
from converters.limits import Limits
from converters.readers.files.keras_settings import Architecture, optimizer_state
from converters.readers.files.source import Source
from converters.readers.tensorflow.bundle import Bundle, read_bundle
from converters.readers.tensorflow.keras_objects import (
    Objects,
    find_model,
    find_root,
    generation_of,
    is_model,
    keras_layers,
    named_by_attributes,
    stored_optimizer,
)
from converters.readers.tensorflow.named_variables import named_checkpoint
from converters.readers.tensorflow.object_graph import KEY, parse_object_graph
from converters.readers.tensorflow.slot_links import linked_optimizers
from converters.readers.tensorflow.table import is_table

INDEX = ".index"


class TensorFlowCheckpoint:
    """Reader of checkpoints with objects, and of those with names only."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the main file is the index of a checkpoint."""
        return source.main.name.endswith(INDEX) and is_table(source.file)

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the content; with a configuration, sorted by its layers, else named by attributes."""
        prefix = source.main.name.removesuffix(INDEX)
        bundle = read_bundle(source, source.file, prefix, limits)
        with placed(source.name):
            if KEY not in bundle.texts:
                return named_checkpoint(source, bundle, prefix, limits)
            objects = object_graph(bundle, limits)
            found = object_checkpoint(source, objects, architecture, limits)
            names = [f"{entry.path}/{role}" for entry in found.layers for role in entry.arrays]
            if architecture is not None or not is_tf_agents(names):
                return found
            facts = AgentFacts("tf-agents", in_order=False)
            return replace(found, optimizers=linked_optimizers(objects), agent=facts)


READER = TensorFlowCheckpoint()


def object_graph(bundle: Bundle, limits: Limits) -> Objects:
    """Return the objects of a checkpoint.

    Raises:
        UnsupportedError: It has none: written by TensorFlow 1.
    """
    if KEY not in bundle.texts:
        msg = "its variables have names, but no objects: it was written by TensorFlow 1"
        raise UnsupportedError(msg)
    message = b"".join(bundle.texts[KEY]()[:1])  # an empty one has no objects
    return Objects(parse_object_graph(message, limits), bundle.arrays)


def object_checkpoint(
    source: Source,
    objects: Objects,
    architecture: Architecture | None,
    limits: Limits,
    *,
    training: Mapping[str, object] | None = None,
    producer: str | None = None,
    file_format: str = "tf2-checkpoint",
) -> Checkpoint:
    """Return a graph of objects as `Checkpoint`.

    Args:
        source: the files it came from.
        objects: with their arrays.
        architecture: the model's configuration, if there is one.
        limits: bounds on the configuration.
        training: how the model was compiled, where the files say so.
        producer: what wrote the files, where they say so.
        file_format: for the provenance.

    Raises:
        ConversionError: Objects and configuration do not belong together.
    """
    graph = architecture.graph(limits) if architecture else None
    model = find_model(objects, graph) if graph else find_root(objects)
    layers = keras_layers(objects, model, graph) if graph else named_by_attributes(objects, model)
    optimizer = stored_optimizer(objects, model)
    used = {id(array.read) for layer in layers for array in layer.arrays.values()}
    used |= {id(array.read) for array in (*optimizer.variables, *optimizer.settings.values())}
    generation = generation_of(objects)
    state = optimizer_state(
        with_stored(
            training or (architecture.training if architecture else None), optimizer.settings
        ),
        optimizer.variables,
        generation=generation,
        version=None,
    )
    if state is not None and graph is None:
        state = replace(state, weights=optimizer.weights)
    return Checkpoint(
        layers=layers,
        graph=graph,
        optimizer=state,
        training=training,
        extras=[array for array in objects.arrays.values() if id(array.read) not in used],
        provenance=Provenance(
            file=source.path.name,
            digest=source.sha256,
            size=source.size,
            format=file_format,
            producer=producer,
            generation=generation,
            details=dict(architecture.details) if architecture else {},
        ),
        notes=_note_of(objects, model) if graph else (),
    )


def _note_of(objects: Objects, model: int) -> tuple[str, ...]:
    """Return a note on which of several models it is: a configuration may fit a network and its target network."""
    children = objects.nodes[0].children
    name = next((name for name, node in children.items() if node == model), None)
    others = [each for each, node in children.items() if node != model and is_model(objects, node)]
    if name is None or not others:
        return ()
    return (f"'{name}' is converted; the checkpoint also holds {', '.join(others[:8])}",)


def with_stored(
    training: Mapping[str, object] | None, stored: Mapping[str, ArrayInfo]
) -> Mapping[str, object] | None:
    """Return the compile configuration with the optimizer's numbers that are stored as variables."""
    if not stored:
        return training
    numbers = {name: float(array.read()) for name, array in stored.items()}
    known = training or {}
    key = "optimizer" if isinstance(known.get("optimizer"), dict) else "optimizer_config"
    stated = known.get(key)
    entry = stated if isinstance(stated, dict) else {}
    config = entry.get("config")
    settings = config if isinstance(config, dict) else {}
    # A schedule is not replaced by the rate it had last.
    kept = {name: value for name, value in settings.items() if isinstance(value, dict)}
    return {**known, key: {**entry, "config": {**settings, **numbers, **kept}}}
