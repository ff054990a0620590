"""Attention of one head, without projections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.attention import asks_for_scores, inputs_of_call
from converters.lowering.masking import masks_of
from converters.registry import (
    Example,
    Lowered,
    Param,
    Plain,
    Shape,
    TorchStep,
    Weight,
    layer,
)
from converters.settings import flag, number, text, unsupported


def _scaled(config: Mapping[str, object]) -> bool:
    return bool(config.get("use_scale"))


def _joined(config: Mapping[str, object]) -> bool:
    return config.get("score_mode") == "concat"


_CROSS = ((5, 4), (3, 4))


@layer(
    "Attention",
    weights=(Weight("scale", when=_scaled), Weight("concat_score_weight", when=_joined)),
    examples=(
        Example({}, _CROSS),
        Example({"use_scale": True}, ((5, 4), (3, 6), (3, 4))),
        Example({"score_mode": "concat"}, _CROSS),
        Example({"score_mode": "concat", "use_scale": True}, _CROSS),
        Example({}, _CROSS, masked=(0, 1)),
    ),
    takes_call=True,
    mask="use",
)
def attention(layer: Layer, *shapes: Shape) -> Lowered:
    """Return attention of one head without projections."""
    names, found, causal = inputs_of_call(layer, shapes)
    score = text(layer, "score_mode", "dot")
    if score not in ("dot", "concat"):
        raise unsupported(layer, "score_mode", needed="dot or concat")
    kwargs: dict[str, Plain] = {"score": score}
    params = []
    if _scaled(layer.config):
        kwargs["scale"] = ()
        params.append(Param("scale", "scale", " -> ", ()))
    if score == "concat":
        params.append(Param("weight", "concat_score_weight", " -> ", ()))
    return _single_head(layer, kwargs, params, (names, found, causal))


@layer(
    "AdditiveAttention",
    weights=(Weight("scale", when="use_scale"),),
    examples=(
        Example({}, _CROSS),
        Example({"use_scale": False}, ((5, 4), (3, 6), (3, 4))),
        Example({}, _CROSS, masked=(1,)),
    ),
    takes_call=True,
    mask="use",
)
def additive_attention(layer: Layer, *shapes: Shape) -> Lowered:
    """Return attention by the sum of tanh(query + key), as Bahdanau et al. 2015."""
    names, found, causal = inputs_of_call(layer, shapes)
    kwargs: dict[str, Plain] = {"score": "additive"}
    params = []
    if flag(layer, "use_scale", default=True):
        size = found[0][-1]
        kwargs["scale"] = (size,)
        params.append(Param("scale", "scale", "c -> c", (size,)))
    return _single_head(layer, kwargs, params, (names, found, causal))


def _single_head(
    layer: Layer,
    kwargs: dict[str, Plain],
    params: list[Param],
    inputs: tuple[tuple[str, ...], list[Shape], bool],
) -> Lowered:
    names, shapes, causal = inputs
    dropout = number(layer, "dropout", 0.0)
    if not math.isclose(dropout, 0.0):
        kwargs["dropout"] = dropout
    if causal:
        kwargs["causal"] = True
    result = (*shapes[0][:-1], shapes[1][-1])
    step = TorchStep("compat.Attention", kwargs, tuple(params), result, "", names, ("attended",))
    masks = masks_of(layer)
    of_query, of_value = masks.of_input(0), masks.of_input(1)
    if any(len(masks.shapes[name]) != 2 for name in (of_query, of_value) if name is not None):
        msg = f"layer '{layer.name}' ({layer.class_name}): masks (batch, positions) are needed"
        raise UnsupportedError(msg)
    steps = [step]
    if of_value is not None:
        query, value, key = names if len(names) == 3 else (*names, names[1])
        shape = (None, None, None)
        seen = TorchStep("torch.unsqueeze", {"dim": 1}, (), shape, "", (of_value,), ("mask",))
        inside = (query, value, key, "mask")
        steps = [seen, replace(step, op="compat.MaskedAttention", inputs=inside)]
    further: tuple[str, ...] = ()
    if asks_for_scores(layer):
        scores = (*shapes[0][:-1], shapes[1][-2])
        further = ("scores",)
        op = steps[-1].op.replace("Attention", "ScoredAttention")
        results = ("attended", *further)
        steps[-1] = replace(steps[-1], op=op, results=results, further_shapes=(scores,))
    unmasked = (None,) * len(further)
    if of_query is None:
        return Lowered(tuple(steps), ("attended", *further), masks=(None, *unmasked))
    zeroed = TorchStep(
        "compat.zero_masked", {}, (), result, "", ("attended", of_query), ("zeroed",)
    )
    return Lowered((*steps, zeroed), ("zeroed", *further), masks=(of_query, *unmasked))
