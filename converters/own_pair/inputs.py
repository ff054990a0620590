"""Random inputs for both modules of a pair: of the shapes and types that the legacy file states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from converters.architecture import Architecture, InputValue
from converters.errors import UnsupportedError, UsageError

FREE_SIZE = 7
"""Of an axis that the file leaves open, such as time."""
FREE_IMAGE_SIZE = 32
"""Of an open axis of images: convolutions without padding take some of it."""
_IMAGE_AXES = 4
Inputs = list[Tensor]


def draw_inputs(
    architecture: Architecture,
    count: int,
    *,
    seed: int,
    stated: Sequence[tuple[int, ...]] = (),
) -> Inputs:
    """Return inputs of a module, normally distributed; whole numbers where rows of a table are looked up.

    Args:
        architecture: of the legacy model.
        count: size of the batch.
        seed: of the generator.
        stated: shapes of one observation, an input each: of what the file leaves open; none: free axes get a size.

    Raises:
        UnsupportedError: The file does not state the shape of an input, or it is text.
        UsageError: The shapes that are stated are others than those of the file.
    """
    rng = np.random.default_rng(seed)
    rows = _rows(architecture)
    inputs = with_stated_shapes(architecture.inputs, stated) if stated else architecture.inputs
    return [_draw(value, rows.get(value.name), count, rng) for value in inputs]


def with_stated_shapes(
    inputs: Sequence[InputValue], stated: Sequence[tuple[int, ...]]
) -> list[InputValue]:
    """Return the inputs with the shapes of one observation that a user states, where the file leaves them open.

    Raises:
        UsageError: There are more or fewer than inputs, or one is another than that of the file.
    """
    if len(stated) != len(inputs):
        names = ", ".join(value.name for value in inputs)
        msg = f"--obs was given {len(stated)} times; needed once for each of {names}"
        raise UsageError(msg)
    for value, shape in zip(inputs, stated, strict=True):
        known = None if value.shape is None else value.shape[1:]
        if known is not None and not (
            len(known) == len(shape)
            and all(size in (None, own) for size, own in zip(known, shape, strict=True))
        ):
            found = ",".join("?" if size is None else str(size) for size in known)
            msg = f"--obs {','.join(map(str, shape))}: the file's input '{value.name}' is {found}"
            raise UsageError(msg)
    return [
        replace(value, shape=(None, *shape)) for value, shape in zip(inputs, stated, strict=True)
    ]


def _draw(value: InputValue, rows: int | None, count: int, rng: np.random.Generator) -> Tensor:
    if value.shape is None or value.dtype == "string":
        what = "takes text" if value.dtype == "string" else "has no shape in the file"
        msg = f"input '{value.name}' {what}, so no random ones can be made"
        hint = "convert the file and use --expected on the result"
        if value.dtype != "string":
            hint = "state the shape of one observation: --obs 12"
        raise UnsupportedError(msg, hint=hint)
    free = FREE_IMAGE_SIZE if len(value.shape) >= _IMAGE_AXES else FREE_SIZE
    shape = (count, *(free if size is None else size for size in value.shape[1:]))
    if rows is not None:
        return torch.from_numpy(rng.integers(0, rows, shape))
    if value.dtype == "bool":
        return torch.from_numpy(rng.random(shape) < 0.5)
    if "int" in value.dtype:
        return torch.from_numpy(rng.integers(0, 256 if value.dtype == "uint8" else 2, shape))
    return torch.from_numpy(rng.standard_normal(shape))


def _rows(architecture: Architecture) -> dict[str, int]:
    """Return the inputs whose numbers are rows of tables, each with the size of its smallest table."""
    sources = {name: step.inputs for step in architecture.steps for name in step.results}
    found: dict[str, int] = {}
    for step in architecture.steps:
        size = step.kwargs.get("num_embeddings")
        if isinstance(size, int) and step.inputs:
            name = step.inputs[0]
            while sources.get(name):
                name = sources[name][0]
            found[name] = min(size, found.get(name, size))
    return found


def as_taken(inputs: Sequence[Tensor], architecture: Architecture, dtype: torch.dtype) -> Inputs:
    """Return drawn inputs in the types that both modules take."""
    return [
        x.to(dtype) if x.is_floating_point() else x.to(_whole(value.dtype))
        for x, value in zip(inputs, architecture.inputs, strict=True)
    ]


def _whole(name: str) -> torch.dtype:
    """Return the type of whole numbers: as stated, or 64 bits, which torch looks rows up by."""
    dtype = getattr(torch, name)
    is_whole = isinstance(dtype, torch.dtype) and not dtype.is_floating_point
    return dtype if is_whole else torch.int64


def channels_first(inputs: Sequence[Tensor]) -> Inputs:
    """Return images and sequences with their last axis moved behind the batch; others as they are."""
    return [x.movedim(-1, 1) if x.ndim > 2 else x for x in inputs]
