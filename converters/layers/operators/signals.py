"""Spectra: complex numbers are pairs of real and imaginary parts in `keras.ops`."""

from __future__ import annotations

from converters.graph import Constant, Layer, Operand
from converters.registry import Lowered, Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import Operation, flat, plain_numbers, refused
from converters.settings import flag, integer, unsupported

_WHOLE: dict[str, dict[str, Plain]] = {
    "ops.FFT": {},
    "ops.FFT2": {"axes": 2},
    "ops.IFFT2": {"axes": 2, "inverse": True},
}


def _parts(layer: Layer, shapes: tuple[Shape, ...]) -> Operation:
    """Return the operation, called with a real and an imaginary part; here they are "real" and "imag"."""
    operation = Operation.of(layer, shapes, "x")
    given = operation.settings.get("x")
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise refused(layer, f"argument {given!r:.60}, a real and an imaginary part are needed")
    config = {**operation.settings, "x": None, "real": given[0], "imag": given[1]}
    operation.layer = Layer(layer.name, layer.class_name, config)
    operation.only("real", "imag")
    return operation


def _pair(operation: Operation, op: str, kwargs: dict[str, Plain], shape: Shape) -> Lowered:
    """Return the step that gives a real and an imaginary part."""
    given = [key for key in ("x", "real", "imag") if operation.settings.get(key) is not None]
    names = tuple(operation.value(key) for key in given)
    results = ("real", "imag")
    step = TorchStep(op, kwargs, (), shape, "", names, results, further_shapes=(shape,))
    return Lowered((*operation.steps, step), results)


@layer(*_WHOLE, takes_call=True)
def fourier(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the spectrum over the last one or two axes, or what has this spectrum."""
    operation = _parts(layer, shapes)
    kwargs = dict(_WHOLE[layer.class_name])
    return _pair(operation, "compat.fourier", kwargs, operation.shape("real"))


@layer("ops.RFFT", takes_call=True)
def half_fourier(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the first half of the spectrum of real numbers."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    length = _length(operation.layer, operation.shape("x")[-1])
    kwargs: dict[str, Plain] = {} if length[0] is None else {"length": length[0]}
    count = None if length[1] is None else length[1] // 2 + 1
    return _pair(operation, "compat.half_fourier", kwargs, (*operation.shape("x")[:-1], count))


@layer("ops.IRFFT", takes_call=True)
def inverse_half_fourier(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the real numbers of the first half of a spectrum."""
    operation = _parts(layer, shapes)
    shape = operation.shape("real")
    length = _length(operation.layer, None if shape[-1] is None else 2 * (shape[-1] - 1))
    kwargs: dict[str, Plain] = {} if length[0] is None else {"length": length[0]}
    names = [operation.value("real"), operation.value("imag")]
    shape = (*shape[:-1], length[1])
    operation.result("compat.inverse_half_fourier", kwargs, of=names, shape=shape)
    return operation.steps


def _length(layer: Layer, size: int | None) -> tuple[int | None, int | None]:
    """Return what is asked for, if anything, and what it comes to."""
    given = None if layer.config.get("fft_length") is None else integer(layer, "fft_length")
    return given, size if given is None else given


@layer("ops.ExtractSequences", takes_call=True)
def split_frames(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return overlapping parts of the last axis."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    length, step = (integer(operation.layer, f"sequence_{key}") for key in ("length", "stride"))
    size = shapes[0][-1]
    count = None if size is None else max((size - length) // step + 1, 0)
    shape = (*shapes[0][:-1], count, length)
    return [TorchStep("compat.split_frames", {"length": length, "step": step}, shape=shape)]


@layer("ops.STFT", takes_call=True)
def short_time_fourier(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the spectra of overlapping frames."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    kwargs, whole, step = _frames(operation.layer)
    size = shapes[0][-1]
    if size is not None:
        size += 2 * (whole // 2) if kwargs["center"] else 0
    count = None if size is None else (size - whole) // step + 1
    shape = (*shapes[0][:-1], count, whole // 2 + 1)
    return _pair(operation, "compat.short_time_fourier", kwargs, shape)


@layer("ops.ISTFT", takes_call=True)
def inverse_short_time_fourier(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sound of overlapping spectra."""
    operation = _parts(layer, shapes)
    kwargs, whole, step = _frames(operation.layer)
    shape = operation.shape("real")
    start = whole // 2 if kwargs["center"] else 0
    count = None if shape[-2] is None else whole + step * (shape[-2] - 1) - 2 * start
    if operation.settings.get("length") is not None:
        length = integer(operation.layer, "length")
        kwargs["steps"] = length
        count = None if count is None else min(length, count + start)
    names = [operation.value("real"), operation.value("imag")]
    shape = (*shape[:-2], count)
    operation.result("compat.inverse_short_time_fourier", kwargs, of=names, shape=shape)
    return operation.steps


def _frames(layer: Layer) -> tuple[dict[str, Plain], int, int]:
    """Return what says how frames lie, the length of one and the steps to the next."""
    length, step = (integer(layer, f"sequence_{key}") for key in ("length", "stride"))
    whole = integer(layer, "fft_length")
    given = layer.config.get("window", "hann")
    window: Plain = None
    if isinstance(given, str) and given in ("hann", "hamming"):
        window = given
    elif given is not None:
        if isinstance(given, (str, Operand)):
            raise unsupported(layer, "window", needed="hann, hamming, null or numbers")
        window = plain_numbers(layer, given.values if isinstance(given, Constant) else given)
        if len(flat(window)) != length:
            raise unsupported(layer, "window", needed=f"{length} numbers")
    if not 0 < length <= whole or step < 1:
        raise refused(layer, f"frames of {length} of {whole} steps every {step}")
    center = flag(layer, "center", default=True)
    return (
        {"length": length, "step": step, "fft_length": whole, "window": window, "center": center},
        whole,
        step,
    )
