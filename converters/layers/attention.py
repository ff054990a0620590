"""Attention of several heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import cast

from converters.errors import UnsupportedError
from converters.graph import Layer, Operand
from converters.lowering.masking import masks_of
from converters.matching.stored_quantization import PARTS
from converters.registry import (
    Example,
    Lowered,
    Param,
    Plain,
    Shape,
    TorchStep,
    Weight,
    find_layer_rule,
    layer,
)
from converters.rule_parts.attention_masks import check_positions, mask_steps
from converters.rule_parts.operations import call_of
from converters.rule_parts.quantized_projections import (
    merged,
    projection_axes,
    quantized_projection,
)
from converters.settings import flag, integer, integers, number, unsupported


def _gated(config: Mapping[str, object]) -> bool:
    return bool(config.get("use_gate"))


def _has_projection(config: Mapping[str, object], *, part: str, role: str) -> bool:
    """Return whether a weight is there, unless an inner layer has it."""
    quantized = config.get("quantized_parts", ())
    held = isinstance(quantized, tuple) and part in quantized
    if held or (part == "gate" and not _gated(config)):
        return False
    return role == "kernel" or bool(config.get("use_bias", True))


_PROJECTIONS = tuple(
    Weight(
        f"{part}/{role}",
        when=partial(_has_projection, part=part, role=role),
        place=f"{place}/{index}",
    )
    for part, place in PARTS.items()
    for index, role in enumerate(("kernel", "bias"))
)


def inputs_of_call(
    layer: Layer, shapes: tuple[Shape, ...]
) -> tuple[tuple[str, ...], list[Shape], bool]:
    """Return the names and shapes of query, value and, if given, key; and whether attention is causal.

    Raises:
        UnsupportedError: The call has arguments without a counterpart.
    """
    call = call_of(layer)
    first = call.args[0] if call.args else None
    given = list(first if isinstance(first, tuple) else call.args)  # Attention takes a list
    given += [call.kwargs[name] for name in ("query", "value", "key") if name in call.kwargs]
    indexes = [value.index for value in given if isinstance(value, Operand)]
    others = {
        name: value for name, value in call.kwargs.items() if name not in ("query", "value", "key")
    }
    causal = others.pop("use_causal_mask", False)
    if len(indexes) not in (2, 3) or len(indexes) != len(given) or causal not in (False, True):
        msg = f"layer '{layer.name}' ({layer.class_name}): called with {given!r:.60}, query and value are needed"
        raise UnsupportedError(msg)
    others.pop("return_attention_scores", None)  # `asks_for_scores`
    refused = sorted(name for name, value in others.items() if value not in (None, False))
    if refused:
        msg = f"layer '{layer.name}' ({layer.class_name}): called with {', '.join(refused)}; no rule for that"
        raise UnsupportedError(msg)
    return (
        tuple(f"input_{index}" for index in indexes),
        [shapes[index] for index in indexes],
        bool(causal),
    )


@layer(
    "MultiHeadAttention",
    weights=_PROJECTIONS,
    examples=(
        Example({"num_heads": 2, "key_dim": 3}, ((5, 4), (5, 4)), separate=True),
        Example(
            {"num_heads": 2, "key_dim": 3, "value_dim": 5, "use_bias": False},
            ((5, 4), (3, 6), (3, 2)),
            separate=True,
        ),
        Example(
            {"num_heads": 2, "key_dim": 3, "output_shape": (2, 3)}, ((5, 4), (3, 6)), separate=True
        ),
        Example({"num_heads": 2, "key_dim": 3}, ((2, 3, 4), (2, 2, 4)), separate=True),
        Example({"num_heads": 2, "key_dim": 3}, ((5, 4), (3, 4)), separate=True, masked=(0, 1)),
        Example(
            {"num_heads": 2, "key_dim": 3, "use_gate": True, "value_dim": 5, "sliding_window": 2},
            ((5, 4), (3, 6)),
            separate=True,
        ),
        Example(
            {"num_heads": 2, "key_dim": 3, "attention_axes": (2,)},
            ((3, 5, 4), (3, 2, 4)),
            separate=True,
        ),
        Example(
            {"num_heads": 2, "key_dim": 3, "dropout": 1e-12},
            ((5, 4), (3, 4), (3, 4)),
            separate=True,
            masked=(1, 2),
        ),
        Example(
            {"num_heads": 2, "key_dim": 3, "attention_axes": (1,), "output_shape": (2, 3)},
            ((5, 3, 4), (2, 3, 4)),
            separate=True,
        ),
        Example(
            {"num_heads": 2, "key_dim": 3, "attention_axes": (1,), "sliding_window": 2},
            ((5, 3, 4), (4, 3, 4)),
            separate=True,
        ),
    ),
    takes_call=True,
    mask="use",
)
def multi_head_attention(layer: Layer, *shapes: Shape) -> Lowered:
    """Return attention of several heads over all axes between the batch and the last."""
    names, found, causal = inputs_of_call(layer, shapes)
    rank = len(found[0])
    kept = _kept_axes(layer, found)
    heads, key_size = integer(layer, "num_heads"), integer(layer, "key_dim")
    value_size = key_size if layer.config.get("value_dim") is None else integer(layer, "value_dim")
    given = layer.config.get("output_shape")
    width = (found[0][-1] or 0,) if given is None else integers(layer, "output_shape")
    if "query_mask" in masks_of(layer).shapes:
        msg = (
            f"layer '{layer.name}' (MultiHeadAttention) is called with query_mask, which Keras 3.15 does not look at; "
            "no rule for that"
        )
        raise UnsupportedError(msg)
    step = _heads(layer, names, found, (heads, heads, key_size, value_size), width, causal=causal)
    if kept:
        return replace(_beside(layer, step, names, found, kept), unmasks=True)
    if asks_for_scores(layer):
        return _with_scores(layer, step, names, found, heads)
    return replace(_with_heads_mask(layer, step, names, rank), unmasks=True)


def _kept_axes(layer: Layer, shapes: list[Shape]) -> tuple[int, ...]:
    """Return the axes between batch and last that attention does not go over; each of their places is by itself.

    Raises:
        UnsupportedError: Their sizes are free or differ.
    """
    if layer.config.get("attention_axes") is None:
        return ()
    rank = len(shapes[0])
    axes = {axis % rank for axis in integers(layer, "attention_axes")}
    kept = tuple(axis for axis in range(1, rank - 1) if axis not in axes)
    sizes = {tuple(shape[axis] for axis in kept) for shape in shapes if len(shape) == rank}
    if len({len(shape) for shape in shapes}) > 1 or len(sizes) > 1 or None in next(iter(sizes)):
        needed = "axes whose others have the same fixed sizes in all inputs"
        raise unsupported(layer, "attention_axes", needed=needed)
    return kept


def _beside(
    layer: Layer,
    step: TorchStep,
    names: tuple[str, ...],
    shapes: list[Shape],
    kept: tuple[int, ...],
) -> Lowered:
    """Return attention with the kept axes counted as part of the batch; the query's mask goes on behind."""
    rank, width = len(shapes[0]), len(cast("tuple[int, ...]", step.kwargs["output_shape"]))
    attended = tuple(axis for axis in range(1, rank - 1) if axis not in kept)
    front = (0, *kept, *attended)
    steps = []
    for name, shape in zip(names, shapes, strict=True):
        moved = tuple(shape[axis] for axis in (*front, rank - 1))
        order = {"dims": (*front, rank - 1)}
        steps.append(TorchStep("torch.permute", order, (), moved, "", (name,), (f"{name}_moved",)))
        kwargs: dict[str, Plain] = {"start_dim": 0, "end_dim": len(kept)}
        flat = (None, *moved[len(kept) + 1 :])
        steps.append(
            TorchStep("torch.flatten", kwargs, (), flat, "", (f"{name}_moved",), (f"{name}_flat",))
        )
    result, heads = step.shape or (), step.kwargs["heads"]
    flat_names = tuple(f"{name}_flat" for name in names)
    inner = (None, *(result[axis] for axis in attended), *result[rank - 1 :])
    seen = mask_steps(layer, names, flat_names, kept=tuple(shapes[0][axis] or 0 for axis in kept))
    if seen or step.kwargs.get("causal"):
        check_positions(layer, shapes, attended)
    scored = asks_for_scores(layer) or bool(seen)  # Keras weighs masked scores in one way in both
    attending = replace(step, inputs=flat_names, results=("flat",), shape=inner)
    if scored:
        positions = [tuple(shape[axis] for axis in attended) for shape in shapes[:2]]
        scores: Shape = (None, cast("int", heads), *positions[0], *positions[1])
        op = f"compat.{_masked(layer) if seen else ''}ScoredMultiHeadAttention"
        query, value, key = flat_names if len(names) == 3 else (*flat_names, flat_names[1])
        given = (query, value, key, "mask") if seen else flat_names
        attending = replace(
            attending,
            op=op,
            inputs=given,
            results=("flat", "flat_scores"),
            further_shapes=(scores,),
        )
    steps += [*seen, attending]
    back = (*(front.index(axis) for axis in range(rank - 1)), *range(rank - 1, rank - 1 + width))
    sizes: dict[str, Plain] = {"dim": 0, "sizes": (-1, *(shapes[0][axis] or 0 for axis in kept))}
    first = tuple(shapes[0][axis] for axis in (0, *kept))
    unfolded = (*first, *inner[1:])
    steps.append(TorchStep("torch.unflatten", sizes, (), unfolded, "", ("flat",), ("unfolded",)))
    steps.append(
        TorchStep("torch.permute", {"dims": back}, (), result, "", ("unfolded",), ("attended",))
    )
    own = names[0].replace("input", "mask")
    behind = own if own in masks_of(layer).shapes else None
    if not asks_for_scores(layer):
        return Lowered(tuple(steps), ("attended",), masks=(behind,))
    steps.append(
        TorchStep(
            *("torch.unflatten", sizes, (), (*first, *scores[1:]), ""),
            ("flat_scores",),
            ("scores",),
        )
    )
    return Lowered(tuple(steps), ("attended", "scores"), masks=(behind, None))


def asks_for_scores(layer: Layer) -> bool:
    """Return whether the call wants the weights of attention as well."""
    return call_of(layer).kwargs.get("return_attention_scores") is True


def _with_scores(
    layer: Layer, step: TorchStep, names: tuple[str, ...], shapes: list[Shape], heads: int
) -> Lowered:
    """Return attention that gives its weights as well."""
    scores = (shapes[0][0], heads, *shapes[0][1:-1], *shapes[1][1:-1])
    results = ("attended", "scores")
    seen = _with_heads_mask(layer, step, names, len(shapes[0]))
    *before, last = seen.steps
    op = last.op.replace("MultiHead", "ScoredMultiHead")
    scored = replace(last, op=op, results=results, further_shapes=(scores,))
    return Lowered((*before, scored), results, masks=(*(seen.masks or (None,)), None))


@layer(
    "GroupQueryAttention",
    weights=_PROJECTIONS,
    examples=(
        Example(
            {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
            ((5, 4), (3, 4)),
            separate=True,
        ),
        Example(
            {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
            ((5, 4), (5, 4)),
            separate=True,
            masked=(0, 1),
        ),
        Example(
            {
                "head_dim": 3,
                "num_query_heads": 4,
                "num_key_value_heads": 2,
                "use_gate": True,
                "use_bias": False,
                "sliding_window": 2,
            },
            ((5, 4), (5, 4)),
            separate=True,
        ),
    ),
    takes_call=True,
    mask="use",
)
def grouped_query_attention(layer: Layer, *shapes: Shape) -> Lowered:
    """Return attention whose heads share keys and values in groups."""
    names, found, causal = inputs_of_call(layer, shapes)
    size = integer(layer, "head_dim")
    heads, key_heads = integer(layer, "num_query_heads"), integer(layer, "num_key_value_heads")
    width = (found[0][-1] or 0,)
    step = _heads(layer, names, found, (heads, key_heads, size, size), width, causal=causal)
    if asks_for_scores(layer):
        return _with_scores(layer, step, names, found, heads)
    return _with_heads_mask(layer, step, names, len(found[0]))


def _with_heads_mask(layer: Layer, step: TorchStep, names: tuple[str, ...], rank: int) -> Lowered:
    """Return the step with what masks of query, value, key and scores say together; the query's goes on behind.

    Raises:
        UnsupportedError: There are several axes of positions, or the masks have another rank.
    """
    step = replace(step, results=("attended",))
    own = names[0].replace("input", "mask")
    behind = own if own in masks_of(layer).shapes else None
    steps = mask_steps(layer, names, names, rank=rank)
    if not steps:
        return Lowered((step,), step.results, masks=(behind,))
    query, value, key = names if len(names) == 3 else (*names, names[1])
    op = f"compat.{_masked(layer)}MultiHeadAttention"
    masked = replace(step, op=op, inputs=(query, value, key, "mask"))
    return Lowered((*steps, masked), step.results, masks=(behind,))


def _masked(layer: Layer) -> str:
    """Return what the class is called that masks as the layer's Keras does."""
    return "Lowered" if masks_of(layer).generation == 2 else "Masked"


def _heads(
    layer: Layer,
    names: tuple[str, ...],
    shapes: list[Shape],
    numbers: tuple[int, int, int, int],
    width: tuple[int, ...],
    *,
    causal: bool,
) -> TorchStep:
    """Return the module; `numbers` are heads, heads of the key, size of a key and of a value."""
    heads, key_heads, key_size, value_size = numbers
    query, value, key_shape = shapes[0], shapes[1], shapes[-1]
    bias, dropout = flag(layer, "use_bias", default=True), number(layer, "dropout", 0.0)
    kwargs: dict[str, Plain] = {
        "sizes": (query[-1], key_shape[-1], value[-1]),
        "heads": heads,
        "key_size": key_size,
        "value_size": value_size,
        "output_shape": width,
        "key_heads": key_heads,
    }
    kwargs |= {} if bias else {"bias": False}
    kwargs |= {"dropout": dropout} if dropout else {}
    kwargs |= {"causal": True} if causal else {}
    if _gated(layer.config):
        kwargs["gated"] = True
    inner = {
        "query": (query[-1] or 0, heads, key_size),
        "key": (key_shape[-1] or 0, key_heads, key_size),
        "value": (value[-1] or 0, key_heads, value_size),
        "attention_output": (heads, value_size, *width),
        **({"gate": (query[-1] or 0, heads, value_size)} if _gated(layer.config) else {}),
    }
    params: list[Param] = []
    for part, sizes in inner.items():
        summed, given = axes = projection_axes(part, len(width))
        name = part.removeprefix("attention_")
        if part in layer.inner:
            named = dict(zip((*summed, *given), sizes, strict=True))
            found = quantized_projection(layer.inner[part], named, axes, len(query))
            kwargs[name] = (found.op, *found.kwargs.items())
            projection = found.params
        else:
            together = merged(given)
            layout = f"{' '.join((*summed, *given))} -> {together} {merged(summed)}"
            bias_layout = f"{' '.join(given)} -> {together}"
            projection = (
                Param("weight", "kernel", layout, sizes),
                *([Param("bias", "bias", bias_layout, sizes[len(summed) :])] if bias else []),
            )
        params += [
            replace(each, name=f"{name}.{each.name}", source=f"{part}/{each.source}")
            for each in projection
        ]
    params.sort(key=lambda param: _is_buffer(layer, param))  # as in the module's state
    result = (*query[:-1], *width)
    return TorchStep("compat.MultiHeadAttention", kwargs, tuple(params), shape=result, inputs=names)


def _is_buffer(layer: Layer, param: Param) -> bool:
    """Return whether a weight is one of those of a quantized part that do not train."""
    part, role = layer.owner(param.source)
    if part is layer:
        return False
    stored = find_layer_rule(part.class_name).stored_weights(part)
    return any(weight.role == role and not weight.trainable for weight in stored)
