"""The order in which old Kerases listed trainable weights for their optimizers, which is that of its stored slots.

Keras 1 and the first releases of Keras 2 sorted the weights by name before they made slots for them (keras 1.2.2 and
2.0.0, engine/training.py, `compile`), later ones keep the model's order. Gates of Keras 1 are weights of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.matching.keras1_gates import JOINT, join_arrays, joined_axis
from converters.optimizers.plan import OptimizerPlan


def by_name(infos: Sequence[ArrayInfo], entries: Sequence[LayerArrays]) -> list[ArrayInfo]:
    """Return the weights as the optimizer knew them: gates by themselves, all sorted by their names.

    Args:
        infos: the trainable weights in the model's order, gates joined.
        entries: what the file holds.

    A weight's name is its path without the group of the layer: "dense_10_W:0" is sorted before "dense_1_W:0".
    """
    stored: dict[str, tuple[str, ArrayInfo]] = {}
    for entry in entries:
        for info in entry.arrays.values():
            name = info.name.split(f"{entry.name or entry.path}/", 1)[-1]
            stored[info.name] = (name, info)
    parts = [part for info in infos for part in info.name.split(JOINT)]
    return [info for _, info in sorted((stored[part] for part in parts), key=lambda pair: pair[0])]


def in_model_order(
    plan: OptimizerPlan, infos: Sequence[ArrayInfo], ordered: Sequence[ArrayInfo]
) -> OptimizerPlan:
    """Return the plan with one slot for each of `infos`; so far it has them for `ordered`."""
    position = {info.name: index for index, info in enumerate(ordered)}

    def arranged(found: Sequence[ArrayInfo]) -> tuple[ArrayInfo, ...]:
        groups = [[found[position[part]] for part in info.name.split(JOINT)] for info in infos]
        return tuple(
            group[0] if len(group) == 1 else join_arrays(group, joined_axis(group, info.shape))
            for group, info in zip(groups, infos, strict=True)
        )

    slots: Mapping[str, tuple[ArrayInfo, ...]] = {
        slot: arranged(found) for slot, found in plan.slots.items()
    }
    return replace(plan, slots=slots)
