"""The texts of a Keras file for another of its formats: `model_config` and `training_config`, or the members of an archive.

Both say the same; an archive names the module of every object, an .h5 file does not. Nothing is translated between
generations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from converters.configuration.keras3 import OWN_NAMES
from converters.errors import UnsupportedError
from converters.json_text import parse_json
from converters.legacy_files.record import LegacyRecord
from converters.limits import Limits
from converters.registry import LAYERS

DATE = "1980-01-01@00:00:00"
"""Where Keras writes the time: the same input gives the same bytes."""
OF_ARCHIVES = ("module", "registered_name", "build_config", "compile_config", "shared_object_id")
"""Entries that say where a class is, or how it was built; .h5 files do without."""
FUNCTIONAL_MODULE = "keras.src.models.functional"

EXPORTED_NAMES = {exported: own for own, exported in OWN_NAMES.items()}

Json = dict[str, object]


def archive_members(record: LegacyRecord) -> dict[str, str]:
    """Return "metadata.json" and "config.json" of the model.

    Raises:
        UnsupportedError: There is no configuration, or one that no archive may hold.
    """
    if record.members:
        return dict(record.members)
    config = dict(_configuration(record))
    version = record.version or "3.0.0"
    if "module" not in config:
        config = _with_modules(config)
    training = stored_training(record)
    if training is not None and "compile_config" not in config:
        config["compile_config"] = training
    return archive_texts(config, version)


def archive_texts(config: Json, version: str) -> dict[str, str]:
    """Return the members of an archive for a configuration in Keras 3's words."""
    return {
        "metadata.json": json.dumps({"keras_version": version, "date_saved": DATE}),
        "config.json": json.dumps(config),
    }


def h5_attributes(record: LegacyRecord) -> dict[str, str]:
    """Return the attributes of a whole-model .h5. Raises UnsupportedError: There is no configuration."""
    stored = record.attributes.get("", {})
    if "model_config" in stored:
        return {name: text for name, text in stored.items() if isinstance(text, str)}
    config = _configuration(record)
    found = {
        "keras_version": record.version or f"{record.generation}.0.0",
        "backend": "tensorflow",
        "model_config": json.dumps(_without_modules(config)),
    }
    training = config.get("compile_config")
    if isinstance(training, Mapping):
        rest = {key: value for key, value in training.items() if key != "optimizer"}
        optimizer = training.get("optimizer")
        if isinstance(optimizer, Mapping):
            name = str(optimizer.get("class_name"))
            # Keras 2.11 to 2.15 told its new optimizers from the old ones by this.
            prefix = "Custom>" if record.generation == 2 and ">" not in name else ""
            rest["optimizer_config"] = {
                "class_name": f"{prefix}{name}",
                "config": optimizer.get("config"),
            }
            found["training_config"] = json.dumps(rest)
    return found


def with_changed_options(record: LegacyRecord, changed: Mapping[str, object]) -> LegacyRecord:
    """Return the record with hyper-parameters of the optimizer replaced in its texts, where they stand in them."""
    root = dict(record.attributes.get("", {}))
    members = dict(record.members)
    if isinstance(text := root.get("training_config"), str):
        root["training_config"] = _changed(text, ("optimizer_config",), changed)
    if "config.json" in members:
        place = ("compile_config", "optimizer")
        members["config.json"] = _changed(members["config.json"], place, changed)
    return replace(record, attributes={**record.attributes, "": root}, members=members)


def _changed(text: str, place: tuple[str, ...], changed: Mapping[str, object]) -> str:
    """Return the JSON text with settings of the optimizer replaced, or the same text where nothing differs."""
    data = entry = _object(text)
    for key in place:
        found = entry.get(key)
        if not isinstance(found, dict):
            return text
        entry = found
    settings = entry.get("config")
    if not isinstance(settings, dict):
        return text
    for name, value in changed.items():
        names = ("learning_rate", "lr") if name == "learning_rate" else (name,)
        settings.update({each: value for each in names if each in settings})
    return json.dumps(data)


def _configuration(record: LegacyRecord) -> Json:
    if record.configuration is None:
        msg = "the model's configuration is not in the file: the legacy file had weights only"
        raise UnsupportedError(
            msg, hint="export weights: -o model.weights.h5, or convert again with --architecture"
        )
    return _object(record.configuration)


def _object(text: str) -> Json:
    value = parse_json(text, what="configuration", limits=Limits())
    return cast("Json", value) if isinstance(value, dict) else {}


def stored_training(record: LegacyRecord) -> Json | None:
    """Return `compile_config`, made of `training_config` where an .h5 has that."""
    text = record.attributes.get("", {}).get("training_config")
    if not isinstance(text, str):
        return None
    stored = _object(text)
    optimizer = stored.pop("optimizer_config", None)
    if not isinstance(optimizer, dict):
        return None
    found: Json = {
        "module": "keras.optimizers",
        "class_name": optimizer.get("class_name"),
        "config": optimizer.get("config"),
        "registered_name": None,
    }
    modules = {
        "loss": "keras.losses",
        "metrics": "keras.metrics",
        "weighted_metrics": "keras.metrics",
    }
    return {
        "optimizer": found,
        **{key: _named(value, modules.get(key)) for key, value in stored.items()},
    }


def _named(value: object, module: str | None) -> object:
    """Return a setting with the module of every object of Keras's own in it; .h5 files leave it out."""
    if isinstance(value, list):
        return [_named(entry, module) for entry in value]
    if not isinstance(value, Mapping):
        return value
    name = value.get("class_name")
    if module is not None and isinstance(name, str) and "config" in value:
        if "module" in value or ">" in name:
            return value
        return {"module": module, "registered_name": None, **value}
    return {key: _named(entry, module) for key, entry in value.items()}


def _with_modules(entry: Mapping[str, object]) -> Json:
    """Return the entry of a model or a layer with the module of its class, models inside models included.

    Raises:
        UnsupportedError: It is an operation: an .h5 does not say in which module Keras has it.
    """
    import converters.layers  # noqa: F401  # fills the registry

    name, config = str(entry.get("class_name")), entry.get("config")
    settings = config if isinstance(config, Mapping) else {}
    if name in ("Functional", "Model"):
        about: Json = {
            "module": FUNCTIONAL_MODULE,
            "class_name": "Functional",
            "registered_name": "Functional",
        }
    elif name == "Sequential":
        about = {"module": "keras", "class_name": name, "registered_name": None}
    elif (exported := OWN_NAMES.get(name, name)) in LAYERS or name == "InputLayer":
        about = {"module": "keras.layers", "class_name": exported, "registered_name": None}
    elif ">" not in name and "trainable" not in settings and "dtype" not in settings:
        msg = f"the model uses the operation '{name}'; an .h5 does not say from which module of Keras, a .keras must"
        raise UnsupportedError(msg, hint="export to .h5, the format that the legacy file had")
    else:
        about = {"class_name": name}
    layers = settings.get("layers")
    if isinstance(layers, list):
        inner = [_with_modules(layer) if isinstance(layer, Mapping) else layer for layer in layers]
        config = {**settings, "layers": inner}
    return {**entry, **about, "config": config}


def _without_modules(entry: Mapping[str, object]) -> Json:
    """Return the entry of a model or a layer as .h5 files have it, models inside models included."""
    kept = {key: value for key, value in entry.items() if key not in OF_ARCHIVES}
    name = str(entry.get("class_name"))
    kept["class_name"] = EXPORTED_NAMES.get(name, name)  # .h5 files have the class's own name
    config = entry.get("config")
    layers = config.get("layers") if isinstance(config, Mapping) else None
    if isinstance(config, Mapping) and isinstance(layers, list):
        inner = [
            _without_modules(layer) if isinstance(layer, Mapping) else layer for layer in layers
        ]
        kept["config"] = {**config, "layers": inner}
    return kept
