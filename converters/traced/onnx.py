"""ONNX through torch's exporter, with the names of the legacy model's inputs and outputs.

The file is loaded and run again before it is given its name: with onnxruntime where that is installed, else with the
reference implementation that comes with onnx, which is slow for large images.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from converters.errors import UnsupportedError
from converters.names import taken_names, unique
from converters.writers.content import Content
from converters.writers.output_file import OutputFile
from converters.writers.registry import writer

if TYPE_CHECKING:
    import onnx
    from torch import Tensor

    from converters.traced.program import Traced

RELATIVE_ERROR = {"float64": 1e-10, "float32": 2e-5}
"""Other kernels add in another order; with n products of float32 that is about sqrt(n) * 6e-8 of the largest value."""
_HALF_PRECISION_ERROR = 2e-2


@writer("onnx", suffix=".onnx", trains=False)
def write_onnx(file: OutputFile, content: Content) -> None:
    """Write an ONNX model with a free batch axis. Equal inputs give equal bytes with the same version of onnx.

    Raises:
        UnsupportedError: onnx is not installed, or its exporter cannot translate the module.
        ConversionError: The model computes something else.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # what torch.onnx exports with
    except ImportError as error:
        msg = f"the format onnx needs onnx and onnxscript ({error.name} is missing)"
        raise UnsupportedError(msg, hint="pip install 'torchward[onnx]'") from error
    from converters.traced.program import check_inputs, compare, trace

    traced = trace(content)
    with _quiet():
        proto = _export(traced)
    del proto.metadata_props[:]
    for function in (proto.graph, *proto.functions):
        for node in function.node:
            del node.metadata_props[:]  # stack traces, which name files of this machine
    try:
        data = proto.SerializeToString(deterministic=True)
        onnx.checker.check_model(data, full_check=True)
    except (ValueError, onnx.checker.ValidationError) as error:
        msg = f"the model cannot be written as one ONNX file: {error}"
        raise UnsupportedError(msg) from error
    inputs = check_inputs(traced.model.architecture)
    allowed = RELATIVE_ERROR.get(traced.model.architecture.dtype, _HALF_PRECISION_ERROR)
    compare("the ONNX model", traced, inputs, _run(data, inputs), relative=allowed)
    file.write(data)


def _export(traced: Traced) -> onnx.ModelProto:
    import torch

    from converters.traced.program import free_loops

    architecture = traced.model.architecture
    taken = taken_names(value.name for value in architecture.inputs)
    wanted = architecture.output_names or architecture.outputs
    try:
        with free_loops(traced.model, architecture):
            exported = torch.onnx.export(
                traced.model,
                traced.inputs,
                dynamo=True,
                dynamic_shapes=traced.dynamic_shapes,
                input_names=[value.name for value in architecture.inputs],
                output_names=[unique(name, taken) for name in wanted],
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        msg = f"torch.onnx cannot translate the module: {str(error).strip().partition(chr(10))[0]}"
        raise UnsupportedError(msg, hint="convert to .pt2 or .pth") from error
    if exported is None:
        msg = "torch.onnx returned no model"
        raise UnsupportedError(msg)
    proto: onnx.ModelProto = exported.model_proto
    return proto


def _run(data: bytes, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the outputs of a serialized model."""
    import onnx
    import torch

    arrays = [x.numpy() for x in inputs]
    try:
        import onnxruntime  # type: ignore[import-not-found, unused-ignore]

        session: Any = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(onnx.load_model_from_string(data))
        names = session.input_names
    results = session.run(None, dict(zip(names, arrays, strict=True)))
    return [torch.from_numpy(result) for result in results]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes about its own versions off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
