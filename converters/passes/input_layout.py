"""Images as torch people hand them in: (batch, channels, height, width) instead of the legacy model's order, or back.

A move of the axes is put behind each image input; where the network moves its channels anyway, the two cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.architecture import Architecture, InputValue, Step
from converters.errors import UsageError
from converters.names import taken_names, unique
from converters.passes.channels import settle_channels

Path = tuple[str, ...]

CHANNELS_LAST, CHANNELS_FIRST = "nhwc", "nchw"
LAYOUTS = (CHANNELS_LAST, CHANNELS_FIRST)
_IMAGE_RANKS = (4, 5)  # with the batch: images, and volumes or films


def has_images(architecture: Architecture) -> bool:
    """True if an input is an image or a volume."""
    return any(_is_image(value) for value in architecture.inputs)


def change_input_layout(
    architecture: Architecture, origins: Sequence[Path], *, legacy: str, wanted: str
) -> tuple[Architecture, list[Path]]:
    """Return the architecture with image inputs in another layout, and the origins of its steps.

    Args:
        architecture: whose images come in the legacy layout.
        origins: for every step, the layer it comes from.
        legacy: the layout of the images now, "nhwc" or "nchw".
        wanted: the layout they shall come in.

    Raises:
        UsageError: A layout of another name.
    """
    if wanted not in LAYOUTS:
        msg = f"no input layout '{wanted}'"
        raise UsageError(msg, hint=f"layouts: {', '.join(LAYOUTS)}")
    if wanted == legacy or not has_images(architecture):
        return architecture, list(origins)
    taken = taken_names(value.name for value in architecture.inputs)
    taken |= taken_names(name for step in architecture.steps for name in step.results)
    inputs, moves, renamed = [], [], {}
    for value in architecture.inputs:
        if not _is_image(value):
            inputs.append(value)
            continue
        sizes = value.shape or ()
        there, back = _orders(len(sizes), to_first=wanted == CHANNELS_FIRST)
        inputs.append(replace(value, shape=tuple(sizes[axis] for axis in there)))
        renamed[value.name] = unique(f"{value.name}_as_trained", taken)
        moves.append(
            Step("torch.permute", (value.name,), renamed[value.name], kwargs={"dims": back})
        )
    steps = [
        replace(step, inputs=tuple(renamed.get(name, name) for name in step.inputs))
        for step in architecture.steps
    ]
    paths = [*([()] * len(moves)), *origins]
    outputs = [renamed.get(name, name) for name in architecture.outputs]
    settled, places, names = settle_channels(
        [*moves, *steps], paths, outputs, fresh=lambda name: unique(name, taken)
    )
    changed = replace(architecture, inputs=tuple(inputs), steps=tuple(settled), outputs=names)
    return changed, places


def _is_image(value: InputValue) -> bool:
    return value.shape is not None and len(value.shape) in _IMAGE_RANKS


def _orders(rank: int, *, to_first: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the order of the axes as they come in, and the one that moves them to where the network has them."""
    first = (0, rank - 1, *range(1, rank - 1))
    last = (0, *range(2, rank), 1)
    return (first, last) if to_first else (last, first)
