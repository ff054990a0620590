"""Masks that nothing uses leave the module, and a mask that is made twice is made once.

Keras 3 writes how a mask is computed into the graph for some layers and hands it on without a word to others; both
ways are lowered, so that the same comparison may stand there twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.architecture import Step
from converters.matching.model_weights import Path

MASK_OPERATIONS = frozenset(
    (
        *("operator.ne", "operator.and_", "operator.or_", "torch.any", "torch.ones_like"),
        *("torch.logical_or", "torch.logical_and", "torch.unsqueeze", "compat.keep_all"),
    )
)
"""Functions that masks are made with; others are computed twice where they stand twice."""
IDEMPOTENT = frozenset(("operator.and_", "operator.or_", "torch.logical_or", "torch.logical_and"))
"""Of a mask and itself they give the mask."""


def settle_masks(
    steps: Sequence[Step], origins: Sequence[Path], outputs: Sequence[str]
) -> tuple[list[Step], list[Path]]:
    """Return the steps with the layer of each, without functions that nothing uses."""
    needed = set(outputs)
    merged = _merged(steps, origins, frozenset(needed))
    kept = []
    for step, origin in reversed(merged):
        if step.attribute is not None or not needed.isdisjoint(step.results):
            kept.append((step, origin))
            needed.update(step.inputs)
    return [step for step, _ in reversed(kept)], [origin for _, origin in reversed(kept)]


def _merged(
    steps: Sequence[Step], origins: Sequence[Path], outputs: frozenset[str]
) -> list[tuple[Step, Path]]:
    names: dict[str, str] = {}
    known: dict[tuple[str, tuple[str, ...], str], str] = {}
    kept = []
    for step, origin in zip(steps, origins, strict=True):
        step = replace(step, inputs=tuple(names.get(name, name) for name in step.inputs))
        if step.op in MASK_OPERATIONS and step.output not in outputs:
            if step.op in IDEMPOTENT and not step.kwargs and len(set(step.inputs)) == 1:
                names[step.output] = step.inputs[0]
                continue
            key = (step.op, step.inputs, repr(sorted(step.kwargs.items())))
            if key in known:
                names[step.output] = known[key]
                continue
            known[key] = step.output
        kept.append((step, origin))
    return kept
