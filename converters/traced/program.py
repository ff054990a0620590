"""The module of a conversion traced by `torch.export`, with the batch and other free axes left free.

What was traced is run beside the module on other inputs of another batch size before anything is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from converters.architecture import Architecture, InputValue
from converters.errors import ConversionError, UnsupportedError
from converters.live.build import build_model
from converters.live.model import TEXT, ConvertedModel
from converters.traced.loops import kept_loops
from converters.writers.content import Content, OutputTensor

TRACED_BATCH, CHECKED_BATCH = 2, 5
"""Sizes 0 and 1 are special to torch.export, so neither tells whether the batch is free."""
LOOPED_ERROR = {"float64": 1e-13, "float32": 5e-6}
"""A kept loop multiplies step by step with other kernels than an unrolled one: a few roundings of the largest value each."""
_HALF_PRECISION_ERROR = 2e-2
_FREE_IMAGE_SIZE, _FREE_SIZE = 64, 8
_CHECKED_TIMES = 3
"""Free axes are checked at as many times the size they were traced with: what a power of 2 divides, that divides, too."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A traced module and what it was traced from.

    Attributes:
        dynamic_shapes: as `torch.export` and `torch.onnx` take them.
    """

    model: ConvertedModel
    program: ExportedProgram
    inputs: tuple[Tensor, ...]
    dynamic_shapes: tuple[tuple[dict[int, object], ...]]


def trace(content: Content) -> Traced:
    """Return the traced module of a conversion, at inference.

    Raises:
        UnsupportedError: torch cannot trace it, or an input's shape is not known.
        ConversionError: The traced module computes something else.
    """
    if content.architecture is None:
        msg = "only converted modules can be traced, and with --into the module is your own"
        raise UnsupportedError(msg, hint="export it with torch.export yourself")
    architecture = Architecture.from_data(content.architecture)
    if any(step.op == "compat.read_words" for step in architecture.steps):
        msg = "an output of the model is text; the traced formats give numbers only"
        raise UnsupportedError(msg, hint="convert to .pth or .safetensors")
    model = build_model(architecture, {tensor.name: _read(tensor) for tensor in content.tensors})
    inputs = tuple(_example(value, TRACED_BATCH, seed=0) for value in architecture.inputs)
    shapes = (tuple(_free_axes(value) for value in architecture.inputs),)
    try:
        with free_loops(model, architecture):
            program = torch.export.export(model, inputs, dynamic_shapes=shapes, strict=False)
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
        msg = f"torch.export cannot trace the module: {str(error).strip().partition(chr(10))[0]}"
        raise UnsupportedError(msg, hint="convert to .pth or .safetensors") from error
    _check_free(program, architecture)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names files of this machine
    traced = Traced(model, program, inputs, shapes)
    others = check_inputs(architecture)
    loops = any(node.target is torch.ops.higher_order.scan for node in program.graph.nodes)
    allowed = LOOPED_ERROR.get(architecture.dtype, _HALF_PRECISION_ERROR) if loops else 0.0
    compare("the exported program", traced, others, _run(program, others), relative=allowed)
    return traced


def _run(program: ExportedProgram, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs. Raises UnsupportedError: It takes other sizes only."""
    try:
        return flat(program.module()(*inputs))
    except (AssertionError, RuntimeError) as error:
        msg = f"torch.export fixes a size that is free in the model: {str(error).partition(chr(10))[0]}"
        raise UnsupportedError(msg, hint="convert to .pth or .safetensors") from error


def check_inputs(architecture: Architecture) -> tuple[Tensor, ...]:
    """Return inputs that were not traced, of another batch size."""
    return tuple(
        _example(value, CHECKED_BATCH, seed=1, times=_CHECKED_TIMES)
        for value in architecture.inputs
    )


def compare(
    what: str,
    traced: Traced,
    inputs: Sequence[Tensor],
    results: Sequence[Tensor],
    *,
    relative: float,
) -> None:
    """Raise ConversionError unless results are those of the module, up to `relative` of the largest value."""
    with torch.no_grad():
        wanted = flat(traced.model(*inputs))
    if [x.shape for x in wanted] != [x.shape for x in results]:
        msg = f"{what} gives shapes {[tuple(x.shape) for x in results]}, the module {[tuple(x.shape) for x in wanted]}"
        raise ConversionError(msg)
    for index, (y, z) in enumerate(zip(wanted, results, strict=True)):
        scale = float(y.abs().max()) if y.numel() else 0.0
        if not torch.allclose(y, z.to(y.dtype), rtol=0.0, atol=relative * scale, equal_nan=True):
            worst = float((y - z).abs().max())
            msg = f"{what} differs from the module in output {index} by {worst:.1e}; allowed {relative * scale:.1e}"
            raise ConversionError(msg)


def flat(outputs: object) -> list[Tensor]:
    """Return the outputs as a list, whatever their structure."""
    if isinstance(outputs, Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, Mapping) else outputs
    if not isinstance(values, Iterable):
        return []
    return [tensor for value in values for tensor in flat(value)]


def _read(tensor: OutputTensor) -> Tensor:
    array = np.concatenate([chunk.reshape(-1).copy() for chunk in tensor.chunks()])
    return torch.from_numpy(array).reshape(tensor.shape)


def _sizes(value: InputValue) -> tuple[int | None, ...]:
    if value.shape is None:
        msg = f"input '{value.name}' has no known shape; the traced formats need one"
        raise UnsupportedError(msg, hint="convert to .pth or .safetensors")
    return value.shape


def _free_axes(value: InputValue) -> dict[int, object]:
    free = [axis for axis, size in enumerate(_sizes(value)) if size is None and axis > 0]
    return {0: Dim.DYNAMIC, **dict.fromkeys(free, Dim.AUTO)}


def free_loops(
    model: ConvertedModel, architecture: Architecture
) -> contextlib.AbstractContextManager[None]:
    """Return the context in which loops over axes of free length are kept, if there are such axes."""
    free = any(None in _sizes(value)[1:] for value in architecture.inputs)
    return kept_loops(model) if free else contextlib.nullcontext()


def _check_free(program: ExportedProgram, architecture: Architecture) -> None:
    """Raise UnsupportedError if the program takes one size where the model takes any."""
    names = program.graph_signature.user_inputs
    shapes = {
        node.name: node.meta["val"].shape for node in program.graph.nodes if node.name in names
    }
    for name, value in zip(names, architecture.inputs, strict=True):
        for axis, size in enumerate(_sizes(value)):
            if size is None and isinstance(shapes[str(name)][axis], int):
                fixed = shapes[str(name)][axis]
                msg = (
                    f"torch.export fixes axis {axis} of input '{value.name}' to the {fixed} it was traced with; "
                    "in the model it is free"
                )
                raise UnsupportedError(msg, hint="convert to .pth or .safetensors")


def _example(value: InputValue, batch: int, *, seed: int, times: int = 1) -> Tensor:
    sizes = _sizes(value)
    free = times * (_FREE_IMAGE_SIZE if len(sizes) > 3 else _FREE_SIZE)
    shape = [batch, *(free if size is None else size for size in sizes[1:])]
    if value.dtype == TEXT:
        msg = f"input '{value.name}' takes text; the traced formats take numbers only"
        raise UnsupportedError(msg, hint="convert to .pth or .safetensors")
    dtype = getattr(torch, value.dtype)
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=dtype)
    return torch.randint(0, 2, shape, generator=generator).to(dtype)  # indices that every table has
