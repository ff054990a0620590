"""Archives of stable-baselines 2: `data` (JSON), `parameters` (npz) and `parameter_list` (JSON).

What is no JSON in `data` is a pickle in base64: spaces, classes, functions. It is read by its opcodes; functions stay unread.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from converters.agents.facts import AgentFacts
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import ConversionError, UnreadableFileError, UnsupportedError, placed
from converters.json_text import parse_json
from converters.limits import Limits
from converters.readers.files.archive import Archive, is_archive
from converters.readers.files.inner import archive_of
from converters.readers.files.keras_settings import Architecture
from converters.readers.files.source import Source, quote
from converters.readers.numpy_archive import read_member
from converters.readers.pickles import PickledObject, Reference, read_pickle
from converters.readers.pickles.holding import named_layers, provenance_of

DATA, PARAMETERS, NAMES = "data", "parameters", "parameter_list"
TORCH_PARTS = ("policy.pth", "pytorch_variables.pth")
SERIALIZED, KIND = ":serialized:", ":type:"
FORMAT = "stable-baselines-zip"
_CODE = ("cloudpickle.", "types.", "builtins.getattr", "builtins.__import__")


class StableBaselines:
    """Reader of the archives that `model.save` of stable-baselines 2.8 and later writes."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file is an archive with these members."""
        if not is_archive(source):
            return False
        names = set(Archive(source).names)
        return DATA in names and bool(names & {PARAMETERS, *TORCH_PARTS})

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return variables and settings."""
        archive = Archive(source)
        found = [name for name in TORCH_PARTS if name in archive.names]
        if found:
            message = f"{source.name}: is an agent of stable-baselines3, which is PyTorch already."
            raise UnsupportedError(message, hint="stable_baselines3.<Algorithm>.load opens it")
        archive.require_only((DATA, PARAMETERS, NAMES))
        with placed(source.name):
            settings, unread = read_settings(archive.read(DATA, limits.max_json_bytes), limits)
            arrays = _parameters(archive, limits)
        return Checkpoint(
            layers=named_layers(arrays),
            graph=None,
            optimizer=None,
            training=None,
            extras=[],
            provenance=provenance_of(source, FORMAT, "stable-baselines 2"),
            agent=AgentFacts("stable-baselines", settings, unread=unread),
        )


READER = StableBaselines()


def read_settings(
    data: bytes, limits: Limits
) -> tuple[dict[str, object], tuple[tuple[str, str], ...]]:
    """Return the settings of `data`, and what of them is code.

    Raises:
        UnreadableFileError: It is no JSON object.
        UnsafeFileError: Larger or deeper than the limits.
    """
    values = parse_json(data.decode("utf-8", "replace"), what="data", limits=limits, constants=True)
    if not isinstance(values, dict):
        msg = "'data' is no JSON object"
        raise UnreadableFileError(msg)
    settings: dict[str, object] = {}
    unread: list[tuple[str, str]] = []
    for key, value in values.items():
        packed = value.get(SERIALIZED) if isinstance(value, dict) else None
        if not isinstance(packed, str):
            settings[key] = value
            continue
        kind = str(value.get(KIND, ""))[:80]
        try:
            found = read_pickle(base64.b64decode(packed, validate=True), limits=limits)
        except (ConversionError, binascii.Error, ValueError):
            unread.append((key, f"{kind}, damaged"))
            continue
        settings[key] = found.value
        if any(name.startswith(_CODE) for name in found.called):
            unread.append((key, kind))
    return settings, tuple(unread)


def unread_code(settings: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return the settings that are functions or classes made by a pickle."""
    return tuple(
        (key, "a function")
        for key, value in settings.items()
        if isinstance(value, PickledObject) and not isinstance(value.function, Reference)
    )


def _parameters(archive: Archive, limits: Limits) -> dict[str, ArrayInfo]:
    """Return the variables in the order in which they were made."""
    inner = archive_of(archive.read(PARAMETERS, limits.max_array_bytes), archive.file_name)
    strange = [name for name in inner.names if not name.endswith(".npy")]
    if strange:
        msg = f"'parameters' holds {quote(strange[0])}, which is no array"
        raise UnreadableFileError(msg)
    arrays = {name.removesuffix(".npy"): read_member(inner, name, limits) for name in inner.names}
    order = _order(archive, limits)
    if order is not None and sorted(order) == sorted(arrays):
        return {name: arrays[name] for name in order}
    return arrays


def _order(archive: Archive, limits: Limits) -> Sequence[str] | None:
    if NAMES not in archive.names:
        return None
    text = archive.read(NAMES, limits.max_json_bytes).decode("utf-8", "replace")
    names = parse_json(text, what=NAMES, limits=limits)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        msg = f"'{NAMES}' is no list of names"
        raise UnreadableFileError(msg)
    return names
