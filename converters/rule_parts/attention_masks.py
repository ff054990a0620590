"""What hides a value of attention from a query: masks of query, value, key and scores, and a window, as one mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.lowering.masking import masks_of
from converters.registry import Plain, Shape, TorchStep
from converters.settings import integer, unsupported


def mask_steps(
    layer: Layer,
    names: tuple[str, ...],
    attending: tuple[str, ...],
    *,
    rank: int = 3,
    kept: tuple[int, ...] = (),
) -> list[TorchStep]:
    """Return the steps that make "mask", if anything hides a value from a query.

    Args:
        layer: with its masks.
        names: of query, value and, if given, key; their masks are named alike.
        attending: what attention gets for them: (batch, positions, size).
        rank: of the inputs, without axes that attention leaves alone.
        kept: sizes of those axes, which `attending` has in its batch.

    Raises:
        UnsupportedError: There are several axes of positions, or the masks have another rank.
    """
    masks = masks_of(layer)
    carried = [name.replace("input", "mask") for name in names]
    parts: list[TorchStep] = []
    for part, own, dim in zip(("query", "value", "key"), carried, (-1, 1, 1), strict=False):
        name = f"{part}_mask" if f"{part}_mask" in masks.shapes else own
        if name in masks.shapes:
            kwargs: dict[str, Plain] = {"dim": dim}
            parts.append(_part("torch.unsqueeze", kwargs, name, f"{part}_seen"))
    if "attention_mask" in masks.shapes:
        parts.append(_part("compat.cast", {"dtype": "bool"}, "attention_mask", "seen"))
    window = layer.config.get("sliding_window")
    if not parts and window is None:
        return []
    ranks = [len(masks.shapes[each.inputs[0]]) for each in parts]
    alone = bool(parts) and parts[0].inputs == ("attention_mask",)
    fits = (
        ranks[0] in ((2, 3) if kept else (2, 3, 4))
        if alone
        else all(
            found == 2 or (found == 3 and each.results == ("seen",))
            for found, each in zip(ranks, parts, strict=True)
        )
    )
    if rank != 3 or not fits:
        found = ", ".join(str(masks.shapes[each.inputs[0]]) for each in parts)
        msg = f"layer '{layer.name}' ({layer.class_name}): no rule for masks {found} beside {rank + len(kept)} axes"
        raise UnsupportedError(msg)
    if window is not None:
        kwargs = {"window": integer(layer, "sliding_window")}
        near = TorchStep("compat.attention_window", kwargs, (), (None, None))
        parts.append(replace(near, inputs=attending[:2], results=("near",)))
    ends = tuple(each.results[0] for each in parts)
    if len(ends) > 1:
        parts.append(TorchStep("operator.and_", {}, (), (None, None, None), "", ends, ("mask",)))
    of_samples = not alone or ranks[0] > 2
    if kept and ranks and of_samples:  # each sample's, for all its places of the kept axes
        kwargs = {"repeats": math.prod(kept), "dim": 0}
        last = parts[-1].results[0]
        parts.append(
            TorchStep(
                "torch.repeat_interleave", kwargs, (), (None, None, None), "", (last,), ("mask",)
            )
        )
    parts[-1] = replace(parts[-1], results=("mask",))
    return parts


def _part(op: str, kwargs: dict[str, Plain], name: str, result: str) -> TorchStep:
    return TorchStep(op, kwargs, (), (None, None, None), "", (name,), (result,))


def check_positions(layer: Layer, shapes: Sequence[Shape], attended: tuple[int, ...]) -> None:
    """Raise UnsupportedError unless the positions that Keras's masks count are those of the axis attended to.

    Keras counts along the first axis behind the batch, whichever `attention_axes` names (keras 3.15.1,
    layers/attention/multi_head_attention.py, `_compute_causal_mask`).
    """
    if len(attended) > 1 or any(shape[1] != shape[attended[0]] for shape in shapes):
        needed = "one axis with as many positions as the first behind the batch, beside masks and windows"
        raise unsupported(layer, "attention_axes", needed=needed)
