from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from torch_impl.keras_compat.resampling import crop_to_ratio, pad_to_ratio, resample

KERNELS = ("bilinear", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic", "area")
SIZES = {"larger": (11, 13), "smaller": (3, 4), "one": (1, 1), "mixed": (12, 2)}


@pytest.fixture(scope="module")
def tensorflow() -> Any:  # TensorFlow has no types
    return pytest.importorskip("tensorflow")


def images() -> np.ndarray:
    return np.random.default_rng(4).normal(size=(2, 3, 7, 5)).astype(np.float32)


@pytest.mark.tf
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("antialias", [False, True], ids=["plain", "antialias"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_is_that_of_tensorflow(
    kernel: str, antialias: bool, size: tuple[int, int], tensorflow: Any
) -> None:
    x = images()
    if kernel == "area" and antialias:
        pytest.skip("TensorFlow's area has no antialias")

    legacy = tensorflow.image.resize(
        np.moveaxis(x, 1, -1), size, method=kernel, antialias=antialias
    ).numpy()
    found = resample(torch.from_numpy(x), size=size, kernel=kernel, antialias=antialias)

    np.testing.assert_allclose(np.moveaxis(found.numpy(), 1, -1), legacy, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_constant_images_stay_constant(kernel: str) -> None:
    x = torch.full((1, 1, 5, 4), 2.5, dtype=torch.float64)

    found = resample(x, size=(3, 9), kernel=kernel)

    torch.testing.assert_close(found, torch.full((1, 1, 3, 9), 2.5, dtype=torch.float64))


def test_cubic_weights_are_those_worked_by_hand() -> None:
    # Doubling two cells: the middles are at -0.25, 0.25, 0.75 and 1.25 of them; the kernel of Keys (a = -0.5) gives
    # k(0.25) = 0.8671875, k(0.75) = 0.2265625, k(1.25) = -0.0703125, each divided by the sum inside the border.
    x = torch.tensor([1.0, 0.0], dtype=torch.float64).reshape(1, 1, 1, 2)

    found = resample(x, size=(1, 4), kernel="bicubic").flatten()

    edge = 0.8671875 / (0.8671875 - 0.0703125)
    inner = 0.8671875 / (0.8671875 + 0.2265625)
    wanted = torch.tensor([edge, inner, 1 - inner, 1 - edge], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-15)


def test_ratio_is_cut_out_of_the_middle() -> None:
    x = torch.arange(6.0).reshape(1, 1, 1, 6).expand(1, 1, 3, 6)

    assert crop_to_ratio(x, size=(4, 4)).shape == (1, 1, 3, 3)
    assert crop_to_ratio(x, size=(4, 4))[0, 0, 0].tolist() == [1.0, 2.0, 3.0]


def test_border_is_the_same_on_both_sides() -> None:
    x = torch.ones(1, 1, 2, 5)

    found = pad_to_ratio(x, size=(3, 3), value=7.0)

    # Three rows are missing; Keras adds one above and one below.
    assert found[0, 0, :, 0].tolist() == [7.0, 1.0, 1.0, 7.0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_scale_is_that_many_times_the_size(kernel: str) -> None:
    x = torch.from_numpy(images())

    scaled = resample(x, scale=(3, 2), kernel=kernel)

    torch.testing.assert_close(scaled, resample(x, size=(21, 10), kernel=kernel), rtol=0, atol=0)
