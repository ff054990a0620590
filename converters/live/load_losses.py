"""The loss and the metrics a model was compiled with, from its converted file, as torch functions."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path

from converters.architecture import Architecture
from converters.errors import UnsupportedError
from converters.live.load import read_converted
from converters.live.losses import compile_loss, compiled_parts, unclipped_losses
from converters.live.metrics import find_metric
from converters.loss_names import LOSSES, METRICS, METRICS_WITH_MEMORY
from torch_impl.checkpoints import TorchCheckpoint
from torch_impl.keras_compat.compiled_loss import CompiledLoss
from torch_impl.keras_compat.compiled_metric import KerasMetric


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


def load_metrics(path: str | os.PathLike[str]) -> dict[str, KerasMetric]:
    """Return the metrics of `compile` by name, which gather over the batches of an epoch what Keras gathers.

    `metric.update(output, target)` adds a batch, `metric.result()` is what Keras shows, `metric.reset()` starts the next
    epoch; `metric(output, target)` is the metric of one batch alone. With several outputs the names start with that of
    the output; of equal names the later have a number. Those of `weighted_metrics`, which come last, mean what they meant in
    Keras if they are given the weights of the samples, all others without.

    Raises:
        UnreadableFileError: The file is damaged, or not of torchward.
        UnsupportedError: One of the metrics is not known here.
    """
    training, generation, producer = compiled_parts(read_converted(Path(path)).metadata)
    numbers = re.findall(r"\d+", str(producer or ""))
    old = generation < 2 or (
        generation == 2
        and tuple(map(int, numbers[:2])) < (2, 3)
        and "tf" not in str(producer).lower()
    )
    found: dict[str, KerasMetric] = {}
    unknown = []
    weighted = _named(training.get("weighted_metrics"), "")
    for name, stored in (*_named(training.get("metrics"), ""), *weighted):
        metric = find_metric(stored, negative_cosine=old)
        if metric is None:
            unknown.append(name or repr(stored)[:60])
        else:
            found[_free(name or metric.name, found)] = metric
    if unknown:
        msg = f"{path}: metrics that are not known here: {', '.join(unknown)}"
        raise UnsupportedError(
            msg, hint=f"known: {', '.join((*METRICS_WITH_MEMORY, *METRICS, *LOSSES))}"
        )
    return found


def _free(name: str, taken: Mapping[str, object]) -> str:
    """Return the name, or with the first number from 1 on that makes it another: auc, auc_1."""
    numbered = (f"{name}_{number}" for number in itertools.count(1))
    return name if name not in taken else next(n for n in numbered if n not in taken)


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
