"""What a converted file remembers of the legacy file, so that the way back needs nothing else.

`converters.convert` makes the record and stores it as plain data under metadata["legacy"]; `converters.legacy_files.export` reads it.
It holds groups, attributes, texts and the names of all arrays, where the optimizer's arrays went, and the values of
the few small arrays that have no place in torch (metrics, seeds, placeholders). Where the model's arrays went is
in the mapping that every converted file has (metadata["tensors"]).
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo, Checkpoint, StoredFile
from converters.errors import UnreadableFileError
from converters.limits import MAX_ARRAY_BYTES
from converters.matching.containers import KEPT_TWICE
from converters.matching.cudnn import is_unfolded
from converters.matching.keras1_gates import JOINT
from converters.matching.lora import has_lora
from converters.optimizers.stored_names import dialect_of
from converters.planned import Plan

MAX_KEPT_BYTES = 256 * 1024
"""Of all arrays that are kept as they are, together; the way back needs the legacy file itself for larger ones."""
OPTIMIZER_GROUPS = {
    "keras-h5": "optimizer_weights",
    "keras-h5-weights": "optimizer_weights",
    "keras-weights-h5": "optimizer",
    "keras-archive": "optimizer",
}
"""Group of the optimizer's arrays by format; these are the formats that can be written."""
SUFFIXES = {
    "keras-h5": ".h5",
    "keras-h5-weights": ".h5",
    "keras-weights-h5": ".weights.h5",
    "keras-archive": ".keras",
}
"""Endings by format; a legacy .h5 has weights only if the file that was converted had."""
_DTYPE_LENGTH = 3  # "<f4"

Attributes = Mapping[str, Mapping[str, str | list[str]]]


@dataclass(frozen=True, slots=True)
class OptimizerRecord:
    """Where the optimizer's stored arrays went.

    Attributes:
        kind: class name in Keras.
        dialect: who wrote the variables, as `converters.optimizers.stored_names` tells.
        slots: name in the torch state to the path of the array of every trainable parameter, in the module's order;
            None for a parameter without that slot.
        layouts: path to layout, of the slots that do not have their parameter's.
        numbers: entry of the torch group ("iterations", "learning_rate") to the path of its array.
    """

    kind: str
    dialect: str
    slots: Mapping[str, tuple[str | None, ...]]
    layouts: Mapping[str, str]
    numbers: Mapping[str, str]

    @property
    def paths(self) -> list[str]:
        """All arrays, in no order that means anything."""
        slots = [path for paths in self.slots.values() for path in paths if path is not None]
        return [*self.numbers.values(), *slots]


@dataclass(frozen=True, slots=True)
class LegacyRecord:
    """The legacy file without its weights.

    Attributes:
        format: "keras-h5", "keras-h5-weights", "keras-weights-h5" or "keras-archive".
        generation: of Keras, 1 to 3.
        version: the same in full, if the file says so.
        configuration: of the model; None: the file has none and none was given.
        arrays: path to dtype and shape.
        kept: path to the bytes of an array that has no place in torch; those of one element where all are equal.
        twins: path to the path of the array that is the same variable of Keras, stored twice.
    """

    format: str
    generation: int
    version: str | None
    configuration: str | None
    groups: tuple[str, ...]
    attributes: Attributes
    members: Mapping[str, str]
    arrays: Mapping[str, tuple[str, tuple[int, ...]]]
    kept: Mapping[str, bytes]
    twins: Mapping[str, str]
    optimizer: OptimizerRecord | None

    def kept_array(self, path: str) -> NDArray:  # type: ignore[type-arg]  # any dtype
        """Return the values of an array that was kept."""
        dtype, shape = self.arrays[path]
        return np.broadcast_to(
            np.frombuffer(self.kept[path], dtype).reshape(
                shape if len(self.kept[path]) == _nbytes(dtype, shape) else ()
            ),
            shape,
        )

    def to_data(self) -> dict[str, object]:
        """Return plain data; equal files give equal data."""
        own = self.attributes.get("", {}).get("model_config") or self.members.get("config.json")
        return {
            "format": self.format,
            "generation": self.generation,
            "version": self.version,
            # The text is stored once; it stands here where it came from another file (--architecture).
            "configuration": None if self.configuration == own else self.configuration,
            "groups": list(self.groups),
            "attributes": {group: dict(found) for group, found in self.attributes.items()},
            "members": dict(self.members),
            "arrays": [[path, dtype, list(shape)] for path, (dtype, shape) in self.arrays.items()],
            "kept": {
                path: base64.b64encode(data).decode("ascii") for path, data in self.kept.items()
            },
            "twins": dict(self.twins),
            "optimizer": None
            if self.optimizer is None
            else {
                "kind": self.optimizer.kind,
                "dialect": self.optimizer.dialect,
                "slots": {slot: list(paths) for slot, paths in self.optimizer.slots.items()},
                "layouts": dict(self.optimizer.layouts),
                "numbers": dict(self.optimizer.numbers),
            },
        }

    @staticmethod
    def from_data(data: object) -> LegacyRecord:
        """Return the record that `to_data` gave; the data may come from anyone.

        Raises:
            UnreadableFileError: The data has another form.
        """
        try:
            return _parse(_mapping(data))
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
            msg = f"what the file remembers of the legacy file is not readable: {error!r}"
            raise UnreadableFileError(msg) from error


def make_record(
    checkpoint: Checkpoint, plan: Plan, *, max_kept_bytes: int = MAX_KEPT_BYTES
) -> LegacyRecord | None:
    """Return the record of a checkpoint, or None for a kind of file that is not written."""
    stored = checkpoint.stored
    if stored is None or stored.format not in OPTIMIZER_GROUPS:
        return None
    if any(is_unfolded(move.source) or has_lora(move.source) for move in plan.moves):
        return None  # what cuDNN's layers stored, and what LoRA learned apart, is not written back
    prefix = OPTIMIZER_GROUPS[stored.format]
    optimizer = _optimizer_record(checkpoint, plan, stored)
    placed = {
        part for move in plan.moves for part in (move.source.name, *move.source.name.split(JOINT))
    }
    if optimizer is not None:
        placed |= set(optimizer.paths)
    twins = dict(plan.twins) | {
        path: twin
        for path, reason in plan.ignored
        if reason == KEPT_TWICE and (twin := f"{path.rpartition('vars/')[0]}layer/vars/0") in placed
    }
    placed |= set(twins)
    rest = [
        info
        for path, info in stored.arrays.items()
        # Optimizer state that does not convert would be out of date after the first step in torch.
        if path not in placed and (optimizer is not None or not path.startswith(f"{prefix}/"))
    ]
    return LegacyRecord(
        format=stored.format,
        generation=checkpoint.provenance.generation,
        version=stored.version,
        configuration=stored.configuration,
        groups=tuple(sorted(stored.groups)),
        attributes={group: stored.attributes[group] for group in sorted(stored.attributes)},
        members=stored.members,
        arrays={path: (info.dtype.str, info.shape) for path, info in stored.arrays.items()},
        kept=_keep(rest, max_kept_bytes),
        twins=twins,
        optimizer=optimizer,
    )


def _optimizer_record(
    checkpoint: Checkpoint, plan: Plan, stored: StoredFile
) -> OptimizerRecord | None:
    if plan.optimizer is None or checkpoint.optimizer is None:
        return None
    if any(JOINT in move.source.name for moves in plan.slots for move in moves.values()):
        return None  # nor are joined slots of single gates (Keras 1)
    prefix = OPTIMIZER_GROUPS[stored.format]

    def path(info: ArrayInfo) -> str:
        # Readers name an optimizer's variables as `weight_names` does, without the group.
        return info.name if info.name in stored.arrays else f"{prefix}/{info.name}"

    numbers = {
        "iterations": plan.optimizer.iterations,
        "learning_rate": plan.optimizer.learning_rate,
        **plan.optimizer.numbers,
    }
    names = dict.fromkeys(slot for moves in plan.slots for slot in moves)
    slots = {
        slot: tuple(path(moves[slot].source) if slot in moves else None for moves in plan.slots)
        for slot in names
    }
    own = {move.target: move.layout for move in plan.moves}
    layouts = {
        path(move.source): str(move.layout)
        for key, moves in zip(plan.parameters, plan.slots, strict=False)
        for move in moves.values()
        if move.layout != own[key]
    }
    return OptimizerRecord(
        kind=plan.optimizer.target.rpartition(".")[2],
        dialect=dialect_of(checkpoint.optimizer),
        slots=slots,
        layouts=layouts,
        numbers={
            entry: path(info) for entry, info in numbers.items() if isinstance(info, ArrayInfo)
        },
    )


def _keep(infos: Sequence[ArrayInfo], limit: int) -> dict[str, bytes]:
    """Return the bytes of small arrays, and one element of those that repeat it."""
    kept: dict[str, bytes] = {}
    total = 0
    for info in infos:
        array = np.ascontiguousarray(info.read())
        data = array.reshape(-1)[:1].tobytes()
        if array.tobytes() != data * array.size:
            data = array.tobytes()
        if total + len(data) <= limit:
            kept[info.name] = data
            total += len(data)
    return kept


def _nbytes(dtype: str, shape: Sequence[int]) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _parse(data: Mapping[object, object]) -> LegacyRecord:
    attributes = {
        _group(group): {
            _text(name): _text_or_list(value) for name, value in _mapping(found).items()
        }
        for group, found in _mapping(data["attributes"]).items()
    }
    members = _texts(data["members"])
    own = attributes.get("", {}).get("model_config") or members.get("config.json")
    given = data["configuration"]
    arrays: dict[str, tuple[str, tuple[int, ...]]] = {}
    for path, dtype, shape in cast("list[tuple[object, object, Sequence[object]]]", data["arrays"]):
        arrays[_path(path)] = _checked(_text(dtype), tuple(map(_size, shape)))
    kept = {
        path: base64.b64decode(text, validate=True) for path, text in _texts(data["kept"]).items()
    }
    for path, content in kept.items():
        if len(content) not in (np.dtype(arrays[path][0]).itemsize, _nbytes(*arrays[path])):
            msg = f"{len(content)} bytes are kept of '{path}'"
            raise ValueError(msg)
    twins = _texts(data["twins"])
    for path, twin in twins.items():
        if arrays[path] != arrays[twin]:
            msg = f"'{path}' and '{twin}' are not alike"
            raise ValueError(msg)
    version = data["version"]
    record = LegacyRecord(
        format=_text(data["format"]),
        generation=_size(data["generation"]),
        version=None if version is None else _text(version),
        configuration=(own if isinstance(own, str) else None) if given is None else _text(given),
        groups=tuple(map(_group, cast("list[object]", data["groups"]))),
        attributes=attributes,
        members=members,
        arrays=arrays,
        kept=kept,
        twins=twins,
        optimizer=None
        if data["optimizer"] is None
        else _parse_optimizer(data["optimizer"], arrays),
    )
    if record.format not in OPTIMIZER_GROUPS:
        msg = f"format {record.format!r}"
        raise ValueError(msg)
    return record


def _parse_optimizer(value: object, arrays: Mapping[str, object]) -> OptimizerRecord:
    data = _mapping(value)
    record = OptimizerRecord(
        kind=_text(data["kind"]),
        dialect=_text(data["dialect"]),
        slots={
            _text(slot): tuple(
                None if path is None else _text(path) for path in cast("list[object]", paths)
            )
            for slot, paths in _mapping(data["slots"]).items()
        },
        layouts=_texts(data["layouts"]),
        numbers=_texts(data["numbers"]),
    )
    missing = [path for path in record.paths if path not in arrays]
    if missing:
        msg = f"no array '{missing[0]}'"
        raise ValueError(msg)
    return record


def _checked(dtype: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return the arguments. Raises ValueError for a dtype that no reader gives, or an array that is too large."""
    if len(dtype) != _DTYPE_LENGTH or np.dtype(dtype).kind not in "fiub":
        msg = f"dtype {dtype!r}"
        raise ValueError(msg)
    if _nbytes(dtype, shape) > MAX_ARRAY_BYTES:
        msg = f"an array of shape {shape}"
        raise ValueError(msg)
    return dtype, shape


def _mapping(value: object) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        msg = f"a {type(value).__name__} where a mapping is needed"
        raise TypeError(msg)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"{value!r:.40} is not text"
        raise TypeError(msg)
    return value


def _path(value: object) -> str:
    """Return a path inside an HDF5 file. Raises ValueError for one that means another there."""
    text = _text(value)
    if "\0" in text or any(part in ("", ".", "..") for part in text.split("/")):
        msg = f"path {text!r:.40}"
        raise ValueError(msg)
    return text


def _group(value: object) -> str:
    return "" if value == "" else _path(value)


def _texts(value: object) -> dict[str, str]:
    return {_text(key): _text(entry) for key, entry in _mapping(value).items()}


def _text_or_list(value: object) -> str | list[str]:
    return list(map(_text, value)) if isinstance(value, (list, tuple)) else _text(value)


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        msg = f"{value!r:.40} is not a size"
        raise TypeError(msg)
    return value
