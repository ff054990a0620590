"""Spectrograms as Keras computes them. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class STFTSpectrogram(nn.Module):
    """The spectrum of overlapping frames, by convolution with waves that are weights and may train.

    Args:
        frame_length: steps of a frame.
        frame_step: steps from one frame to the next.
        bins: frequencies of the spectrum.
        mode: "real", "imag", "stft" (both), "angle", "psd", "magnitude" or "log".
        channels_last: input and result have their channels last.
        separate: channels and frequencies are two axes of the result, otherwise one.
        same_padding: frames start at every `frame_step`, with zeros around the signal as TensorFlow's SAME adds them.

    Source: keras 3.15.1, layers/preprocessing/stft_spectrogram.py.
    """

    def __init__(
        self,
        frame_length: int,
        frame_step: int,
        bins: int,
        *,
        mode: str = "log",
        channels_last: bool = True,
        separate: bool = False,
        same_padding: bool = False,
    ) -> None:
        super().__init__()
        self.frame_length, self.frame_step, self.bins = frame_length, frame_step, bins
        self.mode, self.channels_last = mode, channels_last
        self.separate, self.same_padding = separate, same_padding
        shape = (bins, 1, frame_length)
        self.real = None if mode == "imag" else nn.Parameter(torch.zeros(shape))
        self.imag = None if mode == "real" else nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, frames, frequencies) of (batch, steps, channels), or channels first; see `separate`."""
        if self.channels_last:
            x = x.transpose(1, 2)
        batch, channels, steps = x.shape
        if self.same_padding:
            frames = (steps + self.frame_step - 1) // self.frame_step
            missing = max((frames - 1) * self.frame_step + self.frame_length - steps, 0)
            x = nn.functional.pad(x, (missing // 2, missing - missing // 2))
        x = x.reshape(batch * channels, 1, -1)
        parts = [
            nn.functional.conv1d(x, kernel, stride=self.frame_step).reshape(
                batch, channels, self.bins, -1
            )
            for kernel in (self.real, self.imag)
            if kernel is not None
        ]
        y = self._spectrum(parts)
        if self.separate:
            return y.permute(0, 3, 2, 1) if self.channels_last else y.transpose(2, 3)
        y = y.flatten(1, 2)
        return y.transpose(1, 2) if self.channels_last else y

    def _spectrum(self, parts: list[Tensor]) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        real, imag = parts
        if self.mode == "stft":
            return torch.cat([real, imag], 2)
        if self.mode == "angle":
            return torch.atan2(imag, real)
        power = torch.square(real) + torch.square(imag)
        if self.mode == "psd":  # all but the first and last frequency stand for two
            return power + nn.functional.pad(power[:, :, 1:-1], (0, 0, 1, 1))
        magnitude = torch.sqrt(torch.clamp(power, min=1e-7))
        return (
            magnitude
            if self.mode == "magnitude"
            else torch.log(torch.clamp(magnitude, min=1e-7))
        )


def mel_spectrogram(
    x: Tensor,
    *,
    fft_length: int,
    step: int,
    window_length: int,
    window: str | None,
    rate: int,
    mel_bins: int,
    lowest: float,
    highest: float,
    decibels: bool,
    range_db: float,
    exponent: float,
    least_power: float,
    reference: float,
) -> Tensor:
    """Return (..., mel_bins, frames) of sound (..., steps): the spectrum's magnitudes in bands of equal pitch.

        mel(f) = 1127 log(1 + f / 700)

    In decibels, everything is at least the largest value of all samples minus `range_db`.

    Args:
        x: (batch, steps) or (steps,).
        fft_length: steps that are transformed at once.
        step: from one frame to the next.
        window_length: steps that the window lets through, in the middle of a frame.
        window: "hann", "hamming" or None.
        rate: steps a second.
        mel_bins: number of bands.
        lowest: frequency in Hertz where the first band starts.
        highest: frequency in Hertz where the last band ends.
        decibels: give 10 log10 of the power by that of `reference`.
        range_db: between largest and smallest value.
        exponent: of the magnitudes.
        least_power: smaller ones count as this.
        reference: power of 0 decibels.

    Source: keras 3.15.1, layers/preprocessing/mel_spectrogram.py; backend/tensorflow/math.py, `stft`.
    """
    given = x.dtype  # half precision has no transform
    x = x.to(torch.promote_types(given, torch.float32))
    shape: Tensor | None = None
    if window is None:
        shape, window_length = x.new_ones(fft_length), fft_length
    elif window == "hann":
        shape = torch.hann_window(window_length, dtype=x.dtype, device=x.device)
    else:
        shape = torch.hamming_window(window_length, dtype=x.dtype, device=x.device)
    spectrum = torch.stft(
        x,
        fft_length,
        step,
        window_length,
        window=shape,
        pad_mode="reflect",
        return_complex=True,
    )
    power = (
        torch.sqrt(torch.square(spectrum.real) + torch.square(spectrum.imag))
        ** exponent
    )
    first, last = (
        1127.0 * math.log(1 + lowest / 700),
        1127.0 * math.log(1 + highest / 700),
    )
    count = fft_length // 2 + 1
    hertz = torch.linspace(0, rate / 2, count, dtype=x.dtype, device=x.device)[1:]
    mel = 1127.0 * torch.log(1 + hertz / 700)
    edges = torch.linspace(
        first, last, mel_bins + 2, dtype=x.dtype, device=x.device
    ).unsqueeze(1)
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    bands = torch.clamp(torch.minimum(rising, falling), min=0)
    y = (
        nn.functional.pad(bands, (1, 0)) @ power
    )  # the lowest frequency, 0, is in no band
    if not decibels:
        return y.to(given)
    y = 10 * torch.log10(torch.clamp(y, min=least_power))
    y = y - 10 * math.log10(max(abs(reference), least_power))
    return torch.maximum(y, y.max() - range_db).to(given)
