"""Names what a plain PyTorch module and its optimizer have by PyTorch's defaults where Keras's are others.

A port that leaves a setting out gets another network without an error. Everything here is advice: a setting that was
meant is named, too, if it happens to be PyTorch's default. The rows are checked against the signatures of both installed libraries
(`parity_tests/test_keras_defaults.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, finfo, nn, optim
from torch.nn.parameter import is_lazy

from torch_impl.keras_defaults import EMBEDDING_BOUND, KERNELS, RECURRENT, glorot_bound

Value = float | bool | str | tuple[float | None, ...] | None
"""Of a setting."""
INITIAL_VALUES = "initial values"
"""The setting of a finding about what a layer's weights were drawn from."""
_REMEDY = "init_like_keras(module)"
_MISSED_DRAWS = 1e-6
"""Share of fresh layers that are taken for trained ones, because all their values happen to be small."""


@dataclass(frozen=True, slots=True)
class DefaultRow:
    """A setting that PyTorch and Keras have different defaults for.

    Attributes:
        types: classes of PyTorch that have the setting, and what derives from them.
        setting: PyTorch's name of it.
        torch: PyTorch's default.
        keras_class: in keras.layers or keras.optimizers.
        keras_setting: Keras' name of it, two with ", " between; None: Keras has it fixed.
        keras: Keras' default, in Keras' terms.
        wanted: what does the same in PyTorch.
        reason: what the difference does.
    """

    types: tuple[type, ...]
    setting: str
    torch: Value
    keras_class: str
    keras_setting: str | None
    keras: Value
    wanted: Value
    reason: str


@dataclass(frozen=True, slots=True)
class ChangedDefault:
    """A setting at PyTorch's default where Keras's default is another.

    Attributes:
        place: dotted name of the layer, or "optimizer", with its parameter group if there are several.
        kind: class of the layer or optimizer.
        setting: as PyTorch calls it, or `INITIAL_VALUES`.
        value: what it is.
        keras: Keras' default, in Keras' terms.
        remedy: what to write.
        reason: what the difference does.
    """

    place: str
    kind: str
    setting: str
    value: Value
    keras: Value
    remedy: str
    reason: str


_BATCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_SMALL_VARIANCE = (
    "added to the variance: 100 times as much, so features that vary little come out smaller"
)
_STEPS = "(batch, time, features) is read as (time, batch, features), without an error"
_RATE = "steps of another size"
_BESIDE_ROOT = "bounds the step where gradients are small; for Keras's place in the formula: torch_impl.keras_compat"


def _rate(kind: type, torch_default: float, keras_class: str, keras_default: float) -> DefaultRow:
    return DefaultRow(
        (kind,),
        "lr",
        torch_default,
        keras_class,
        "learning_rate",
        keras_default,
        keras_default,
        _RATE,
    )


def _epsilon(kind: type, torch_default: float, keras_class: str) -> DefaultRow:
    return DefaultRow(
        (kind,), "eps", torch_default, keras_class, "epsilon", 1e-7, 1e-7, _BESIDE_ROOT
    )


# fmt: off
LAYER_ROWS = (
    DefaultRow(_BATCH, "eps", 1e-5, "BatchNormalization", "epsilon", 1e-3, 1e-3, _SMALL_VARIANCE),
    DefaultRow(_BATCH, "momentum", 0.1, "BatchNormalization", "momentum", 0.99, 0.01,
               "share of the new batch (Keras: of the old mean): running statistics follow ten times as fast"),
    DefaultRow((nn.LayerNorm,), "eps", 1e-5, "LayerNormalization", "epsilon", 1e-3, 1e-3, _SMALL_VARIANCE),
    DefaultRow((nn.GroupNorm,), "eps", 1e-5, "GroupNormalization", "epsilon", 1e-3, 1e-3, _SMALL_VARIANCE),
    DefaultRow(_INSTANCE, "eps", 1e-5, "GroupNormalization", "epsilon", 1e-3, 1e-3, _SMALL_VARIANCE),
    DefaultRow(_INSTANCE, "affine", torch=False, keras_class="GroupNormalization", keras_setting="scale", keras=True,
               wanted=True, reason="no scale and offset to learn"),
    DefaultRow((nn.RMSNorm,), "eps", None, "RMSNormalization", "epsilon", 1e-6, 1e-6,
               "None is the smallest step of the dtype, 1.2e-07 in float32"),
    DefaultRow((nn.LeakyReLU,), "negative_slope", 0.01, "LeakyReLU", "negative_slope", 0.3, 0.3,
               "negative inputs pass 30 times weaker, and so do their gradients"),
    DefaultRow((nn.Softmax, nn.LogSoftmax), "dim", None, "Softmax", "axis", -1, -1, "None is axis 0 or 1 by the number of axes, not the last one"),
    DefaultRow((nn.RNNBase,), "batch_first", torch=False, keras_class="RNN", keras_setting=None, keras=True, wanted=True,
               reason=_STEPS),
    DefaultRow((nn.MultiheadAttention,), "batch_first", torch=False, keras_class="MultiHeadAttention", keras_setting=None,
               keras=True, wanted=True, reason=_STEPS),
)
OPTIMIZER_ROWS = (
    _epsilon(optim.Adam, 1e-8, "Adam"),
    _epsilon(optim.AdamW, 1e-8, "AdamW"),
    DefaultRow((optim.AdamW,), "weight_decay", 1e-2, "AdamW", "weight_decay", 4e-3, 4e-3, "weights shrink 2.5 times as fast"),
    _rate(optim.NAdam, 2e-3, "Nadam", 1e-3),
    _epsilon(optim.NAdam, 1e-8, "Nadam"),
    DefaultRow((optim.NAdam,), "momentum_decay", 4e-3, "Nadam", None, 1.0, 1.0,
               "Keras's momentum warms up by 0.96^step, PyTorch's by 0.96^(step momentum_decay)"),
    _rate(optim.RMSprop, 1e-2, "RMSprop", 1e-3),
    DefaultRow((optim.RMSprop,), "alpha", 0.99, "RMSprop", "rho", 0.9, 0.9, "squared gradients are remembered ten times as long"),
    _epsilon(optim.RMSprop, 1e-8, "RMSprop"),
    _rate(optim.Adagrad, 1e-2, "Adagrad", 1e-3),
    DefaultRow((optim.Adagrad,), "initial_accumulator_value", 0, "Adagrad", "initial_accumulator_value", 0.1, 0.1,
               "first steps have the full learning rate whatever the gradient is"),
    _epsilon(optim.Adagrad, 1e-10, "Adagrad"),
    _rate(optim.Adadelta, 1.0, "Adadelta", 1e-3),
    DefaultRow((optim.Adadelta,), "rho", 0.9, "Adadelta", "rho", 0.95, 0.95, "squares are remembered half as long"),
    _epsilon(optim.Adadelta, 1e-6, "Adadelta"),
    _rate(optim.Adamax, 2e-3, "Adamax", 1e-3),
    _epsilon(optim.Adamax, 1e-8, "Adamax"),
    _rate(optim.SGD, 1e-3, "SGD", 1e-2),
    _rate(optim.Adafactor, 1e-2, "Adafactor", 1e-3),
    DefaultRow((optim.Adafactor,), "eps", (None, 1e-3), "Adafactor", "epsilon_1, epsilon_2", (1e-30, 1e-3), (1e-30, 1e-3),
               "None is the smallest step of the dtype, 1.2e-07 in float32, added to squared gradients"),
    DefaultRow((optim.Muon,), "weight_decay", 0.1, "Muon", "weight_decay", 4e-3, 4e-3, "weights shrink 25 times as fast"),
    DefaultRow((optim.Muon,), "adjust_lr_fn", None, "Muon", "rms_rate", 0.2, "match_rms_adamw",
               "steps of a matrix are scaled by its shape in another way"),
)
# fmt: on


def changed_defaults(
    module: nn.Module, optimizer: optim.Optimizer | None = None
) -> tuple[ChangedDefault, ...]:
    """Return every setting that is at PyTorch's default where Keras's default is another, in the module's order.

    Initial values are named where a layer's weights look as PyTorch drew them, which only a module that was neither
    trained nor loaded has; a kernel whose law happens to be the same in both libraries is not named.

    Args:
        module: a layer or network.
        optimizer: of torch.optim; None: not looked at.
    """
    found: list[ChangedDefault] = []
    for place, layer in module.named_modules():
        where = place or type(layer).__name__
        found += _of_rows(where, layer, vars(layer), LAYER_ROWS)
        found += _of_values(where, layer)
    if optimizer is not None:
        several = len(optimizer.param_groups) > 1
        for index, group in enumerate(optimizer.param_groups):
            where = f"optimizer.param_groups[{index}]" if several else "optimizer"
            found += _of_rows(where, optimizer, group, OPTIMIZER_ROWS)
    return tuple(found)


def _of_rows(
    place: str, owner: object, settings: dict[str, object], rows: tuple[DefaultRow, ...]
) -> Iterator[ChangedDefault]:
    """Yield the findings of the rows of the nearest class that has any."""
    with_rows = {kind for row in rows for kind in row.types}
    kind = next((each for each in type(owner).__mro__ if each in with_rows), None)
    for row in rows:
        if kind not in row.types or row.setting not in settings:
            continue
        value = settings[row.setting]
        value = value.item() if isinstance(value, Tensor) else value  # lr may be a tensor
        if value == row.torch and isinstance(value, bool) == isinstance(row.torch, bool):
            yield ChangedDefault(
                place,
                type(owner).__name__,
                row.setting,
                row.torch,
                row.keras,
                f"{row.setting}={row.wanted!r}",
                row.reason,
            )


def _of_values(place: str, layer: nn.Module) -> Iterator[ChangedDefault]:
    """Yield the finding about a layer whose weights look as PyTorch drew them."""
    arrays = dict(layer.named_parameters(recurse=False))
    if not all(_has_values(value) for value in arrays.values()):
        return
    laws = _laws(layer, {name: value.detach() for name, value in arrays.items()})
    if laws is not None:
        reason = "the network begins elsewhere: signals and gradients have other sizes from layer to layer"
        yield ChangedDefault(
            place, type(layer).__name__, INITIAL_VALUES, *laws, remedy=_REMEDY, reason=reason
        )


def _has_values(array: Tensor) -> bool:
    """Return whether there is anything to look at: not in a lazy layer before its first call, nor on the meta device."""
    return not is_lazy(array) and not array.is_meta and array.numel() > 0


def _laws(layer: nn.Module, arrays: dict[str, Tensor]) -> tuple[str, str] | None:
    """Return the laws of the first values in PyTorch and in Keras, or None if they are not PyTorch's or do not differ."""
    if not arrays:
        return None
    if isinstance(layer, nn.PReLU):
        fresh = bool(layer.init) and bool((arrays["weight"] == layer.init).all())
        return (f"{layer.init:g}", "0") if fresh else None
    if isinstance(layer, nn.Embedding):
        return ("normal(0, 1)", f"±{EMBEDDING_BOUND:g}") if _is_normal(arrays["weight"]) else None
    if isinstance(layer, RECURRENT):
        bound = 1 / math.sqrt(layer.hidden_size)
        biases = "forget bias 1" if isinstance(layer, nn.LSTM | nn.LSTMCell) else "bias 0"
        fresh = all(_is_uniform(array, bound) for array in arrays.values())
        return (f"±{bound:.3g}", f"Glorot, orthogonal, {biases}") if fresh else None
    if isinstance(layer, nn.MultiheadAttention) and "in_proj_weight" in arrays:
        # PyTorch takes the three kernels for one; where they are apart, its law is Keras'.
        bound, keras = (math.sqrt(6 / (count * layer.embed_dim)) for count in (4, 2))
        fresh = _is_uniform(arrays["in_proj_weight"], bound)
        return (f"±{bound:.3g}", f"±{keras:.3g}") if fresh else None
    if isinstance(layer, KERNELS) and "weight" in arrays:
        return _laws_of_kernel(layer, arrays["weight"], arrays.get("bias"))
    return None


def _laws_of_kernel(
    layer: nn.Module, weight: Tensor, bias: Tensor | None
) -> tuple[str, str] | None:
    bound, keras = 1 / math.sqrt(weight[0].numel()), glorot_bound(layer)
    differs = not math.isclose(bound, keras, rel_tol=1e-2)
    # The output of an attention is a Linear whose bias PyTorch, too, begins at zero.
    drawn = bias is not None and not isinstance(
        layer, nn.modules.linear.NonDynamicallyQuantizableLinear
    )
    if not _is_uniform(weight, bound) or (drawn and not _is_uniform(bias, bound)):
        return None
    if drawn:
        return f"±{bound:.3g}, bias ±{bound:.3g}", f"±{keras:.3g}, bias 0"
    return (f"±{bound:.3g}", f"±{keras:.3g}") if differs else None


def _is_uniform(array: Tensor | None, bound: float) -> bool:
    """Return whether values may have been drawn from U(-bound, bound): none is outside, the largest is near the bound."""
    if array is None or not array.numel():
        return False
    largest = float(array.abs().max())
    share: float = _MISSED_DRAWS ** (1 / array.numel())
    rounded_up = bound * (1 + 2 * finfo(array.dtype).eps)
    return bound * share <= largest <= rounded_up


def _is_normal(table: Tensor) -> bool:
    """Return whether the rows of an embedding may have been drawn from N(0, 1), leaving out rows of zeros."""
    values = table[(table != 0).any(dim=1)].double()
    if not values.numel() or float(values.abs().max()) <= EMBEDDING_BOUND:
        return False
    # The mean square of n draws has the standard deviation sqrt(2 / n).
    mean_square = float(values.square().mean())
    return abs(mean_square - 1) < 5 * math.sqrt(2 / values.numel())
