"""The area under a curve of decisions over thresholds, as the AUC of Keras computes it.

Source: keras 3.15.1, metrics/confusion_metrics.py, AUC.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torch_impl.keras_compat.compiled_metric import Count, Value, ratio
from torch_impl.keras_compat.confusion_metrics import Decisions
from torch_impl.keras_compat.losses import EPSILON


def auc(
    *,
    num_thresholds: int = 200,
    curve: str = "ROC",
    summation_method: str = "interpolation",
    thresholds: Sequence[float] | None = None,
    multi_label: bool = False,
    num_labels: int | None = None,
    label_weights: Sequence[float] | None = None,
    from_logits: bool = False,
) -> tuple[Count, Value]:
    """Give the area under the curve "ROC", "PR" or "PRGAIN", cut at thresholds.

    Args:
        num_thresholds: at equal distances from 0 to 1, if `thresholds` names none.
        curve: of which rates.
        summation_method: "interpolation" between the thresholds, or the smaller ("minoring") or larger ("majoring") end.
        thresholds: those between 0 and 1.
        multi_label: one area for every label, (labels,), then their mean.
        num_labels: says nothing that the outputs do not.
        label_weights: of that mean, and without `multi_label` of the decisions.
        from_logits: outputs go through a sigmoid first.

    Raises:
        ValueError: Curve or summation method have another name.
    """
    name, method = curve.upper(), summation_method.lower()
    if name not in _CURVES or method not in _HEIGHTS:
        message = f"curve {curve!r} with {summation_method!r}; there are {', '.join(_CURVES)} with {', '.join(_HEIGHTS)}"
        raise ValueError(message)
    last = num_thresholds - 1
    inner = [place / last for place in range(1, last)]
    cuts = sorted(thresholds) if thresholds is not None else inner
    decisions = Decisions(
        [-EPSILON, *cuts, 1 + EPSILON],
        by_label=multi_label,
        label_weights=label_weights,
        from_logits=from_logits,
    )

    def value(tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
        if (name, method) == ("PR", "interpolation"):
            areas = _interpolated_precision(tp, fp, fn)
        else:
            x, y = _CURVES[name](tp, fp, tn, fn)
            areas = ((x[:-1] - x[1:]) * _HEIGHTS[method](y[:-1], y[1:])).sum(0)
        if not multi_label:
            return areas
        if label_weights is None:
            return areas.mean()
        weights = areas.new_tensor(label_weights)
        return ratio((areas * weights).sum(), weights.sum())

    return decisions, value


def _interpolated_precision(tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
    """Return the area under precision over recall with tp and fp, not their ratio, linear between thresholds.

    From a to b, with p = tp + fp, slope = (tp_a - tp_b) / (p_a - p_b) and intercept = tp_b - slope * p_b:

        slope * (tp_a - tp_b + intercept * log(p_a / p_b)) / (tp_b + fn_b)
    """
    p = tp + fp
    change = tp[:-1] - tp[1:]
    slope = ratio(change, (p[:-1] - p[1:]).clamp(min=0))
    intercept = tp[1:] - slope * p[1:]
    both = (p[:-1] > 0) & (p[1:] > 0)
    quotient = torch.where(both, ratio(p[:-1], p[1:]), 1)
    parts = slope * (change + intercept * quotient.log())
    return ratio(parts, (tp[1:] + fn[1:]).clamp(min=0)).sum(0)


def _roc(tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> tuple[Tensor, Tensor]:
    return ratio(fp, fp + tn), ratio(tp, tp + fn)


def _pr(tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> tuple[Tensor, Tensor]:
    return ratio(tp, tp + fn), ratio(tp, tp + fp)


def _prgain(tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> tuple[Tensor, Tensor]:
    """Return recall gain and precision gain; without true positives 0 and 1, and no recall gain below 0."""
    scale = ratio(tp + fn, tn + fp)
    recall_gain = torch.where(tp == 0, 0, 1 - scale * ratio(fn, tp))
    precision_gain = torch.where(tp == 0, 1, 1 - scale * ratio(fp, tp))
    return recall_gain.clamp(min=0), precision_gain


_CURVES = {"ROC": _roc, "PR": _pr, "PRGAIN": _prgain}
_HEIGHTS = {
    "interpolation": lambda a, b: (a + b) / 2,
    "minoring": torch.minimum,
    "majoring": torch.maximum,
}
