"""Spectrograms of sound."""

from __future__ import annotations

import math
from collections.abc import Mapping

from converters.graph import Layer
from converters.registry import Example, Param, Plain, Shape, TorchStep, Weight, layer
from converters.rule_parts.windows import Frame, output_sizes
from converters.settings import flag, integer, number, text, unsupported

MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


def _has_real(config: Mapping[str, object]) -> bool:
    return config.get("mode") != "imag"


def _has_imag(config: Mapping[str, object]) -> bool:
    return config.get("mode") != "real"


# Keras makes windows by name with SciPy only; the waves are weights in any case.
_SHORT = {"window": None, "frame_length": 8, "frame_step": 3}


@layer(
    "STFTSpectrogram",
    weights=(Weight("real_kernel", when=_has_real), Weight("imag_kernel", when=_has_imag)),
    examples=(
        Example({"mode": "magnitude", **_SHORT}, ((20, 2),)),
        Example({"mode": "log", **_SHORT, "padding": "same", "fft_length": 16}, ((19, 1),)),
        Example({"mode": "psd", **_SHORT, "expand_dims": True}, ((20, 2),)),
        Example({"mode": "stft", **_SHORT}, ((20, 2),)),
        Example({"mode": "imag", "window": None, "frame_length": 8}, ((20, 1),)),
    ),
)
def stft_spectrogram(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return frames convolved with waves, which are weights."""
    frame = Frame.of(layer, shapes[0], 1)
    length, mode = integer(layer, "frame_length"), text(layer, "mode", "log")
    padding, separate = text(layer, "padding", "valid"), flag(layer, "expand_dims", default=False)
    if mode not in MODES:
        raise unsupported(layer, "mode", needed=", ".join(MODES))
    step = length // 2 if layer.config.get("frame_step") is None else integer(layer, "frame_step")
    fft = 2 ** math.ceil(math.log2(length))
    if layer.config.get("fft_length") is not None:
        fft = integer(layer, "fft_length")
    bins = fft // 2 + 1
    kwargs: dict[str, Plain] = {"frame_length": length, "frame_step": step, "bins": bins}
    kwargs["mode"] = mode
    kwargs |= {} if frame.channels_last else {"channels_last": False}
    kwargs |= {"separate": True} if separate else {}
    kwargs |= {"same_padding": True} if padding == "same" else {}
    params = [
        Param(name, f"{name}_kernel", "time one bin -> bin one time", (length, 1, bins))
        for name, there in (("real", mode != "imag"), ("imag", mode != "real"))
        if there
    ]
    [frames] = output_sizes(frame.sizes, (length,), (step,), padding=padding)
    count = bins * (2 if mode == "stft" else 1)
    last = (frames, count, frame.channels) if separate else (frames, count * frame.channels)
    first = (frame.channels, frames, count) if separate else (count * frame.channels, frames)
    shape = (frame.batch, *(last if frame.channels_last else first))
    return [TorchStep("compat.STFTSpectrogram", kwargs, tuple(params), shape=shape)]


@layer(
    "MelSpectrogram",
    examples=(
        Example({"fft_length": 16, "sequence_stride": 6, "num_mel_bins": 4}, ((40,),)),
        Example(
            {
                "fft_length": 16,
                "sequence_length": 12,
                "sequence_stride": 5,
                "num_mel_bins": 3,
                "window": "hamming",
                "power_to_db": False,
                "mag_exp": 1.0,
            },
            ((40,),),
        ),
    ),
)
def mel_spectrogram(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the magnitudes of frames in bands of equal pitch."""
    window = layer.config.get("window", "hann")
    if window not in ("hann", "hamming", None):
        raise unsupported(layer, "window", needed="hann, hamming or null")
    fft, step, bins = (
        integer(layer, key, default)
        for key, default in (("fft_length", 2048), ("sequence_stride", 512), ("num_mel_bins", 128))
    )
    rate = integer(layer, "sampling_rate", 16000)
    given = layer.config.get("sequence_length")
    kwargs: dict[str, Plain] = {
        "fft_length": fft,
        "step": step,
        "window_length": fft if given is None else integer(layer, "sequence_length"),
        "window": None if window is None else str(window),
        "rate": rate,
        "mel_bins": bins,
        "lowest": number(layer, "min_freq", 20.0),
        "highest": number(layer, "max_freq", rate // 2),
        "decibels": flag(layer, "power_to_db", default=True),
        "range_db": number(layer, "top_db", 80.0),
        "exponent": number(layer, "mag_exp", 2.0),
        "least_power": number(layer, "min_power", 1e-10),
        "reference": number(layer, "ref_power", 1.0),
    }
    steps = shapes[0][-1]
    frames = None if steps is None else (steps + 2 * (fft // 2) - fft) // step + 1
    shape = (*shapes[0][:-1], bins, frames)
    return [TorchStep("compat.mel_spectrogram", kwargs, shape=shape)]
