"""What Keras files say beside the weights: the model's configuration, how it was trained, which Keras wrote it."""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.checkpoint import ArrayInfo, OptimizerState, Provenance
from converters.errors import UnreadableFileError, placed
from converters.graph import MODEL_CLASSES, Graph
from converters.json_text import parse_json
from converters.limits import Limits
from converters.readers.files.source import Source
from converters.yaml_text import parse_yaml

FIRST_NEW_OPTIMIZERS = (2, 11)
"""tf.keras 2.11 moved the old optimizer classes to `keras.optimizers.legacy`."""
_YAML = re.compile(rb"^(?:backend|class_name|config|keras_version):", re.MULTILINE)
"""A line of `to_yaml`, which Keras had until TensorFlow 2.6."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A configuration text with what was found in it.

    Attributes:
        file: name of the file that holds the text, for messages.
        generation: of the Keras that wrote the text.
        version: the same in full ("2.2.4-tf"), where the text or the file around it says so.
    """

    text: str
    config: Mapping[str, object]
    file: str
    generation: int
    details: Mapping[str, str]
    version: str | None = None

    @property
    def training(self) -> Mapping[str, object] | None:
        """How the model was compiled, where the text says so (`compile_config`)."""
        training = self.config.get("compile_config")
        return training if isinstance(training, dict) else None

    @property
    def foreign_class(self) -> str | None:
        """The model's class where it is the user's own: its structure is code, which no file holds."""
        name = str(self.config.get("class_name"))
        return None if name in MODEL_CLASSES else name

    def graph(self, limits: Limits) -> Graph | None:
        """Return the layers and calls, or None for the weights' own model of a class of the user's.

        Raises:
            ConversionError: The text is no configuration of a model, or one that was given is of such a class. The
                message has the place of the text.
        """
        from converters.configuration.models import parse_model_config

        if self.foreign_class is not None and not self.details:
            return None

        with placed(self.file):
            return parse_model_config(
                self.text, generation=self.generation, version=self.version, limits=limits
            )


def parse_object(text: str, file: str, what: str, limits: Limits) -> Mapping[str, object]:
    """Return the JSON object in a text of `file`. Raises UnreadableFileError, UnsafeFileError."""
    with placed(file):
        value = parse_json(text, what=what, limits=limits)
    if not isinstance(value, dict):
        message = f"{file}: the {what} is a JSON {type(value).__name__}; an object is needed."
        raise UnreadableFileError(message)
    return value


def decode_text(data: bytes, file: str, what: str) -> str:
    """Return UTF-8 bytes as text. Raises UnreadableFileError."""
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        message = f"{file}: the {what} is not UTF-8 text (byte {error.start:,})."
        raise UnreadableFileError(message) from error


def parse_architecture(
    text: str,
    file: str,
    limits: Limits,
    *,
    generation: int | None = None,
    version: str | None = None,
    details: Mapping[str, str] | None = None,
) -> Architecture:
    """Return a configuration text as `Architecture`.

    Args:
        text: JSON of `to_json`, `config.json` or the attribute `model_config`.
        file: name of the file that holds it, for messages.
        limits: bounds on the text.
        generation: of the Keras that wrote it, where the file around it says so.
        version: the same in full.
        details: what to record of the text in the provenance.

    Raises:
        UnreadableFileError, UnsafeFileError: The text is no model configuration, or out of bounds.
    """
    config = parse_object(text, file, "model configuration", limits)
    if "class_name" not in config or "config" not in config:
        message = f"{file}: the model configuration has no 'class_name' and 'config'."
        raise UnreadableFileError(message)
    if not isinstance(config["class_name"], str):
        found = type(config["class_name"]).__name__
        message = (
            f"{file}: the model configuration's 'class_name' is a JSON {found}; a text is needed."
        )
        raise UnreadableFileError(message)
    if generation is None:
        generation = _generation_of(config, text)
    stated = config.get("keras_version")
    version = version or (stated if isinstance(stated, str) else None)
    return Architecture(text, config, file, generation, details or {}, version)


def read_architecture(path: Path, limits: Limits) -> Architecture | None:
    """Return the configuration in a file of its own, JSON or YAML; None for a file that is neither.

    Raises:
        UnreadableFileError, UnsafeFileError: The text is no model configuration, or out of bounds.
    """
    source = Source(path)
    is_json = source.prefix.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))
    if not is_json and not _YAML.search(source.prefix):
        return None
    data = source.file.read(0, limits.max_json_bytes + 1)
    text = decode_text(data, source.name, "model configuration")
    with placed(source.name):
        parse = parse_json if is_json else parse_yaml
        value = parse(text, what="model configuration", limits=limits)
        whole = _with_class(value)
        if whole is not value or not is_json:
            text = _as_json(whole)
    details = given_details(path.name, hashlib.sha256(data).hexdigest())
    return parse_architecture(text, source.name, limits, details=details)


def given_details(file: str, sha256: str) -> dict[str, str]:
    """Return what the provenance says of a configuration that the user gave."""
    return {"architecture": file, "architecture_sha256": sha256}


def _with_class(value: object) -> object:
    """Return what `to_json` would have written for the result of `get_config`; anything else as it is."""
    layers = value.get("layers") if isinstance(value, dict) else value
    if not isinstance(layers, list) or (isinstance(value, dict) and "class_name" in value):
        return value
    functional = isinstance(value, dict) and "output_layers" in value
    whole = {"class_name": "Functional" if functional else "Sequential", "config": value}
    # What tells the generations apart is beside the class of each layer, too.
    modules = [entry["module"] for entry in layers if isinstance(entry, dict) and "module" in entry]
    return {**whole, "module": modules[0]} if modules else whole


def _as_json(value: object) -> str:
    """Return plain data as JSON, which is what everything behind reads. Raises UnreadableFileError."""
    try:
        return json.dumps(value)
    except TypeError as error:  # bytes that are no number
        message = f"the model configuration has a value that JSON has not: {error}"
        raise UnreadableFileError(message) from error


def provenance(
    source: Source,
    file_format: str,
    *,
    version: str | None,
    generation: int,
    backend: str | None = None,
    architecture: Architecture | None = None,
) -> Provenance:
    """Return where a Keras file came from; waits for its hash."""
    details = {"backend": backend} if backend else {}
    return Provenance(
        file=source.path.name,
        digest=source.sha256,
        size=source.size,
        format=file_format,
        producer=f"Keras {version}" if version else None,
        generation=generation,
        details={**details, **(architecture.details if architecture else {})},
    )


def _generation_of(config: Mapping[str, object], text: str) -> int:
    version = config.get("keras_version")
    generation = major_version(version) if isinstance(version, str) else None
    if generation is not None:
        return generation
    # Keras 3 writes no version into to_json; every model of Keras 2 that is serialized with modules (2.12 on)
    # has input layers with 'batch_input_shape', which Keras 3 calls 'batch_shape'.
    return 3 if "module" in config and '"batch_input_shape"' not in text else 2


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: "2.2.4-tf" is (2, 2, 4)."""
    numbers: list[int] = []
    for part in version.split("-")[0].split("."):
        if not part.isdecimal() or len(part) > 6:
            break
        numbers.append(int(part))
    return tuple(numbers)


def major_version(version: str) -> int | None:
    """Return the Keras generation of a version text, or None when it is none of 1, 2, 3."""
    numbers = version_numbers(version)
    return numbers[0] if numbers and numbers[0] in (1, 2, 3) else None


def optimizer_state(
    training: Mapping[str, object] | None,
    variables: Sequence[ArrayInfo],
    *,
    generation: int,
    version: str | None,
) -> OptimizerState | None:
    """Return what is known of the optimizer, or None when nothing is.

    Args:
        training: `training_config` or `compile_config`.
        variables: the stored slots, in stored order.
        generation: of the Keras that wrote the file.
        version: of that Keras, where the file says so.
    """
    entry = None
    for key in ("optimizer_config", "optimizer"):
        entry = entry or (training or {}).get(key)
    stored: Mapping[str, object] = entry if isinstance(entry, dict) else {}
    if not stored and not variables:
        return None
    name = stored.get("class_name")
    config = stored.get("config")
    return OptimizerState(
        kind=name.rsplit(">", 1)[-1] if isinstance(name, str) else None,
        config=config if isinstance(config, dict) else {},
        variables=tuple(variables),
        legacy=_is_legacy(stored, variables, generation, version),
        generation=generation,
    )


def _is_legacy(
    stored: Mapping[str, object],
    variables: Sequence[ArrayInfo],
    generation: int,
    version: str | None,
) -> bool:
    """Tell old optimizer classes from those of Keras 2.11 and later, which share their names."""
    if generation != 2:
        return generation == 1
    config = stored.get("config")
    config = config if isinstance(config, dict) else {}
    inner = config.get("inner_optimizer")
    if isinstance(inner, dict):
        return _is_legacy(inner, variables, generation, version)
    module = stored.get("module")
    if isinstance(module, str):
        return module.endswith("legacy")
    if "is_legacy_optimizer" in config or str(stored.get("class_name")).startswith("Custom>"):
        return bool(config.get("is_legacy_optimizer", False))
    if version is not None and version_numbers(version) < FIRST_NEW_OPTIMIZERS:
        return True
    # New optimizers name their first variable `iteration`, old ones `iter` or `iterations`; weight containers
    # number them and never hold old ones.
    first = variables[0].name.rsplit("/", 1)[-1] if variables else ""
    return not (first.startswith("iteration:") or first.isdecimal())
