"""Metrics as `compile` stores them, made objects that gather what Keras gathers over the batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from converters.loss_names import LOSSES, METRICS, METRICS_WITH_MEMORY, find_function
from torch_impl.keras_compat import losses, metrics
from torch_impl.keras_compat.compiled_metric import KerasMetric, mean_of
from torch_impl.keras_compat.running_metrics import WITH_MEMORY

MAX_CUTS = 100_000
"""Thresholds of a metric; Keras takes 200 where none are named. More would be memory that a file asks for."""
MAX_CLASSES = 5_000
"""Classes of a table of classes by classes."""


def find_metric(stored: object, *, negative_cosine: bool = False) -> KerasMetric | None:
    """Return the metric that a stored configuration names, or None: of another name, or with such options.

    Args:
        stored: a name, or a class or function with its configuration.
        negative_cosine: "cosine_proximity" is the loss of this name, as before Keras 2.3, and not a similarity.
    """
    found = find_function(_unwrapped(stored), {**LOSSES, **METRICS, **METRICS_WITH_MEMORY})
    if found is None:
        return None
    name, options, config = found
    if name in METRICS_WITH_MEMORY:
        return _with_memory(name, options, config)
    old = negative_cosine and stored in ("cosine_proximity", "cosine")
    module = metrics if name in METRICS and not old else losses
    # "accuracy" is a different function for every kind of output; the class Accuracy compares as it is.
    chosen = "compiled_accuracy" if name == "accuracy" and isinstance(stored, str) else name
    ignored = options.get("ignore_class")
    values = partial(getattr(module, chosen), **options)
    return KerasMetric(
        name, *mean_of(values, ignored=ignored if isinstance(ignored, int) else None)
    )


def _unwrapped(stored: object) -> object:
    """Return the function in a MeanMetricWrapper, as Keras 2 stores every metric given by name, with the other settings.

    Keras 3 names functions of losses and of metrics alike: of the two cosine similarities, which differ in their sign,
    it is not known which one is meant.
    """
    config = stored.get("config") if isinstance(stored, Mapping) else None
    if not isinstance(config, Mapping) or "fn" not in config:
        return stored
    function = config["fn"]
    if isinstance(function, Mapping):
        function = function.get("config")
        function = None if function == "cosine_similarity" else function
    return {"class_name": function, "config": {k: v for k, v in config.items() if k != "fn"}}


def _with_memory(
    name: str, options: dict[str, object], config: Mapping[str, object]
) -> KerasMetric | None:
    weights = options.get("label_weights")
    if isinstance(
        weights, Mapping
    ):  # a tensor: {"class_name": "__tensor__", "config": {"value": [...]}}
        inner = weights.get("config")
        value = inner.get("value") if isinstance(inner, Mapping) else None
        options["label_weights"] = tuple(value) if isinstance(value, list) else ()
    if not all(_OPTIONS[key](value) for key, value in options.items()):
        return None
    if name.endswith("io_u"):
        options["whole_numbers"] = not str(config.get("dtype") or "int").startswith("float")
        if not _classes_exist(options):
            return None
    try:
        return KerasMetric(name, *WITH_MEMORY[name](**options))
    except (
        TypeError,
        ValueError,
    ):  # an option that has to be there is not, or has a value that Keras does not know
        return None


def _classes_exist(options: Mapping[str, object]) -> bool:
    """Return whether the numbers of the classes are below how many there are."""
    count, named = options.get("num_classes", 2), options.get("target_class_ids", ())
    numbers = named if isinstance(named, tuple) else ()
    return isinstance(count, int) and all(0 <= number < count for number in numbers)


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers(value: object) -> bool:
    return isinstance(value, tuple) and 0 < len(value) <= MAX_CUTS and all(map(_number, value))


def _class_numbers(value: object) -> bool:
    return (
        isinstance(value, tuple) and bool(value) and all(_whole(n, 0, MAX_CLASSES) for n in value)
    )


_OPTIONS: Mapping[str, Callable[[object], bool]] = {
    "num_thresholds": lambda value: _whole(value, 1, MAX_CUTS),
    "thresholds": lambda value: value is None or _number(value) or _numbers(value),
    "curve": lambda value: isinstance(value, str),
    "summation_method": lambda value: isinstance(value, str),
    **dict.fromkeys(
        ("multi_label", "from_logits", "sparse_y_true", "sparse_y_pred"),
        lambda value: isinstance(value, bool),
    ),
    "num_labels": lambda value: value is None or _whole(value, 1, MAX_CUTS),
    "label_weights": lambda value: value is None or _numbers(value),
    "top_k": lambda value: value is None or _whole(value, 1, MAX_CUTS),
    "class_id": lambda value: value is None or _whole(value, 0, MAX_CUTS),
    **dict.fromkeys(("specificity", "sensitivity", "precision", "recall", "beta"), _number),
    "average": lambda value: value in (None, "micro", "macro", "weighted"),
    "threshold": lambda value: value is None or _number(value),
    "class_aggregation": lambda value: (
        value in (None, "uniform_average", "variance_weighted_average")
    ),
    "num_regressors": lambda value: _whole(value, 0, MAX_CUTS),
    "num_classes": lambda value: _whole(value, 1, MAX_CLASSES),
    "target_class_ids": _class_numbers,
    "ignore_class": lambda value: value is None or _whole(value, -(2**31), 2**31),
    "axis": lambda value: _whole(value, -8, 8),
}
"""What an option of a file may be."""
