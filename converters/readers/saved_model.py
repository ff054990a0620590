"""SavedModel folders: of Keras 2 by configuration and weights, all others by the graph of their functions.

    saved_model.pb        a MetaGraphDef; before TensorFlow 2.5 also the configuration of every layer
    keras_metadata.pb     the configuration since
    variables/            a checkpoint

Source: tensorflow/core/protobuf/saved_model.proto, saved_object_graph.proto; keras 2.15,
protobuf/saved_metadata.proto.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from converters.agents.saved_policies import kind_of
from converters.checkpoint import (
    ArrayInfo,
    Checkpoint,
    LayerArrays,
    OptimizerState,
    Program,
    Provenance,
)
from converters.errors import placed
from converters.limits import Limits
from converters.readers.files.keras_settings import (
    Architecture,
    optimizer_state,
    parse_architecture,
    parse_object,
)
from converters.readers.files.source import Source
from converters.readers.tensorflow.bundle import Bundle, read_bundle
from converters.readers.tensorflow.graph_def import graph_bytes, parse_saved_model
from converters.readers.tensorflow.keras_objects import generation_of, stored_optimizer
from converters.readers.tensorflow.object_graph import KEY
from converters.readers.tensorflow.protobuf import content, fields, text
from converters.readers.tf_checkpoint import object_checkpoint, object_graph, with_stored

MAIN, METADATA, VARIABLES = "saved_model.pb", "keras_metadata.pb", "variables/variables"
_TUPLES = ("__tuple__", "TensorShape")
_MODELS = ("_tf_keras_model", "_tf_keras_network", "_tf_keras_sequential")


class SavedModel:
    """Reader of SavedModel folders with a Keras model's configuration."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the main file is a SavedModel's."""
        return source.main.name == MAIN

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the content of the folder."""
        with placed(source.name):
            version, own = _meta_graph(source, limits)
            settings = _metadata(source, limits) or own
            by_graph = architecture is None and "model_config" not in settings
            bundle = _variables(source, limits, needed=not by_graph)
            program = _program(source, bundle.arrays, limits)
            if by_graph:
                return _functions_only(source, bundle, program, version, settings, limits)
            architecture = architecture or _architecture(settings, source.name, limits)
            objects = object_graph(bundle, limits)
            training = settings.get("training_config")
            found = object_checkpoint(
                source,
                objects,
                architecture,
                limits,
                training=training if isinstance(training, dict) else None,
                producer=f"TensorFlow {version}" if version else None,
                file_format="saved-model",
            )
            return replace(found, program=program)


READER = SavedModel()


def _variables(source: Source, limits: Limits, *, needed: bool) -> Bundle:
    """Return the variables; a SavedModel of constants alone has none."""
    if not needed and not (source.main.parent / f"{VARIABLES}.index").exists():
        return Bundle({}, {}, {})
    return read_bundle(source, source.companion(f"{VARIABLES}.index"), VARIABLES, limits)


def _program(
    source: Source, arrays: Mapping[str, ArrayInfo], limits: Limits
) -> Callable[[], Program]:
    return lambda: Program(parse_saved_model(graph_bytes(source.file, limits)), arrays)


def _functions_only(
    source: Source,
    bundle: Bundle,
    program: Callable[[], Program],
    version: str | None,
    settings: Mapping[str, object],
    limits: Limits,
) -> Checkpoint:
    """Return a SavedModel without a Keras configuration: of TensorFlow 1, of a subclassed model, by model.export."""
    stated = settings.get("training_config")
    training = stated if isinstance(stated, dict) else None
    kind = kind_of(source.main.parent)
    return Checkpoint(
        layers=[LayerArrays(name, None, {"value": array}) for name, array in bundle.arrays.items()],
        graph=None,
        optimizer=_optimizer(bundle, training, limits),
        training=training,
        extras=(),
        provenance=Provenance(
            file=source.path.name,
            digest=source.sha256,
            size=source.size,
            format="saved-model",
            producer=f"TensorFlow {version}" if version else None,
            generation=2,
            details={} if kind is None else {"kind": kind},
        ),
        program=program,
    )


def _optimizer(
    bundle: Bundle, training: Mapping[str, object] | None, limits: Limits
) -> OptimizerState | None:
    """Return the optimizer among the objects of a model whose structure is code, None if it says not what it trains."""
    if KEY not in bundle.texts:
        return None
    objects = object_graph(bundle, limits)
    stored = stored_optimizer(objects, 0)
    if not stored.weights:
        return None
    generation = generation_of(objects)
    state = optimizer_state(
        with_stored(training, stored.settings),
        stored.variables,
        generation=generation,
        version=None,
    )
    return None if state is None else replace(state, weights=stored.weights)


def _architecture(settings: Mapping[str, object], file: str, limits: Limits) -> Architecture:
    version = settings.get("keras_version")
    return parse_architecture(
        json.dumps(settings["model_config"]),
        file,
        limits,
        generation=2,
        version=version if isinstance(version, str) else None,
    )


def _meta_graph(source: Source, limits: Limits) -> tuple[str | None, Mapping[str, object]]:
    """Return the version of TensorFlow, and the root's settings where this file has them."""
    version: str | None = None
    settings: Mapping[str, object] = {}
    for part in fields(source.file.read(0, source.file.size)):
        if part.number != 2:
            continue
        for entry in fields(content(part)):
            if entry.number == 1:
                stated = [text(f) for f in fields(content(entry)) if f.number == 5]
                version = stated[0] if stated else None
            elif entry.number == 7:
                roots = [f for f in fields(content(entry)) if f.number == 1][:1]
                users = [f for root in roots for f in fields(content(root)) if f.number == 4]
                settings = _settings([content(user) for user in users], (1, 3), source, limits)
    return version, settings


def _metadata(source: Source, limits: Limits) -> Mapping[str, object]:
    if not (source.main.parent / METADATA).is_file():
        return {}
    file = source.companion(METADATA)
    nodes = [content(f) for f in fields(file.read(0, file.size)) if f.number == 1]
    return _settings(nodes[:1], (4, 5), source, limits)


def _settings(
    messages: list[memoryview], numbers: tuple[int, int], source: Source, limits: Limits
) -> Mapping[str, object]:
    """Return what Keras noted of the root object, if that is a model: its class, configuration, compilation.

    Args:
        messages: of the root object, none or one.
        numbers: of the fields with the kind of object and with the JSON text.
        source: for messages.
        limits: bounds on the text.
    """
    for message in messages:
        stated = {f.number: text(f) for f in fields(message) if f.number in numbers}
        if stated.get(numbers[0]) in _MODELS and stated.get(numbers[1]):
            found = parse_object(stated[numbers[1]], source.name, "Keras metadata", limits)
            found = {key: _without_tuples(value) for key, value in found.items()}
            if "model_config" not in found and found.get("is_graph_network"):
                config = {key: found[key] for key in ("class_name", "config") if key in found}
                return {**found, "model_config": config}
            return found
    return {}


def _without_tuples(value: object) -> object:
    """Return JSON data with lists where this format has tuples: {"class_name": "__tuple__", "items": [4, 1]}."""
    if isinstance(value, dict):
        if value.get("class_name") in _TUPLES and isinstance(value.get("items"), list):
            value = value["items"]
        else:
            return {key: _without_tuples(item) for key, item in value.items()}
    return [_without_tuples(item) for item in value] if isinstance(value, list) else value
