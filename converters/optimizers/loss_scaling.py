"""LossScaleOptimizer: what the wrapper of mixed precision keeps itself, and the optimizer inside.

Source: keras 3.15.1, optimizers/loss_scale_optimizer.py; keras 2.15.0, mixed_precision/loss_scale_optimizer.py, whose
`variables` are those of the optimizer inside, so that the scale is in no .h5 file of Keras 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.checkpoint import ArrayInfo, OptimizerState
from converters.errors import UnsupportedError

NAMES = ("lossscaleoptimizer", "lossscaleoptimizerv3", "lossscaleoptimizerv1")
KERAS_SCALE = 2.0**15  # the default of Keras 2 and 3
OWN_NUMBERS = 4
"""Keras 3 stores iteration, learning rate (0), step counter and scale before what the optimizer inside has."""
_INSIDE = "/inner_optimizer/"
"""Part of the path of what a .keras file holds of the optimizer inside."""
UNUSED = "of the wrapper of mixed precision, which does not use it"


@dataclass(frozen=True, slots=True)
class LossScaling:
    """What the wrapper adds to the optimizer inside."""

    options: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, ArrayInfo] = field(default_factory=dict)
    ignored: tuple[tuple[ArrayInfo, str], ...] = ()
    notes: tuple[str, ...] = ()


def unwrap_loss_scaling(state: OptimizerState) -> tuple[OptimizerState, LossScaling]:
    """Return the optimizer inside with its variables, and what the wrapper adds; any other optimizer as it is.

    Raises:
        UnsupportedError: The file does not say what is inside.
    """
    if (state.kind or "").rpartition(".")[2].replace("_", "").lower() not in NAMES:
        # compile() wraps it by itself under a policy of float16; the configuration keeps what it was given.
        if state.generation == 3 and any(_INSIDE in variable.name for variable in state.variables):
            return _of_keras_3(state, replace(state, config={}))
        return state, LossScaling()
    stored = state.config.get("inner_optimizer", state.config.get("optimizer"))
    kind = stored.get("class_name") if isinstance(stored, Mapping) else None
    config = stored.get("config") if isinstance(stored, Mapping) else None
    if not isinstance(kind, str) or not isinstance(config, Mapping):
        message = "LossScaleOptimizer: the file does not say which optimizer is inside"
        raise UnsupportedError(message, hint="convert the weights alone, without the optimizer")
    inner = replace(state, kind=kind.rsplit(">", 1)[-1], config=config)
    if state.generation != 3:
        once, ignored = _without_second_copies(inner.variables)
        scaling = replace(_of_keras_2(state.config), ignored=ignored)
        return replace(inner, variables=once), scaling
    return _of_keras_3(inner, state)


def _of_keras_2(config: Mapping[str, object]) -> LossScaling:
    """Return the scale as configured: what it had become is not in the file."""
    scale = _number(config, "initial_scale", KERAS_SCALE)
    old = config.get("loss_scale")  # TensorFlow <= 2.3
    if isinstance(old, Mapping) and isinstance(old.get("config"), Mapping):
        settings = old["config"]
        growth = _number(settings, "increment_period", 2000)
        scale = _number(
            settings, "initial_loss_scale", _number(settings, "loss_scale_value", scale)
        )
        dynamic = old.get("class_name") == "DynamicLossScale"
    else:
        growth = _number(config, "dynamic_growth_steps", 2000)
        dynamic = config.get("dynamic", True) is not False
    if not dynamic:
        return LossScaling({"loss_scale_factor": scale})
    options = {"dynamic_scale": scale, "dynamic_growth_steps": int(growth), "smallest_scale": 1.0}
    note = f"the loss scale is not carried over; it starts again at {scale:g}"
    return LossScaling(options, notes=(note,))


def _of_keras_3(inner: OptimizerState, state: OptimizerState) -> tuple[OptimizerState, LossScaling]:
    """Return the optimizer inside with what is left when the wrapper's own numbers are taken from the front."""
    variables, again = _without_second_copies(state.variables)
    leading = next((i for i, v in enumerate(variables) if v.shape != ()), len(variables))
    own = variables[: OWN_NUMBERS if leading > OWN_NUMBERS else 2]
    options = {
        "dynamic_scale": _number(state.config, "initial_scale", KERAS_SCALE),
        "dynamic_growth_steps": int(_number(state.config, "dynamic_growth_steps", 2000)),
    }
    numbers = dict(zip(("scaled_steps", "dynamic_scale"), own[2:], strict=False))
    ignored = (*((v, UNUSED) for v in own[:2]), *again)
    scaling = LossScaling(options, numbers, ignored)
    return replace(inner, variables=variables[len(own) :]), scaling


def _without_second_copies(
    variables: Sequence[ArrayInfo],
) -> tuple[tuple[ArrayInfo, ...], tuple[tuple[ArrayInfo, str], ...]]:
    """Return the variables of a .keras file, which has those of the optimizer inside with the wrapper and by itself, once."""
    again = tuple((v, "stored a second time") for v in variables if _INSIDE in v.name)
    return tuple(v for v in variables if _INSIDE not in v.name), again


def _number(
    config: Mapping[object, object] | Mapping[str, object], name: str, default: float
) -> float:
    value = dict(config).get(name)
    return float(value) if isinstance(value, int | float) else default
