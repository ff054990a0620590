"""What only a layer's arrays show: how the layers inside attention are quantized, and LoRA beside quantized weights.

Keras quantizes the layers inside of MultiHeadAttention one by one, and writes nothing of it into the configuration of
the attention; it cannot load such a file again (keras 3.15.1, models/model.py, `quantize`). Types, ranks and sizes of
the arrays say all but how the input is rounded, which is taken to be as by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.checkpoint import ArrayInfo
from converters.graph import Graph, Layer
from converters.matching.quantization import DEFAULT_ROUNDING

Arrays = Mapping[str, ArrayInfo]
HOLDERS = ("MultiHeadAttention", "GroupQueryAttention")
"""Classes that hold layers which Keras quantizes."""
PARTS = {
    "query": "query_dense",
    "key": "key_dense",
    "value": "value_dense",
    "attention_output": "output_dense",
    "gate": "gate_dense",
}
"""What they hold, by name and by attribute."""
_ADAPTERS = ("lora_kernel_a", "lora_embeddings_a")
_PACKED_BITS = 4


def as_stored(layer: Layer, arrays: Arrays) -> Layer:
    """Return a layer with what its arrays show.

    Quantized parts of attention become inner layers by their names; `adapter_rank` is the rank of LoRA's matrices.

    Args:
        layer: as its configuration has it.
        arrays: of the layer: by role, by place in a container, or by name in an `.h5`.
    """
    if layer.class_name in HOLDERS:
        inner = {part: found for part in PARTS if (found := _part(layer, part, arrays)) is not None}
        return replace(layer, inner=inner, config={**layer.config, "quantized_parts": tuple(inner)})
    if layer.inner:
        inner = {name: as_stored(part, arrays) for name, part in layer.inner.items()}
        return replace(layer, inner=inner)
    if layer.class_name.startswith("Quantized"):
        for name, info in arrays.items():
            if _words(name)[-1] in _ADAPTERS and info.shape:
                return replace(layer, config={**layer.config, "adapter_rank": info.shape[-1]})
    return layer


def graph_as_stored(
    graph: Graph, arrays: Mapping[tuple[str, ...], Arrays], prefix: tuple[str, ...] = ()
) -> Graph:
    """Return a graph with what the arrays of its layers show; `arrays` are by path and role."""
    layers = tuple(
        replace(layer, graph=graph_as_stored(layer.graph, arrays, layer.path_in(prefix)))
        if layer.graph is not None
        else as_stored(layer, arrays.get(layer.path_in(prefix), {}))
        for layer in graph.layers
    )
    return replace(graph, layers=layers)


def notes_on_rounding(graph: Graph, prefix: str = "") -> list[str]:
    """Return a note for attention with int8 inside: how inputs are rounded is the one thing that no file says."""
    notes = []
    for layer in graph.layers:
        name = f"{prefix}{layer.name}"
        if layer.graph is not None:
            notes += notes_on_rounding(layer.graph, f"{name}/")
        elif layer.class_name in HOLDERS and any(
            part.config.get("rounds_input") for part in layer.inner.values()
        ):
            notes.append(
                f"'{name}' holds int8 layers; how they round their inputs is not in the file: taken to be Keras's default"
            )
    return notes


def arrays_named(layer: Layer, arrays: Arrays) -> Arrays:
    """Return the arrays of a nested model in whose names a layer's name stands."""
    return {name: info for name, info in arrays.items() if layer.name in _words(name)[:-1]}


def _words(name: str) -> list[str]:
    return name.removesuffix(":0").split("/")


def _part(layer: Layer, part: str, arrays: Arrays) -> Layer | None:
    """Return a quantized layer inside attention; None if it is as its configuration says."""
    own: dict[str, ArrayInfo] = {}
    for name, info in arrays.items():
        *above, last = _words(name)
        if above and above[-1].lstrip("_") in (part, PARTS[part]):
            own[last] = info
    found = _quantization(own)
    if found is None:
        return None
    kind, settings = found
    bias = "x" if layer.config.get("use_bias", True) else None
    config = {"name": part, "bias_axes": bias, "use_bias": bias is not None, **settings}
    return Layer(part, f"{kind}EinsumDense", config, trainable=layer.trainable)


def _quantization(arrays: Arrays) -> tuple[str, dict[str, object]] | None:
    """Return what a quantized product is called here, and its settings, by its arrays in stored order."""
    infos = list(arrays.values())
    kinds = [info.dtype.str[1:] for info in infos]
    if "u1" in kinds:
        return _calibrated(infos[kinds.index("u1") :])
    if "i1" in kinds:
        kernel = infos[kinds.index("i1")]
        if len(kernel.shape) != 2:
            return "Quantized", {"quantization": "int8", "block_size": None, **DEFAULT_ROUNDING}
        zeros = [info.shape for info, kind in zip(infos, kinds, strict=True) if kind == "i1"][1:]
        # As many rows as make this number of groups; which of the sizes that do it was given makes no difference.
        block = -(-kernel.shape[0] // max([1, *zeros[0][:1]])) if zeros else None
        return "Quantized", {"quantization": "int4", "block_size": block}
    if any(info.shape == () for info in infos):
        history = [info for name, info in arrays.items() if "amax_history" in name] or infos[-1:]
        return "Float8", {"amax_history_length": history[-1].shape[0] if history[-1].shape else 1}
    return None


def _calibrated(infos: Sequence[ArrayInfo]) -> tuple[str, dict[str, object]] | None:
    """Return the settings of GPTQ or AWQ by the arrays from the kernel on: (columns or half of them, rows), scales, ..."""
    kernel = infos[0].shape
    scales = [info.shape for info in infos[1:] if len(info.shape) == 2]
    if len(kernel) != 2 or not scales:
        return None
    columns, groups = scales[0]
    packed = kernel[0] == (columns + 1) // 2
    vectors = [info for info in infos[1:] if len(info.shape) == 1]
    return "Calibrated", {
        "quantization": "awq" if len(vectors) > 1 else "gptq",
        "bits": _PACKED_BITS if packed else 8,
        "block_size": None if groups < 2 else -(-kernel[1] // groups),
    }
