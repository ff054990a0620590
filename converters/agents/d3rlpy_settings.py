"""What a configuration of d3rlpy says, as settings of our agents; what it says that we do not have is refused or noted.

No numbers are guessed: every parameter of d3rlpy is carried over, has no meaning here (and is named below), or ends in an
error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from converters.errors import MismatchError, UnsupportedError

Parameters = Mapping[str, object]

RENAMED: Mapping[str, str] = {
    "learning_rate": "lr",
    "actor_learning_rate": "actor_lr",
    "critic_learning_rate": "critic_lr",
    "temp_learning_rate": "temperature_lr",
    "alpha_learning_rate": "alpha_lr",
    "target_update_interval": "target_update_freq",
    "policy_type": "policy",
}
"""Parameters that have another name here; the others below keep theirs."""
SAME = (
    *("batch_size", "gamma", "tau", "beta", "alpha", "action_flexibility", "conservative_weight"),
    *("alpha_threshold", "n_action_samples", "initial_temperature", "initial_alpha", "lam"),
    *("soft_q_backup", "expectile", "weight_temp", "max_weight", "target_smoothing_sigma"),
    *("target_smoothing_clip", "update_actor_interval"),
)
SUITE: Mapping[str, str] = {
    "actor_learning_rate": "pi_lr",
    "critic_learning_rate": "q_lr",
    "temp_learning_rate": "alpha_lr",
    "initial_temperature": "alpha_init",
    "target_smoothing_sigma": "pi_t_std",
    "target_smoothing_clip": "pi_t_clip",
    "update_actor_interval": "pi_delay_freq",
    "gamma": "gamma",
    "batch_size": "batch_size",
}
"""Parameters as flags of the RRD suite, which has SAC and TD3."""
_DEFAULT_UNITS = (256, 256)
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "activation": ("relu",),
    "use_batch_norm": (False,),
    "use_layer_norm": (False,),
    "dropout_rate": (None, 0, 0.0),
    "exclude_last_activation": (False,),
    "last_activation": (None, "relu"),
}
"""Parameters of an encoder, and the values under which it is hidden layers with ReLU."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """What is done to observations before the first layer: (x - shift) / width; None: nothing."""

    shift: tuple[float, ...]
    width: tuple[float, ...]


def typed(parameters: Parameters, name: str) -> tuple[str, Parameters]:
    """Return kind and parameters of a part of the configuration: {"type": ..., "params": {...}}."""
    part = parameters.get(name)
    if part is None:
        return "none", {}
    inner = part.get("params") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(inner, Mapping):
        msg = f"its configuration has '{name}' in another form"
        raise MismatchError(msg)
    return str(part.get("type")), inner


def hidden_units(parameters: Parameters) -> list[int]:
    """Return the hidden layers that all encoders of the configuration have.

    Raises:
        UnsupportedError: An encoder is more than hidden layers with ReLU, or two of them differ.
    """
    found = {}
    for name in parameters:
        if name.endswith("encoder_factory"):
            kind, inner = typed(parameters, name)
            found[name] = _units(name, kind, inner)
    if not found:
        msg = "its configuration names no encoder"
        raise MismatchError(msg)
    sizes = set(found.values())
    if len(sizes) > 1:
        listed = ", ".join(f"{name} {list(units)}" for name, units in found.items())
        msg = f"its networks have different hidden layers ({listed}); agents here have one setting for all"
        raise UnsupportedError(msg)
    return list(sizes.pop())


def _units(name: str, kind: str, parameters: Parameters) -> tuple[int, ...]:
    if kind not in ("vector", "default"):
        msg = f"its {name} is '{kind}'; hidden layers ('vector', 'default') are converted"
        raise UnsupportedError(msg)
    for key, value in parameters.items():
        if key in _NEUTRAL and value not in _NEUTRAL[key]:
            msg = f"its {name} has {key} = {value!s:.40}; agents here have hidden layers with ReLU only"
            raise UnsupportedError(msg)
    units = parameters.get("hidden_units", list(_DEFAULT_UNITS))
    if not isinstance(units, list) or not units or not all(type(u) is int and u > 0 for u in units):
        msg = f"its {name} has hidden_units {units!s:.80}"
        raise MismatchError(msg)
    return tuple(units)


def check_critics(parameters: Parameters, needed: int) -> None:
    """Raise UnsupportedError for another number or kind of value functions than our agent has."""
    kind, inner = typed(parameters, "q_func_factory")
    if kind not in ("mean", "none"):
        msg = f"its q_func_factory is '{kind}'; only 'mean' is converted"
        raise UnsupportedError(msg)
    count = parameters.get("n_critics", needed)
    if count != needed:
        msg = f"it has {count!s:.20} critics; the agent here has {needed}"
        raise UnsupportedError(msg)
    if inner.get("share_encoder") and needed > 1:
        msg = "its critics share an encoder (share_encoder); those of the agent here do not"
        raise UnsupportedError(msg)
    if parameters.get("max_q_backup"):
        msg = "it was trained with max_q_backup, which the agent here does not have"
        raise UnsupportedError(msg)


def optimizer_problem(parameters: Parameters, name: str) -> str | None:
    """Return why an optimizer cannot go on here; None: it is Adam as ours.

    Args:
        parameters: of the algorithm.
        name: of d3rlpy's optimizer: "optim", "actor_optim".
    """
    kind, inner = typed(parameters, f"{name}_factory")
    if kind not in ("adam", "none"):
        return f"is '{kind}', not Adam"
    if inner.get("clip_grad_norm"):
        return "clips gradients"
    if inner.get("weight_decay") or inner.get("amsgrad"):
        return "has weight decay or amsgrad"
    schedule = inner.get("lr_scheduler_factory")
    if isinstance(schedule, Mapping) and schedule.get("type") not in (None, "none"):
        return "has a schedule for its learning rate"
    return None


def action_bounds(parameters: Parameters) -> dict[str, object]:
    """Return "action_low" and "action_high" of a scaler of actions, empty without one."""
    kind, inner = typed(parameters, "action_scaler")
    if kind == "none":
        return {}
    if kind != "min_max":
        msg = f"its action_scaler is '{kind}'; 'min_max' is converted"
        raise UnsupportedError(msg)
    low, high = (_numbers(inner, name) for name in ("minimum", "maximum"))
    return {"action_low": list(low), "action_high": list(high)}


def observation_scaling(parameters: Parameters) -> Scaling | None:
    """Return what is done to observations.

    Raises:
        UnsupportedError: Something else than shifting and scaling every number.
    """
    kind, inner = typed(parameters, "observation_scaler")
    if kind == "none":
        return None
    if kind == "standard":
        mean, deviation = (_numbers(inner, name) for name in ("mean", "std"))
        epsilon = inner.get("eps", 1e-3)
        extra = float(epsilon) if isinstance(epsilon, (int, float)) else 1e-3
        return Scaling(mean, tuple(value + extra for value in deviation))
    if kind == "min_max":
        low, high = (_numbers(inner, name) for name in ("minimum", "maximum"))
        shift = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
        return Scaling(shift, tuple((b - a) / 2 for a, b in zip(low, high, strict=True)))
    msg = f"its observation_scaler is '{kind}'; 'standard' and 'min_max' are converted"
    raise UnsupportedError(msg)


def _numbers(parameters: Parameters, name: str) -> tuple[float, ...]:
    values = parameters.get(name)
    values = [values] if isinstance(values, (int, float)) else values
    if not isinstance(values, list) or not all(type(v) in (int, float) for v in values):
        msg = f"a scaler of its configuration has no numbers '{name}'; was it fitted?"
        raise MismatchError(msg)
    return tuple(float(value) for value in values)


def carried(parameters: Parameters, names: Mapping[str, str]) -> dict[str, object]:
    """Return the parameters that have a name here, numbers and flags only."""
    return {
        new: parameters[old]
        for old, new in names.items()
        if isinstance(parameters.get(old), (int, float, str))
    }
