"""The loss and the metrics a model was compiled with, from its converted file, as torch functions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from converters.architecture import Architecture
from converters.errors import UnsupportedError
from converters.load import read_converted
from converters.loss_names import LOSSES, METRICS
from converters.losses import (
    compile_loss,
    compiled_parts,
    find_metric,
    unclipped_losses,
)
from torch_impl.checkpoints import TorchCheckpoint
from torch_impl.keras_compat.compiled_loss import CompiledLoss, KerasLoss


def load_loss(path: str | os.PathLike[str]) -> CompiledLoss:
    """Return the loss that the legacy model was compiled with, `loss(model(x), y)`, with Keras's reduction.

    Args:
        path: .pth or .safetensors that `torchward.convert` wrote.

    Raises:
        UnreadableFileError: The file is damaged, or not of torchward.
        UnsupportedError: The model was not compiled, or with a loss that is not known here.
    """
    checkpoint = read_converted(Path(path))
    training, _, _ = compiled_parts(checkpoint.metadata)
    if training.get("loss") is None:
        msg = f"{path}: the legacy file names no loss; it was saved without compile"
        raise UnsupportedError(msg)
    loss = loss_of(checkpoint)
    if loss is None:
        msg = f"{path}: compiled with a loss that is not known here: {training['loss']!r:.200}"
        raise UnsupportedError(msg, hint=f"known: {', '.join(LOSSES)}")
    return loss


def loss_of(checkpoint: TorchCheckpoint) -> CompiledLoss | None:
    """Return the loss of a converted file, or None where it names none, or one that is not known."""
    if checkpoint.architecture is None:
        return None
    training, generation, producer = compiled_parts(checkpoint.metadata)
    architecture = Architecture.from_data(checkpoint.architecture)
    unclipped = unclipped_losses(architecture, generation=generation, producer=producer)
    return compile_loss(training, len(architecture.outputs), unclipped=unclipped)


def load_metrics(path: str | os.PathLike[str]) -> dict[str, KerasLoss]:
    """Return the metrics of `compile` by name, `metric(output, target)` a mean over the batch.

    With several outputs the names start with that of the output. Metrics that need a memory over batches
    (AUC, Precision, ...) are not among them.

    Raises:
        UnreadableFileError: The file is damaged, or not of torchward.
        UnsupportedError: One of the metrics is not known here.
    """
    training, _, _ = compiled_parts(read_converted(Path(path)).metadata)
    found, unknown = {}, []
    for name, stored in _named(training.get("metrics"), ""):
        metric = find_metric(stored)
        if metric is None:
            unknown.append(name or repr(stored)[:60])
        else:
            found[name or metric.name] = metric
    if unknown:
        msg = f"{path}: metrics that are not known here, or need a memory: {', '.join(unknown)}"
        raise UnsupportedError(msg, hint=f"known: {', '.join((*METRICS, *LOSSES))}")
    return found


def _named(stored: object, prefix: str) -> list[tuple[str, object]]:
    """Return the metrics in nested lists and mappings of output names, with their names."""
    if isinstance(stored, Mapping) and "class_name" not in stored:
        return [pair for key, value in stored.items() for pair in _named(value, f"{prefix}{key}_")]
    if isinstance(stored, (list, tuple)):
        return [pair for value in stored for pair in _named(value, prefix)]
    if stored is None:
        return []
    config = stored.get("config") if isinstance(stored, Mapping) else None
    name = config.get("name") if isinstance(config, Mapping) else stored
    return [(f"{prefix}{name}" if isinstance(name, str) else "", stored)]
