"""Spectra as pairs of real and imaginary parts. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fourier(
    real: Tensor, imag: Tensor, *, axes: int = 1, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the spectrum of complex numbers over the last axes, or the numbers of a spectrum."""
    x, dims = torch.complex(real, imag), tuple(range(-axes, 0))
    y = torch.fft.ifftn(x, dim=dims) if inverse else torch.fft.fftn(x, dim=dims)
    return y.real, y.imag


def half_fourier(x: Tensor, *, length: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the frequencies from 0 up to half of a row's length, of real numbers cut or padded to `length`."""
    y = torch.fft.rfft(x, length)
    return y.real, y.imag


def inverse_half_fourier(
    real: Tensor, imag: Tensor, *, length: int | None = None
) -> Tensor:
    """Return the real numbers, `length` in a row, that have these frequencies from 0 up to half."""
    found: Tensor = torch.fft.irfft(torch.complex(real, imag), length)
    return found


def split_frames(x: Tensor, *, length: int, step: int) -> Tensor:
    """Return (..., frames, length) of (..., steps): all whole frames, one every `step` steps."""
    return x.unfold(-1, length, step)


def window_over(
    like: Tensor, window: str | tuple[float, ...], length: int, fft_length: int
) -> Tensor:
    """Return a window of `length` in the middle of a frame of `fft_length`, in the type and place of a tensor."""
    if window == "hann":
        shape = torch.hann_window(length, dtype=like.dtype, device=like.device)
    elif window == "hamming":
        shape = torch.hamming_window(length, dtype=like.dtype, device=like.device)
    else:
        shape = torch.tensor(window, dtype=like.dtype, device=like.device)
    left = (fft_length - length) // 2
    return nn.functional.pad(shape, (left, fft_length - length - left))


def short_time_fourier(
    x: Tensor,
    *,
    length: int,
    step: int,
    fft_length: int,
    window: str | tuple[float, ...] | None,
    center: bool,
) -> tuple[Tensor, Tensor]:
    """Return the spectra (..., frames, fft_length / 2 + 1) of overlapping frames of (..., steps), in two parts.

    Args:
        x: of real numbers.
        length: of the window, in the middle of a frame.
        step: from one frame to the next.
        fft_length: of a frame.
        window: "hann", "hamming", numbers, or None for ones over the whole frame.
        center: frames lie around their place; the ends are mirrored.

    Source: keras 3.15.1, backend/tensorflow/math.py, `stft`.
    """
    if center:
        beyond, size = fft_length // 2, x.shape[-1]
        places = torch.arange(-beyond, size + beyond, device=x.device).abs()
        places = torch.where(places < size, places, 2 * (size - 1) - places)
        x = x[..., places]
    frames = x.unfold(-1, fft_length, step)
    if window is not None:
        frames = frames * window_over(x, window, length, fft_length)
    y = torch.fft.rfft(frames)
    return y.real, y.imag


def inverse_short_time_fourier(
    real: Tensor,
    imag: Tensor,
    *,
    length: int,
    step: int,
    fft_length: int,
    window: str | tuple[float, ...] | None,
    center: bool,
    steps: int | None = None,
) -> Tensor:
    """Return the sound (..., steps) whose overlapping frames have these spectra; see `short_time_fourier`.

    Args:
        real: (..., frames, fft_length / 2 + 1), the first part.
        imag: the second part.
        length: of the window.
        step: from one frame to the next.
        fft_length: of a frame.
        window: of the frames; what several windows let through of a step is divided by the sum of their squares.
        center: half a frame is cut on both ends.
        steps: of the result; None: all.

    Source: keras 3.15.1, backend/tensorflow/math.py, `istft`; tensorflow 2.21.0, python/ops/signal/spectral_ops.py.
    """
    frames = torch.fft.irfft(torch.complex(real, imag), fft_length)
    if window is not None:
        shape = window_over(real, window, length, fft_length)
        overlaps = -(-fft_length // step)
        power = nn.functional.pad(shape**2, (0, overlaps * step - fft_length))
        power = power.reshape(overlaps, step).sum(0).repeat(overlaps)[:fft_length]
        frames = frames * (shape / power)
    count, before = frames.shape[-2], frames.shape[:-2]
    total = fft_length + step * (count - 1)
    columns = frames.reshape(-1, count, fft_length).transpose(1, 2)
    x = nn.functional.fold(columns, (1, total), (1, fft_length), stride=(1, step))
    x = x.reshape(*before, total)
    start = fft_length // 2 if center else 0
    end = total - start if steps is None else start + steps
    return x[..., start:end]
