"""Optimizer state that the legacy file did not have yet: it was saved before the first step, training went on in PyTorch.

Keras 3 stores iterations and learning rate first, then the slots in the order of `converters.optimizers.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from converters.checkpoint import ArrayInfo
from converters.legacy_files.keras_trees import read_layout
from converters.legacy_files.record import OPTIMIZER_GROUPS, LegacyRecord
from converters.legacy_files.restore import Origin, Restored, number_array
from converters.matching.keras1_gates import JOINT
from converters.optimizers.rules import find_rule
from converters.optimizers.stored_order import AVERAGE
from converters.optimizers.training_state import trainable_arrays


def add_new_slots(origin: Origin, restored: Restored) -> LegacyRecord:
    """Return the record with places for slots that it has none for; their arrays are added to `restored`."""
    record, optimizer = origin.record, origin.record.optimizer
    slots = restored.slots or {}
    names = dict.fromkeys(name for found in slots.values() for name in found)
    if optimizer is None or optimizer.slots or not names:
        return record
    rule = find_rule(optimizer.kind)
    blocks = [
        tuple(slot for slot in block if slot.key in names) for block in ((AVERAGE,), *rule.blocks)
    ]
    known = {slot.key for block in blocks for slot in block}
    if optimizer.dialect != "keras3" or not known.issuperset(names) or record.configuration is None:
        restored.slots = None
        reason = (
            "the legacy file is from before the first step and does not say how it orders slots"
        )
        restored.lost.append(("optimizer state", reason))
        return record
    targets = {source.split(JOINT)[0]: place.target for source, place in origin.places}
    graph, arrays = read_layout(record, restored)
    order = [targets[info.name] for _, info in trainable_arrays(graph, arrays)]
    new = [
        (f"{target.replace('.', '_')}_{slot.names[0]}", slots[target][slot.key])
        for block in blocks
        for target in order
        for slot in block
        if slot.key in slots.get(target, {})
    ]
    number = restored.group.get(rule.number or "")
    if rule.number is not None and isinstance(number, (int, float)):
        # Keras makes it in the type of the first weight.
        new.append((rule.number, number_array(rule.number, number, new[0][1].dtype.str)))
    return _with_arrays(record, restored, dict(new), optimizer.kind.lower())


def _with_arrays(
    record: LegacyRecord, restored: Restored, new: Mapping[str, ArrayInfo], owner: str
) -> LegacyRecord:
    """Return the record with further variables of the optimizer, under the names of its format."""
    prefix = OPTIMIZER_GROUPS[record.format]
    listed = record.attributes.get(prefix, {}).get("weight_names")
    if isinstance(listed, list):
        names = [f"{owner}/{name}" for name in new]
        paths = [f"{prefix}/{name}" for name in names]
        group = {**record.attributes[prefix], "weight_names": [*listed, *names]}
        record = replace(record, attributes={**record.attributes, prefix: group})
    else:
        start = sum(path.startswith(f"{prefix}/vars/") for path in record.arrays)
        paths = [f"{prefix}/vars/{start + index}" for index in range(len(new))]
    restored.arrays.update(zip(paths, new.values(), strict=True))
    added = {
        path: (info.dtype.str, info.shape) for path, info in zip(paths, new.values(), strict=True)
    }
    return replace(record, arrays={**record.arrays, **added})
