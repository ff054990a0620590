from __future__ import annotations

import pytest
import torch
from torch import Tensor

from torch_impl.keras_compat.attention import MaskedAttention
from torch_impl.keras_compat.merging import cosine
from torch_impl.keras_compat.normalization import unit_length
from torch_impl.keras_compat.spectrograms import mel_spectrogram

HALF = [torch.float16, torch.bfloat16]
X = torch.tensor([[3.0, 4.0], [0.0, 0.0]])


@pytest.mark.parametrize("dtype", HALF)
def test_constants_beyond_the_range_of_half_precision_stay_out_of_it(dtype: torch.dtype) -> None:
    def close(found: Tensor, wanted: list[float] | list[list[float]]) -> None:
        assert found.dtype == dtype
        # Three roundings to 8 bits of mantissa, at most.
        torch.testing.assert_close(found.float(), torch.tensor(wanted), rtol=0, atol=3 * 2.0**-8)

    close(unit_length(X.to(dtype), dim=(1,)), [[0.6, 0.8], [0.0, 0.0]])
    close(cosine(X.to(dtype), X.to(dtype), equation="ab,ab->a", axes=(1, 1)), [1.0, 0.0])


@pytest.mark.parametrize("dtype", HALF)
def test_query_that_sees_nothing_gets_the_mean_in_half_precision(dtype: torch.dtype) -> None:
    value = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]], dtype=dtype)
    nothing = torch.zeros(1, 1, 2, dtype=torch.bool)

    found = MaskedAttention()(value, value, torch.zeros_like(value), nothing)

    torch.testing.assert_close(found, torch.tensor([[[2.0, 4.0], [2.0, 4.0]]], dtype=dtype))


@pytest.mark.parametrize("dtype", HALF)
def test_sound_of_half_precision_gives_the_spectrum_of_its_numbers(dtype: torch.dtype) -> None:
    sound = torch.linspace(-1, 1, 64).sin().unsqueeze(0).to(dtype)

    def spectrum(x: Tensor) -> Tensor:
        return mel_spectrogram(
            x,
            fft_length=16,
            step=8,
            window_length=16,
            window="hann",
            rate=100,
            mel_bins=4,
            lowest=1.0,
            highest=50.0,
            decibels=True,
            range_db=80.0,
            exponent=2.0,
            least_power=1e-10,
            reference=1.0,
        )

    torch.testing.assert_close(spectrum(sound), spectrum(sound.float()).to(dtype))
