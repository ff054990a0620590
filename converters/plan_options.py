"""What a user may ask of a finished plan: images in another layout, or inference only."""

from __future__ import annotations

from dataclasses import replace

from converters.errors import UnsupportedError
from converters.fixed_modes import fixed_modes
from converters.passes.input_layout import CHANNELS_FIRST, CHANNELS_LAST, change_input_layout
from converters.planned import Plan

_AXES = {
    CHANNELS_LAST: "(batch, height, width, channels)",
    CHANNELS_FIRST: "(batch, channels, height, width)",
}


def with_input_layout(plan: Plan, layout: str) -> Plan:
    """Return the plan of a module whose images come in as "nhwc" or "nchw".

    Raises:
        UnsupportedError: Another layout.
    """
    legacy = plan.input_layout or CHANNELS_LAST
    architecture, origins = change_input_layout(
        plan.architecture, plan.origins, legacy=legacy, wanted=layout
    )
    if architecture == plan.architecture:
        return plan
    note = f"images come in as {_AXES[layout]}; the legacy model took {_AXES[legacy]}"
    return replace(
        plan,
        architecture=architecture,
        origins=tuple(origins),
        notes=(*plan.notes, note),
        input_layout=layout,
    )


def without_training(plan: Plan, format: str) -> Plan:
    """Return the plan without what only training needs, for a format that holds the computation at inference.

    Raises:
        UnsupportedError: A layer draws or moves statistics at inference, too.
    """
    drawing = [name for name, mode in fixed_modes(plan.architecture) if mode == "train"]
    if drawing:
        msg = (
            f"{format} holds the computation at inference only; called with training=True, so that they draw or move "
            f"statistics then, too: {', '.join(drawing)}"
        )
        raise UnsupportedError(msg, hint="convert to .pth or .safetensors")
    note = f"{format} holds the computation at inference only"
    slots = [move.source.name for slots in plan.slots for move in slots.values()]
    unused = [(name, note) for name in dict.fromkeys(slots)]
    return replace(
        plan,
        optimizer=None,
        slots=(),
        notes=(*plan.notes, note),
        ignored=(*plan.ignored, *unused),
    )
