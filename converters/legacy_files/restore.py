"""Legacy arrays out of a torch state: every move of the conversion backwards. No torch is imported; tensors come as they are.

Layouts only reorder, so the way back is exact. What cannot be restored is named with a reason, never made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo
from converters.errors import MismatchError, UnreadableFileError, UnsupportedError
from converters.layouts import Layout
from converters.legacy_files.record import OPTIMIZER_GROUPS, LegacyRecord
from converters.matching.keras1_gates import JOINT

Array = NDArray[Any]  # any dtype that a file may have
MAX_LISTED = 8
"""Lines of a message that lists arrays."""


class TensorLike(Protocol):
    """What is needed of a torch tensor."""

    shape: tuple[int, ...]
    dtype: object

    def detach(self) -> Any: ...  # noqa: ANN401, D102  # a torch tensor


@dataclass(frozen=True, slots=True)
class Place:
    """Where one stored array of the model went."""

    target: str
    layout: Layout
    shape: tuple[int, ...]  # of the stored array


@dataclass(frozen=True, slots=True)
class Origin:
    """What a converted file says of its conversion.

    Attributes:
        places: stored name to where it went; one name may be of several arrays that were joined.
        parameters: names of the parameters that the optimizer has, in its order.
        options: of the optimizer as they were converted.
    """

    record: LegacyRecord
    places: tuple[tuple[str, Place], ...]
    parameters: tuple[str, ...]
    options: Mapping[str, object]

    @staticmethod
    def from_metadata(metadata: Mapping[str, object]) -> Origin:
        """Return the origin that the metadata of a converted file tells. Raises UnreadableFileError."""
        record = LegacyRecord.from_data(metadata.get("legacy"))
        try:
            places = [
                (
                    str(entry["source"]),
                    Place(
                        str(entry["target"]),
                        Layout.parse(str(entry["layout"])),
                        tuple(int(size) for size in entry["source_shape"]),
                    ),
                )
                for entry in cast("list[Mapping[str, Any]]", metadata["tensors"])
            ]
            about = cast("Mapping[str, Any]", metadata.get("optimizer") or {})
            parameters = tuple(str(name) for name in about.get("parameters", ()))
            options = dict(about.get("options", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"the mapping in the file is not readable: {error!r}"
            raise UnreadableFileError(msg) from error
        return Origin(record, tuple(places), parameters, options)


@dataclass(slots=True)
class Restored:
    """Legacy arrays by path, and what could not be restored.

    Attributes:
        slots: optimizer state by parameter and name, in Keras's layout; None: it is not carried.
        group: entries of the optimizer's one parameter group, in Keras's words.
        lost: what could not be restored, and the reason.
    """

    arrays: dict[str, ArrayInfo] = field(default_factory=dict)
    slots: Mapping[str, Mapping[str, ArrayInfo]] | None = None
    group: Mapping[str, object] = field(default_factory=dict)
    lost: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def restore_model(origin: Origin, state: Mapping[str, TensorLike]) -> Restored:
    """Return the model's arrays, and those that were kept as they are.

    Raises:
        MismatchError: The state is not that of the converted module; all differences are listed.
    """
    restored = Restored()
    record = origin.record
    problems: list[str] = []
    targets = {place.target for _, place in origin.places}
    problems += [
        f"{name}: the legacy file has nothing for it" for name in state if name not in targets
    ]
    for source, place in origin.places:
        tensor = state.get(place.target)
        needed = place.layout.shape(place.shape)
        if tensor is None:
            problems.append(f"{place.target}: missing, needed for {source}")
        elif tuple(tensor.shape) != needed:
            problems.append(f"{place.target}: found {tuple(tensor.shape)}, needed {needed}")
        else:
            _restore_array(source, place, tensor, record, restored)
    if problems:
        listed = "\n  ".join(problems[:MAX_LISTED])
        more = f"\n  and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        msg = f"the state is not that of the converted module:\n  {listed}{more}"
        raise MismatchError(msg)
    for path in record.kept:
        restored.arrays[path] = _kept(path, record)
    for path, twin in record.twins.items():
        if twin in restored.arrays:
            restored.arrays[path] = replace(restored.arrays[twin], name=path)
    prefix = f"{OPTIMIZER_GROUPS[record.format]}/"
    lost = [p for p in record.arrays if p not in restored.arrays and not p.startswith(prefix)]
    if lost:
        msg = (
            f"{len(lost)} arrays have no place in PyTorch and were too large to be kept: {lost[0]}"
        )
        raise UnsupportedError(msg, hint="name the legacy file they are in: --like agent.h5")
    return restored


def _restore_array(
    source: str, place: Place, tensor: TensorLike, record: LegacyRecord, restored: Restored
) -> None:
    names = [source] if source in record.arrays else source.split(JOINT)
    missing = [name for name in names if name not in record.arrays]
    if missing:
        msg = f"the mapping names '{missing[0]}', which the legacy file does not have"
        raise UnreadableFileError(msg)
    note_cast(tensor, record.arrays[names[0]][0], restored)
    for index, name in enumerate(names):
        dtype, shape = record.arrays[name]
        restored.arrays[name] = ArrayInfo(
            name, shape, np.dtype(dtype), _reader(tensor, place, np.dtype(dtype), index, len(names))
        )


def _reader(
    tensor: TensorLike, place: Place, dtype: np.dtype, index: int = 0, count: int = 1
) -> Callable[[], Array]:
    def read() -> Array:
        whole = place.layout.undo(to_array(tensor), place.shape)
        part = whole if count == 1 else np.split(whole, count, axis=-1)[index]
        return np.ascontiguousarray(part, dtype).reshape(part.shape)

    return read


def to_array(tensor: TensorLike) -> Array:
    """Return a tensor on any device as an array; bfloat16, which NumPy lacks, as float32."""
    found = tensor.detach().cpu()
    if str(found.dtype) == "torch.bfloat16":
        found = found.float()
    return cast("Array", found.numpy())


def note_cast(tensor: TensorLike, dtype: str, restored: Restored) -> None:
    """Note that a tensor has another type than the stored array had."""
    found = str(tensor.dtype).removeprefix("torch.")
    stored = np.dtype(dtype).name
    note = f"tensors of type {found} are written as {stored}, the type of the legacy file"
    if found != stored and note not in restored.notes:
        restored.notes.append(note)


def _kept(path: str, record: LegacyRecord) -> ArrayInfo:
    dtype, shape = record.arrays[path]
    return ArrayInfo(path, shape, np.dtype(dtype), lambda: record.kept_array(path))


def restore_optimizer(
    origin: Origin, state: Mapping[str, object] | None, restored: Restored
) -> None:
    """Add the optimizer's arrays to what is restored, or the reason why they are not."""
    record = origin.record
    if state is None and record.optimizer is None:
        if any(p.startswith(f"{OPTIMIZER_GROUPS[record.format]}/") for p in record.arrays):
            restored.lost.append(("optimizer state", "it did not convert to PyTorch"))
        return
    reason = _restore_state(origin, state, restored)
    if reason is not None:
        restored.slots = None
        restored.lost.append(("optimizer state", reason))


def _restore_state(
    origin: Origin, state: Mapping[str, object] | None, restored: Restored
) -> str | None:
    """Restore slots and numbers; returns what prevents it."""
    optimizer = origin.record.optimizer
    if optimizer is None:
        return "the legacy file has no optimizer to go back to"
    if state is None:
        return "the file has none: save model and optimizer, torchward.save(path, model, optimizer)"
    try:
        group, entries = _read_state(state, origin.parameters, optimizer.kind)
        slots = _restore_slots(origin, entries, restored)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return str(error.args[0]) if isinstance(error, ValueError) else f"not readable: {error!r}"
    restored.group, restored.slots = group, slots
    for entry, path in optimizer.numbers.items():
        dtype, shape = origin.record.arrays[path]
        value = group.get(entry)
        if not isinstance(value, (int, float)):
            return f"its '{entry}' is not in the file"
        restored.arrays[path] = number_array(path, value, dtype, shape)
    for slot, slot_paths in optimizer.slots.items():
        for name, slot_path in zip(origin.parameters, slot_paths, strict=True):
            if slot_path is not None:
                restored.arrays[slot_path] = slots[name][slot]
    return None


def number_array(path: str, value: float, dtype: str, shape: tuple[int, ...] = ()) -> ArrayInfo:
    """Return a stored array of one number."""
    number = np.full(shape, value, np.dtype(dtype))
    return ArrayInfo(path, shape, number.dtype, lambda: number)


def _read_state(
    state: Mapping[str, Any], parameters: Sequence[str], kind: str
) -> tuple[dict[str, object], list[Mapping[str, Any]]]:
    """Return the group in Keras's words and the state of every parameter. Raises ValueError with the reason."""
    groups = state["param_groups"]
    indexes = [index for group in groups for index in group["params"]]
    if len(indexes) != len(parameters):
        msg = f"it is of {len(indexes)} parameters, the converted optimizer had {len(parameters)}"
        raise ValueError(msg)
    entries = [state["state"].get(index, {}) for index in indexes]
    group = {key: value for key, value in groups[0].items() if key != "params"}
    numbers = [{key: value for key, value in each.items() if key != "params"} for each in groups]
    if any(each != group for each in numbers):
        msg = "its parameter groups differ; Keras has one"
        raise ValueError(msg)
    if "iterations" not in group:
        group = _torch_group(group, entries, kind)
    rate = group.get("learning_rate", group.get("lr"))
    return {**group, "learning_rate": rate}, entries


def _torch_group(
    group: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], kind: str
) -> dict[str, object]:
    """Return the numbers of a `torch.optim.Adam` in Keras's words: its averages mean the same, others' do not."""
    if kind not in ("Adam", "AdamW") or "betas" not in group:
        msg = f"it is of a torch.optim class whose state means something else than that of Keras's {kind}"
        raise ValueError(msg)
    steps = {int(entry["step"]) for entry in entries}
    if len(steps) != 1:
        msg = f"its parameters made different numbers of steps: {sorted(steps)[:5]}"
        raise ValueError(msg)
    return {
        "learning_rate": float(group["lr"]),
        "beta_1": group["betas"][0],
        "beta_2": group["betas"][1],
        "epsilon": group["eps"],
        "iterations": steps.pop(),
    }


def _restore_slots(
    origin: Origin, entries: Sequence[Mapping[str, Any]], restored: Restored
) -> dict[str, dict[str, ArrayInfo]]:
    """Return the slots of every parameter in Keras's layout. Raises ValueError with the reason."""
    places = {place.target: (source, place) for source, place in origin.places}
    slots: dict[str, dict[str, ArrayInfo]] = {}
    for index, (name, entry) in enumerate(zip(origin.parameters, entries, strict=True)):
        source, place = places[name]
        slots[name] = {}
        for slot, path in _needed(origin.record, index, entry).items():
            if slot not in entry:
                msg = f"parameter {name} has no '{slot}'"
                raise ValueError(msg)
            slots[name][slot] = _slot(entry[slot], path, source, place, origin.record)
            note_cast(entry[slot], slots[name][slot].dtype.str, restored)
    return slots


def _needed(record: LegacyRecord, index: int, entry: Mapping[str, Any]) -> Mapping[str, str | None]:
    """Return the slots of a parameter with their paths: those of the legacy file, or new ones.

    A file from before the first step has none.
    """
    slots = {} if record.optimizer is None else record.optimizer.slots
    if slots:
        return {slot: paths[index] for slot, paths in slots.items() if paths[index] is not None}
    return {key: None for key, value in entry.items() if key != "step" and len(value.shape)}


def _slot(
    tensor: TensorLike, path: str | None, source: str, place: Place, record: LegacyRecord
) -> ArrayInfo:
    """Return one slot in Keras's layout. Raises ValueError with the reason."""
    dtype = record.arrays[source.split(JOINT)[0] if path is None else path][0]
    if record.optimizer is not None and path is not None and path in record.optimizer.layouts:
        layout = Layout.parse(record.optimizer.layouts[path])
        place = Place(place.target, layout, record.arrays[path][1])
    if tuple(tensor.shape) != place.layout.shape(place.shape):
        msg = f"a slot of parameter {place.target} has the shape {tuple(tensor.shape)}"
        raise ValueError(msg)
    name = path or place.target
    return ArrayInfo(name, place.shape, np.dtype(dtype), _reader(tensor, place, np.dtype(dtype)))
