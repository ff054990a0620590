"""Losses as `compile` stores them, made functions of torch tensors with Keras's options and reductions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from converters.architecture import Architecture
from converters.loss_names import LOSSES, REDUCTIONS, SEEN_THROUGH, find_function
from torch_impl.keras_compat import losses
from torch_impl.keras_compat.compiled_loss import CompiledLoss, KerasLoss, Term


def find_loss(stored: object, *, clip: Sequence[str] | None = None) -> KerasLoss | None:
    """Return the loss that a stored configuration names, or None if there is none of that name, or with such options.

    Args:
        stored: a name, or a class or function with its configuration.
        clip: names of the losses that do not clip probabilities; None: all clip.
    """
    found = find_function(stored, LOSSES)
    if found is None:
        return None
    name, options, config = found
    reduction = config.get("reduction", "auto")
    reduction = "none" if reduction is None else reduction
    if clip is not None and name in clip:
        options = {**options, "clip": False}
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        return None
    kept = REDUCTIONS[reduction]
    return KerasLoss(name, getattr(losses, name), options, kept)


def compile_loss(
    training: Mapping[str, object],
    outputs: int,
    *,
    unclipped: Mapping[int, Sequence[str]] | None = None,
) -> CompiledLoss | None:
    """Return the loss as compiled, or None if one of its parts has no counterpart here.

    Args:
        training: `loss`, `loss_weights` and for losses by name `output_names`, as the report has them.
        outputs: how many the module has.
        unclipped: for outputs that come from a softmax or a sigmoid the losses that do not clip.
    """
    names = training.get("output_names")
    named = [str(name) for name in names] if isinstance(names, (list, tuple)) else []
    named = named if len(named) == outputs else [""] * outputs
    stored = _by_output(training.get("loss"), named, missing=None)
    weights = _by_output(training.get("loss_weights"), named, missing=1.0)
    if stored is None or weights is None:
        return None
    terms = []
    for place, (entry, weight) in enumerate(zip(stored, weights, strict=True)):
        if entry is None:
            continue
        loss = find_loss(entry, clip=(unclipped or {}).get(place, ()))
        if loss is None or not isinstance(weight, (int, float, type(None))):
            return None
        terms.append(Term(place, named[place], loss, 1.0 if weight is None else float(weight)))
    return CompiledLoss(tuple(terms)) if terms else None


def _by_output(stored: object, names: Sequence[str], *, missing: object) -> list[object] | None:
    """Return one entry for every output from one for all, a list, or a mapping of names; None if they do not fit."""
    if isinstance(stored, (list, tuple)):
        return list(stored) if len(stored) == len(names) else None
    if isinstance(stored, Mapping) and "class_name" not in stored:
        return [stored.get(name, missing) for name in names] if set(stored) <= set(names) else None
    return [missing if stored is None else stored] * len(names)


def unclipped_losses(
    architecture: Architecture, *, generation: int, producer: object
) -> dict[int, list[str]]:
    """Return for every output that comes from a softmax or a sigmoid the losses that Keras does not clip."""
    numbers = re.findall(r"\d+", str(producer or ""))
    old = generation < 2 or (generation == 2 and tuple(map(int, numbers[:2])) < (2, 4))
    if old or architecture.dtype != "float32":
        return {}
    made_by = {step.output: step.op for step in architecture.steps}
    return {
        place: [loss for loss, op in SEEN_THROUGH.items() if op == made_by.get(output)]
        for place, output in enumerate(architecture.outputs)
    }


def compiled_parts(metadata: Mapping[str, object]) -> tuple[Mapping[str, object], int, object]:
    """Return what a converted file's metadata says of `compile`, and the generation and producer of the legacy file."""
    training, source = metadata.get("training"), metadata.get("input")
    source = source if isinstance(source, Mapping) else {}
    generation = source.get("generation")
    return (
        cast("Mapping[str, object]", training) if isinstance(training, Mapping) else {},
        generation if isinstance(generation, int) else 3,
        source.get("producer"),
    )
