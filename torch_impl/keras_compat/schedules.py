"""The learning-rate schedules of Keras as plain data: a class name, its configuration, and a step give a number.

A schedule is the mapping that Keras itself stores, `{"class_name": "ExponentialDecay", "config": {...}}`; other keys are
ignored. The arithmetic runs in the precision of the original's schedule tensors, float32 unless the
model was float64. Optimizers call `learning_rate_at` with the iterations done so far.

Source: keras 3.15.1, optimizers/schedules/learning_rate_schedule.py; Keras 2.12 and 2.15 agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch_impl.keras_compat.rounding import Rounding, float32

# The values of a schedule's configuration are numbers, lists of numbers, booleans or None, as JSON holds them.
Config = Mapping[str, Any]
Schedule = Mapping[str, object]


def _progress(config: Config, step: int, rounded: Rounding) -> float:
    """Return step / decay_steps, rounded down to whole periods for a staircase."""
    fraction = rounded(rounded(step) / rounded(config["decay_steps"]))
    return float(math.floor(fraction)) if config.get("staircase") else fraction


def exponential_decay(config: Config, step: int, rounded: Rounding) -> float:
    """Return initial * decay_rate ** (step / decay_steps)."""
    factor = rounded(rounded(config["decay_rate"]) ** _progress(config, step, rounded))
    return rounded(rounded(config["initial_learning_rate"]) * factor)


def inverse_time_decay(config: Config, step: int, rounded: Rounding) -> float:
    """Return initial / (1 + decay_rate * step / decay_steps)."""
    growth = rounded(rounded(config["decay_rate"]) * _progress(config, step, rounded))
    return rounded(rounded(config["initial_learning_rate"]) / rounded(1.0 + growth))


def piecewise_constant_decay(config: Config, step: int, rounded: Rounding) -> float:
    """Return values[i] for the first boundary with step <= boundaries[i], values[-1] after the last."""
    boundaries, values = config["boundaries"], config["values"]
    # Keras casts the boundaries to the integer type of the step.
    index = sum(step > int(boundary) for boundary in boundaries)
    return rounded(values[index])


def polynomial_decay(config: Config, step: int, rounded: Rounding) -> float:
    """Return (initial - end) * (1 - step / decay_steps) ** power + end; with `cycle` the period grows."""
    initial = rounded(config["initial_learning_rate"])
    end = rounded(config.get("end_learning_rate", 0.0001))
    position, period = rounded(step), rounded(config["decay_steps"])
    if config.get("cycle"):
        if position > 0:
            period = rounded(period * math.ceil(rounded(position / period)))
    else:
        position = min(position, period)
    remaining = rounded(1.0 - rounded(position / period))
    power = rounded(remaining ** rounded(config.get("power", 1.0)))
    return rounded(rounded(rounded(initial - end) * power) + end)


def _cosine(start: float, alpha: float, fraction: float, rounded: Rounding) -> float:
    """Return start * ((1 - alpha) * (1 + cos(pi * fraction)) / 2 + alpha)."""
    angle = rounded(rounded(math.pi) * fraction)
    cosine = rounded(0.5 * rounded(1.0 + rounded(math.cos(angle))))
    return rounded(
        start * rounded(rounded(rounded(1 - alpha) * cosine) + rounded(alpha))
    )


def cosine_decay(config: Config, step: int, rounded: Rounding) -> float:
    """Return the half cosine from initial to alpha * initial, after a linear warm-up if there is one."""
    initial, alpha = rounded(config["initial_learning_rate"]), config.get("alpha", 0.0)
    period, position = rounded(config["decay_steps"]), rounded(step)
    if config.get("warmup_target") is None:
        return _cosine(initial, alpha, rounded(min(position, period) / period), rounded)
    target, warmup = (
        rounded(config["warmup_target"]),
        rounded(config.get("warmup_steps", 0)),
    )
    position = min(position, rounded(period + warmup))
    if position < warmup:
        gained = rounded(rounded(target - initial) * rounded(position / warmup))
        return rounded(gained + initial)
    return _cosine(target, alpha, rounded(rounded(position - warmup) / period), rounded)


def cosine_decay_restarts(config: Config, step: int, rounded: Rounding) -> float:
    """Return a cosine that starts again after periods growing by t_mul, from a peak shrinking by m_mul."""
    initial, alpha = (
        rounded(config["initial_learning_rate"]),
        rounded(config.get("alpha", 0.0)),
    )
    growth, shrink = (
        rounded(config.get("t_mul", 2.0)),
        rounded(config.get("m_mul", 1.0)),
    )
    fraction = rounded(rounded(step) / rounded(config["first_decay_steps"]))
    if growth == 1.0:
        restart = math.floor(fraction)
        fraction = rounded(fraction - restart)
    else:
        grown = rounded(
            math.log(rounded(1.0 - rounded(fraction * rounded(1.0 - growth))))
        )
        restart = math.floor(rounded(grown / rounded(math.log(growth))))
        scale = rounded(growth**restart)
        before = rounded(rounded(1.0 - scale) / rounded(1.0 - growth))
        fraction = rounded(rounded(fraction - before) / scale)
    peak = rounded(shrink**restart)
    cosine = rounded(1.0 + rounded(math.cos(rounded(rounded(math.pi) * fraction))))
    decayed = rounded(rounded(0.5 * peak) * cosine)
    return rounded(initial * rounded(rounded(rounded(1 - alpha) * decayed) + alpha))


SCHEDULES: Mapping[str, Callable[[Config, int, Rounding], float]] = {
    "ExponentialDecay": exponential_decay,
    "InverseTimeDecay": inverse_time_decay,
    "PiecewiseConstantDecay": piecewise_constant_decay,
    "PolynomialDecay": polynomial_decay,
    "CosineDecay": cosine_decay,
    "CosineDecayRestarts": cosine_decay_restarts,
}
"""Schedule by the class name Keras stores."""


def plain_schedule(schedule: Schedule) -> dict[str, object]:
    """Return the two keys of a stored schedule that matter, checked, as plain data.

    Raises:
        ValueError: The class name is none of `SCHEDULES`, or the configuration lacks something.
    """
    name, config = schedule.get("class_name"), schedule.get("config")
    if name not in SCHEDULES or not isinstance(config, Mapping):
        known = ", ".join(SCHEDULES)
        message = f"learning-rate schedule {name!r} with a {type(config).__name__}; known: {known}"
        raise ValueError(message)
    plain: dict[str, object] = {"class_name": str(name), "config": dict(config)}
    try:
        learning_rate_at(plain, 0)
    except (KeyError, TypeError, IndexError, ZeroDivisionError) as error:
        message = f"learning-rate schedule {name}: configuration {dict(config)} is incomplete: {error!r}"
        raise ValueError(message) from error
    return plain


def learning_rate_at(
    schedule: Schedule, iterations: int, *, rounded: Rounding = float32
) -> float:
    """Return the learning rate of the update that follows after `iterations` updates.

    Args:
        schedule: `class_name` and `config` as Keras stores them.
        iterations: updates done so far; 0 before the first.
        rounded: precision of the original's schedule tensors.

    Raises:
        KeyError: The class name is none of `SCHEDULES`, or the configuration lacks a value.
    """
    config = schedule["config"]
    if not isinstance(config, Mapping):
        message = (
            f"the schedule's configuration is a {type(config).__name__}, not a mapping"
        )
        raise TypeError(message)
    return SCHEDULES[str(schedule["class_name"])](config, iterations, rounded)
