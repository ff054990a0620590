"""Turns a stored optimizer configuration into arguments of the torch class.

Keras changed the meaning of some names: `lr` became `learning_rate`, `clipnorm` of standalone Keras is what later is called
`global_clipnorm`. Entries without counterpart are noted, those that would change the training are refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from converters.errors import UnsupportedError
from converters.optimizers.rules import OptimizerRule
from converters.optimizers.stored_names import Dialect

Plain = int | float | bool | str | None | Mapping[str, object]

SHARED = (
    *("weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "decay"),
    *("loss_scale_factor", "gradient_accumulation_steps"),
)
"""Options of every optimizer; the default of each changes nothing."""
EMA = ("use_ema", "ema_momentum", "ema_overwrite_frequency")
NULLABLE = ("weight_decay", "adam_weight_decay", "rms_rate")
"""Options that None turns off, where they are not off by default."""
SCHEDULES = (
    "ExponentialDecay",
    "InverseTimeDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "CosineDecay",
    "CosineDecayRestarts",
)
"""Learning-rate schedules that torch_impl.keras_compat.schedules knows."""
SINGLE = ("decay", "l2_shrinkage_regularization_strength")
"""Options that tf.keras casts to float32 before it computes with them, beside float64 weights too (keras 2.15.0,
optimizers/legacy/optimizer_v2.py, _decayed_lr, and ftrl.py); other options are stored so or are never cast."""
WITHOUT_EFFECT = {"name", "jit_compile", "is_legacy_optimizer", "learning_rate", "lr", *EMA}


def plan_options(
    rule: OptimizerRule, dialect: Dialect, config: Mapping[str, object], notes: list[str]
) -> tuple[float | Mapping[str, object] | None, dict[str, Plain]]:
    """Return the configured learning rate (number, schedule or None) and the other arguments.

    Raises:
        UnsupportedError: An entry is of no plain type, or changes the training in a way torch_impl has not.
    """
    rate = _learning_rate(config.get("learning_rate", config.get("lr")))
    names = dict.fromkeys((*rule.options, *SHARED, *(EMA if config.get("use_ema") else ())))
    options = {name: _plain(name, config[name]) for name in names if _matters(name, config, rule)}
    if dialect == "standalone" and "clipnorm" in options:
        if "clipvalue" in options:
            message = "clipnorm and clipvalue together have no counterpart"
            raise UnsupportedError(message, hint="convert the weights alone, without the optimizer")
        options["global_clipnorm"] = options.pop("clipnorm")
        notes.append("clipnorm of standalone Keras is the norm of all gradients: global_clipnorm")
    if dialect in ("legacy", "standalone"):
        options |= {n: _plain(n, v) for n, v in rule.legacy_options(config).items()}
    if dialect == "legacy":
        options |= {name: _single(options[name]) for name in SINGLE if name in options}
    left = set(config) - set(names) - WITHOUT_EFFECT - set(rule.decided)
    notes += [
        f"option {name}={config[name]!r} is not carried over"
        for name in sorted(left)
        if config[name]
    ]
    return rate, options


def used_options(options: Mapping[str, Plain]) -> frozenset[str]:
    """Return the names of the options that are on."""
    return frozenset(name for name, value in options.items() if value)


def _matters(name: str, config: Mapping[str, object], rule: OptimizerRule) -> bool:
    """Return whether an entry is there and says something else than the default of the torch class."""
    value = config.get(name)
    # No weight decay is said by None, which for AdamW is not the default.
    if name in NULLABLE and name in rule.options:
        return name in config
    return value is not None and not (name in SHARED and not value)


def _plain(name: str, value: object) -> Plain:
    """Return a number or None as it is. Raises UnsupportedError for anything else."""
    if value is None or isinstance(value, int | float):
        return value
    message = f"optimizer option {name} is a {type(value).__name__}, not a number"
    raise UnsupportedError(message)


def _single(value: Plain) -> Plain:
    """Return a number as the nearest float32, as a double."""
    with np.errstate(over="ignore"):
        return float(np.float32(value)) if isinstance(value, float) else value


def _learning_rate(value: object) -> float | Mapping[str, object] | None:
    """Return the number or the schedule's class name and configuration."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        name, config = value.get("class_name"), value.get("config")
        if name in SCHEDULES and isinstance(config, Mapping):
            kept = {key: entry for key, entry in config.items() if key != "name"}
            return {"class_name": str(name), "config": kept}
        message = (
            f"learning-rate schedule {name!r} has no counterpart; known: {', '.join(SCHEDULES)}"
        )
        raise UnsupportedError(message, hint="convert the weights alone, without the optimizer")
    if isinstance(value, int | float):
        return float(value)
    message = f"the learning rate is a {type(value).__name__}, not a number or a schedule"
    raise UnsupportedError(message)
