"""The losses and metrics of Keras by the names that files give them: a closed table, without torch.

The functions are in `torch_impl/keras_compat/losses.py`, `metrics.py` and `running_metrics.py`; `converters.live.losses` makes them live.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
    "cosine_similarity": ("axis",),
    "pearson_correlation": ("axis",),
    "concordance_correlation": ("axis",),
}
"""Function in torch_impl/keras_compat/metrics.py to its options. Every loss is a metric as well."""
_OVER_CUTS = ("num_thresholds", "class_id")
_OVER_CLASSES = ("num_classes", "ignore_class", "sparse_y_pred", "axis")
METRICS_WITH_MEMORY: Mapping[str, tuple[str, ...]] = {
    "auc": (
        *("num_thresholds", "curve", "summation_method", "thresholds"),
        *("multi_label", "num_labels", "label_weights", "from_logits"),
    ),
    **dict.fromkeys(("precision", "recall"), ("thresholds", "top_k", "class_id")),
    **{
        f"{right}_{decision}": ("thresholds",)
        for right in ("true", "false")
        for decision in ("positives", "negatives")
    },
    "sensitivity_at_specificity": ("specificity", *_OVER_CUTS),
    "specificity_at_sensitivity": ("sensitivity", *_OVER_CUTS),
    "precision_at_recall": ("recall", *_OVER_CUTS),
    "recall_at_precision": ("precision", *_OVER_CUTS),
    "root_mean_squared_error": (),
    "f1_score": ("average", "threshold"),
    "f_beta_score": ("average", "beta", "threshold"),
    "r2_score": ("class_aggregation", "num_regressors"),
    "io_u": (*_OVER_CLASSES, "sparse_y_true", "target_class_ids"),
    "binary_io_u": ("target_class_ids", "threshold"),
    "mean_io_u": (*_OVER_CLASSES, "sparse_y_true"),
    "one_hot_io_u": (*_OVER_CLASSES, "target_class_ids"),
    "one_hot_mean_io_u": _OVER_CLASSES,
}
"""Function in torch_impl/keras_compat/running_metrics.py to its options."""
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
    "log_cosh_error": "log_cosh",
    "f1score": "f1_score",
    "r2score": "r2_score",
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
    if lower in {**ALIASES, **LOSSES, **METRICS, **METRICS_WITH_MEMORY}:
        return ALIASES.get(lower, lower)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", plain).lower()
    return ALIASES.get(words, words)


def find_function(
    stored: object, table: Mapping[str, tuple[str, ...]]
) -> tuple[str, dict[str, object], Mapping[str, object]] | None:
    """Return function, options and configuration that a stored loss or metric names, or None where the table has none."""
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


UNSTORED_DELTA = (
    "the file does not say the delta of its Huber loss; load_loss takes 1, as Keras does "
    "(torch.nn.HuberLoss(delta=...) if it was another)"
)


def unstored_options(stored: object) -> list[str]:
    """Return a note for every loss object in `compile`'s losses whose options Keras 3 leaves out of its configuration.

    Keras 3 stores neither the `delta` of a Huber object nor whether it was given, and itself takes 1 when it loads the file
    (keras 3.15.1, losses/losses.py, Huber.get_config). Keras 2 stored it; a loss by name has the default.
    """
    if isinstance(stored, Mapping) and "class_name" in stored:
        found = find_function(stored, LOSSES)
        if found is not None and found[0] == "huber" and "delta" not in found[1] and found[2]:
            return [UNSTORED_DELTA]
        return []
    if isinstance(stored, Mapping):
        stored = list(stored.values())
    if isinstance(stored, (list, tuple)):
        return list(dict.fromkeys(note for value in stored for note in unstored_options(value)))
    return []
