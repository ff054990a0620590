"""Padding with elements of the tensor itself, beside NumPy."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from torch_impl.keras_compat.padding import pad_with_own

MODES: tuple[Literal["reflect", "symmetric", "edge", "wrap"], ...] = (
    *("reflect", "symmetric"),
    *("edge", "wrap"),
)


@pytest.mark.parametrize("mode", MODES)
def test_padding_with_own_elements_is_that_of_numpy(
    mode: Literal["reflect", "symmetric", "edge", "wrap"],
) -> None:
    x = np.arange(24).reshape(4, 3, 2)
    pad = ((3, 2), (0, 2), (1, 0))

    padded = pad_with_own(torch.from_numpy(x), pad=pad, mode=mode)

    np.testing.assert_array_equal(padded.numpy(), np.pad(x, pad, mode))
