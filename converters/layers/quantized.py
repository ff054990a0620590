"""Layers with int8 and int4 weights, and embeddings that also go the other way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.layers.dense import bias_shape, einsum_sizes
from converters.registry import Example, Lowered, Param, Plain, Shape, TorchStep, Weight, layer
from converters.rule_parts.operations import call_of
from converters.settings import flag, integer, number, optional_number, text, unsupported


def _grouped(config: Mapping[str, object]) -> bool:
    return config.get("quantization") == "int4" and config.get("block_size") is not None


def _adapted(config: Mapping[str, object]) -> bool:
    return config.get("adapter_rank") is not None


def _stored(name: str, bias: Weight | None) -> tuple[Weight, ...]:
    """Return the weights of a quantized layer in Keras's order."""
    return (
        Weight(name, trainable=False),
        *([bias] if bias else []),
        Weight(f"lora_{name}_a", when=_adapted),
        Weight(f"lora_{name}_b", when=_adapted),
        Weight(f"{name}_scale", trainable=False),
        Weight(f"{name}_zero", when=_grouped, trainable=False),
        Weight("g_idx", when=_grouped, trainable=False),
    )


def _settings(layer: Layer, size: int) -> dict[str, Plain]:
    """Return the arguments that say how weights are stored; `size` is that of the axis with groups.

    Raises:
        UnsupportedError: The input is rounded in another way.
    """
    kwargs: dict[str, Plain] = {} if text(layer, "quantization", "int8") == "int8" else {"bits": 4}
    if _grouped(layer.config):
        kwargs["groups"] = -(-size // integer(layer, "block_size"))
    if flag(layer, "rounds_input", default=False):
        for key, needed in (("activation_range", (-127, 127)), ("activation_epsilon", 1e-7)):
            value = layer.config.get(key)
            if (tuple(value) if isinstance(value, list) else value) != needed:
                raise unsupported(layer, key, needed=str(needed))
        kwargs["rounds_input"] = True
    if _adapted(layer.config):
        kwargs["rank"] = rank = integer(layer, "adapter_rank")
        kwargs["factor"] = number(layer, "lora_alpha", number(layer, "lora_rank", rank)) / rank
    return kwargs


def _adapters(layer: Layer, name: str, shape: tuple[int, ...]) -> list[Param]:
    """Return where the matrices of LoRA come from, which lie beside the quantized weight of this shape."""
    if not _adapted(layer.config):
        return []
    rank, names = integer(layer, "adapter_rank"), " ".join("abcdefgh"[: len(shape)])
    return [
        Param("lora_a", f"lora_{name}_a", f"{names} -> {names}", (*shape[:-1], rank)),
        Param("lora_b", f"lora_{name}_b", "a b -> a b", (rank, shape[-1])),
    ]


def _packed(size: int, kwargs: Mapping[str, Plain]) -> int:
    return size if "bits" not in kwargs else (size + 1) // 2


@layer("QuantizedDense", weights=_stored("kernel", Weight("bias", when="use_bias")), mask="pass")
def quantized_dense(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a linear layer whose kernel stays int8 or int4."""
    size, units = shapes[0][-1] or 0, integer(layer, "units")
    kwargs = {"in_features": size, "out_features": units, **_settings(layer, size)}
    groups = kwargs.get("groups")
    params = []
    if flag(layer, "use_bias", default=True):
        params.append(Param("bias", "bias", "out -> out", (units,)))
    else:
        kwargs["bias"] = False
    params += _adapters(layer, "kernel", (size, units))
    stored = (size, _packed(units, kwargs))
    params.append(Param("weight", "kernel", "in out -> in out", stored))
    params += _scales("kernel", (units,), (groups, units), groups, size)
    linear = TorchStep(
        "compat.QuantizedLinear", kwargs, tuple(params), shape=(*shapes[0][:-1], units)
    )
    return [linear, *activation_steps(layer, layer.config.get("activation"))]


def _scales(
    name: str, plain: Shape, grouped: tuple[Plain, ...], groups: Plain, size: int
) -> list[Param]:
    """Return where scales, zeros and groups come from."""
    if not isinstance(groups, int):
        names = " ".join("abcdefgh"[: len(plain)])
        return [Param("scale", f"{name}_scale", f"{names} -> {names}", plain)]
    shape = tuple(value if isinstance(value, int) else None for value in grouped)
    return [
        Param("scale", f"{name}_scale", "a b -> a b", shape),
        Param("zero", f"{name}_zero", "a b -> a b", shape),
        Param("group", "g_idx", "a -> a", (size,)),
    ]


def _has_bias(config: Mapping[str, object]) -> bool:
    return config.get("bias_axes") is not None


@layer("QuantizedEinsumDense", weights=_stored("kernel", Weight("bias", when=_has_bias)))
def quantized_einsum_dense(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return an einsum whose weight stays int8 or int4."""
    equation = text(layer, "equation", "").replace(" ", "")
    taken, _, given = equation.partition("->")
    left, _, kernel = taken.partition(",")
    if "..." in equation:
        raise unsupported(layer, "equation", needed="letters for all axes")
    sizes, shape = einsum_sizes(layer, left, given, shapes[0])
    kernel_shape = tuple(sizes[name] or 0 for name in kernel)
    summed = [name for name in kernel if name not in given]
    rows = 1
    for name in summed:
        rows *= sizes[name] or 0
    columns = 1
    for name in kernel:
        columns *= 1 if name in summed else sizes[name] or 0
    settings = _settings(layer, rows)
    kwargs: dict[str, Plain] = {"equation": equation, "kernel_shape": kernel_shape}
    params = []
    if _has_bias(layer.config):
        added = bias_shape(layer, given, sizes, len(shape))
        names = " ".join("abcdefgh"[: len(added)])
        params.append(Param("bias", "bias", f"{names} -> {names}", added))
        kwargs["bias_shape"] = added
    params += _adapters(layer, "kernel", kernel_shape)
    if settings.pop("rounds_input", False):
        kwargs["summed_axes"] = tuple(left.index(name) for name in left if name not in given)
    groups = settings.get("groups")
    if "bits" in settings:
        scale: tuple[int, ...] = (columns,) if groups is None else (int(str(groups)), columns)
        stored: Shape = (rows, (columns + 1) // 2)
    else:
        scale = tuple(sizes[name] or 0 if name in kernel else 1 for name in given)
        stored = kernel_shape
    kwargs |= {"scale_shape": scale, **settings}
    names = " ".join("abcdefgh"[: len(stored)])
    params.append(Param("weight", "kernel", f"{names} -> {names}", stored))
    params += _scales("kernel", scale, scale, groups, rows)
    step = TorchStep("compat.QuantizedEinsumDense", kwargs, tuple(params), shape=shape)
    return [step, *activation_steps(layer, layer.config.get("activation"))]


@layer("QuantizedEmbedding", weights=_stored("embeddings", None), mask="use", numbers="places")
def quantized_embedding(layer: Layer, *shapes: Shape) -> Lowered:
    """Return a table that stays int8 or int4; the mask is made as by Embedding."""
    return _looked_up(layer, _table(layer, shapes[0], reverse=False))


def _looked_up(layer: Layer, table: TorchStep) -> Lowered:
    """Return the rows of a table at whole numbers of any type, and the mask that leaves out 0 where one is made."""
    steps = (
        TorchStep("compat.as_indices", inputs=("input_0",), results=("indices",)),
        replace(table, inputs=("indices",), results=("vectors",)),
    )
    if not flag(layer, "mask_zero", default=False):
        return Lowered(steps, ("vectors",), masks=(None,))
    mask = TorchStep("operator.ne", {"right": 0}, inputs=("input_0",), results=("mask",))
    return Lowered((mask, *steps), ("vectors",), masks=("mask",))


def _table(layer: Layer, shape: Shape, *, reverse: bool) -> TorchStep:
    size, width = integer(layer, "input_dim"), integer(layer, "output_dim")
    kwargs = {"num_embeddings": size, "embedding_dim": width, **_settings(layer, width)}
    if layer.class_name == "QuantizedEmbedding":
        kwargs.pop("rounds_input", None)
    elif (cap := optional_number(layer, "logit_soft_cap")) is not None:
        kwargs["soft_cap"] = cap
    groups = kwargs.get("groups")
    packed = _packed(width, kwargs)
    params = _adapters(layer, "embeddings", (size, width))
    params.append(Param("weight", "embeddings", "a b -> a b", (size, packed)))
    params += _scales("embeddings", (size,), (size, groups), groups, width)
    if _untied(layer.config):
        kwargs["tied"] = False
        params += _reverse_params(size, packed, groups)
    result = (*shape[:-1], size) if reverse else (*shape, width)
    return TorchStep("compat.QuantizedEmbedding", kwargs, tuple(params), shape=result)


def _reverse_params(size: int, packed: int, groups: Plain) -> list[Param]:
    """Return where the other direction's own table comes from; its columns are the rows of the first."""
    table = Param("reverse", "reverse_embeddings", "b a -> a b", (packed, size))
    if not isinstance(groups, int):
        return [table, Param("reverse_scale", "reverse_embeddings_scale", "a -> a", (size,))]
    return [
        table,
        Param("reverse_scale", "reverse_embeddings_scale", "b a -> a b", (groups, size)),
        Param("reverse_zero", "reverse_embeddings_zero", "b a -> a b", (groups, size)),
    ]


def _reverse(layer: Layer) -> bool:
    """Return whether a call goes from vectors to rows."""
    call = call_of(layer)
    return call.kwargs.get("reverse", call.args[1] if len(call.args) > 1 else False) is True


def _untied(config: Mapping[str, object]) -> bool:
    return config.get("tie_weights") is False


def _untied_groups(config: Mapping[str, object]) -> bool:
    return _untied(config) and _grouped(config)


@layer(
    "QuantizedReversibleEmbedding",
    weights=(
        *_stored("embeddings", None),
        Weight("reverse_embeddings", when=_untied, trainable=False),
        Weight("reverse_embeddings_scale", when=_untied, trainable=False),
        Weight("reverse_embeddings_zero", when=_untied_groups, trainable=False),
    ),
    mask="use",
    numbers="places",
    takes_call=True,
)
def quantized_reversible_embedding(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return the same table for both directions."""
    reverse = _reverse(layer)
    if reverse and layer.config.get("reverse_dtype") is not None:
        raise unsupported(layer, "reverse_dtype", needed="null where weights are quantized")
    step = _table(layer, shapes[0], reverse=reverse)
    return [step] if reverse else _looked_up(layer, step)


@layer(
    "ReversibleEmbedding",
    weights=(Weight("embeddings"), Weight("reverse_embeddings", when=_untied)),
    examples=(
        Example({"input_dim": 7, "output_dim": 3}, ((4,),), below=7),
        Example(
            {"input_dim": 3, "output_dim": 2, "mask_zero": True}, ((6,),), below=3, pooled=True
        ),
    ),
    mask="use",
    numbers="places",
    takes_call=True,
)
def reversible_embedding(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return a table with both directions in one module: whole numbers are looked up, vectors compared with the rows."""
    size, width = integer(layer, "input_dim"), integer(layer, "output_dim")
    reverse = _reverse(layer)
    kwargs: dict[str, Plain] = {"num_embeddings": size, "embedding_dim": width}
    params = [Param("weight", "embeddings", "row out -> row out", (size, width))]
    if _untied(layer.config):
        kwargs["tied"] = False
        params.append(Param("reverse", "reverse_embeddings", "out row -> row out", (width, size)))
    if (cap := optional_number(layer, "logit_soft_cap")) is not None:
        kwargs["soft_cap"] = cap
    if (dtype := layer.config.get("reverse_dtype")) is not None:
        kwargs["reverse_dtype"] = _floating(layer, dtype)
    shape = (*shapes[0][:-1], size) if reverse else (*shapes[0], width)
    step = TorchStep("compat.ReversibleEmbedding", kwargs, tuple(params), shape=shape)
    return [step] if reverse else _looked_up(layer, step)


def _floating(layer: Layer, dtype: object) -> str:
    if dtype not in ("bfloat16", "float16", "float32", "float64"):
        raise unsupported(layer, "reverse_dtype", needed="a floating type")
    return str(dtype)
