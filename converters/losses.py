"""Losses and metrics as `compile` stores them, by name or as configurations, looked up in a closed table.

The functions are in `torch_impl/keras_compat/losses.py` and `metrics.py`; this table names them without importing torch.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from converters.architecture import Architecture

if TYPE_CHECKING:
    from torch_impl.keras_compat.compiled_loss import CompiledLoss, KerasLoss

LOSSES: Mapping[str, tuple[str, ...]] = {
    "mean_squared_error": (),
    "mean_absolute_error": (),
    "mean_absolute_percentage_error": (),
    "mean_squared_logarithmic_error": (),
    "cosine_similarity": ("axis",),
    "huber": ("delta",),
    "log_cosh": (),
    "hinge": (),
    "squared_hinge": (),
    "categorical_hinge": (),
    "kl_divergence": (),
    "poisson": (),
    "binary_crossentropy": ("from_logits", "label_smoothing", "axis"),
    "binary_focal_crossentropy": (
        *("apply_class_balancing", "alpha", "gamma"),
        *("from_logits", "label_smoothing", "axis"),
    ),
    "categorical_crossentropy": ("from_logits", "label_smoothing", "axis"),
    "categorical_focal_crossentropy": ("alpha", "gamma", "from_logits", "label_smoothing", "axis"),
    "sparse_categorical_crossentropy": ("from_logits", "ignore_class", "axis"),
    "categorical_generalized_cross_entropy": ("q",),
    "dice": ("axis",),
    "tversky": ("alpha", "beta", "axis"),
    "circle": ("gamma", "margin", "remove_diagonal"),
    "ctc": (),
}
"""Function in torch_impl/keras_compat/losses.py to the options of its configuration."""
METRICS: Mapping[str, tuple[str, ...]] = {
    "accuracy": (),
    "binary_accuracy": ("threshold",),
    "categorical_accuracy": (),
    "sparse_categorical_accuracy": (),
    "top_k_categorical_accuracy": ("k",),
    "sparse_top_k_categorical_accuracy": ("k",),
    "root_mean_squared_error": (),
}
"""Function in torch_impl/keras_compat/metrics.py to its options. Every loss is a metric as well."""
ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "huber_loss": "huber",
    "logcosh": "log_cosh",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "cosine_proximity": "cosine_similarity",
    "cosine": "cosine_similarity",
    "bce": "binary_crossentropy",
    "acc": "accuracy",
}
"""Further names, in lower case."""
REDUCTIONS = {
    "auto": "sum_over_batch_size",  # of Keras 2
    **{n: n for n in ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none")},
}
WITHOUT_EFFECT = {"name", "reduction", "dtype", "fn"}
SEEN_THROUGH = {
    "binary_crossentropy": "torch.sigmoid",
    "binary_focal_crossentropy": "torch.sigmoid",
    "categorical_crossentropy": "F.softmax",
    "sparse_categorical_crossentropy": "F.softmax",
}
"""Losses that Keras on TensorFlow computes from what went into the activation, if a float32 output comes from this one:
then nothing is clipped (keras 3.15.1, backend/tensorflow/nn.py; so from Keras 2.4 on)."""


def function_name(name: str) -> str:
    """Return "mean_squared_error" for "MSE", "mse" and "MeanSquaredError"."""
    plain = name.rsplit(">", 1)[-1]
    lower = plain.lower()
    if lower in ALIASES or lower in LOSSES or lower in METRICS:
        return ALIASES.get(lower, lower)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", plain).lower()
    return ALIASES.get(words, words)


def find_loss(stored: object, *, clip: Sequence[str] | None = None) -> KerasLoss | None:
    """Return the loss that a stored configuration names, or None if there is none of that name, or with such options.

    Args:
        stored: a name, or a class or function with its configuration.
        clip: names of the losses that do not clip probabilities; None: all clip.
    """
    found = _find(stored, LOSSES)
    if found is None:
        return None
    from torch_impl.keras_compat import losses
    from torch_impl.keras_compat.compiled_loss import KerasLoss

    name, options, config = found
    reduction = config.get("reduction", "auto")
    reduction = "none" if reduction is None else reduction
    if clip is not None and name in clip:
        options = {**options, "clip": False}
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        return None
    kept = REDUCTIONS[reduction]
    return KerasLoss(name, getattr(losses, name), options, kept)


def find_metric(stored: object) -> KerasLoss | None:
    """Return the metric that a stored configuration names, or None: of another name, or one that needs a memory."""
    found = _find(stored, {**LOSSES, **METRICS})
    if found is None:
        return None
    from torch_impl.keras_compat.compiled_loss import KerasLoss

    name, options, _ = found
    module = importlib.import_module(
        f"torch_impl.keras_compat.{'metrics' if name in METRICS else 'losses'}"
    )
    # "accuracy" is a different function for every kind of output; the class Accuracy compares as it is.
    chosen = "compiled_accuracy" if name == "accuracy" and isinstance(stored, str) else name
    return KerasLoss(name, getattr(module, chosen), options)


def _find(
    stored: object, table: Mapping[str, tuple[str, ...]]
) -> tuple[str, dict[str, object], Mapping[str, object]] | None:
    """Return function name, options and configuration, or None."""
    config: object = {}
    if isinstance(stored, Mapping):
        # {"class_name": "Huber", "config": {...}}, and functions: {"class_name": "function", "config": "mse"}
        name, config = stored.get("class_name"), stored.get("config")
        if isinstance(config, str):
            name, config = config, {}
    else:
        name = stored
    if not isinstance(name, str) or not isinstance(config, Mapping):
        return None
    function = function_name(name)
    if function not in table or set(config) - set(table[function]) - WITHOUT_EFFECT:
        return None
    options = {key: config[key] for key in table[function] if key in config}
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    return function, options, config


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
    from torch_impl.keras_compat.compiled_loss import CompiledLoss, Term

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
