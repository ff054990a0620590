from __future__ import annotations

from converters.graph import Layer
from converters.layers.dense import einsum_dense


def test_open_sizes_of_an_einsum_are_those_of_the_input() -> None:
    config = {"equation": "abc,cde->abde", "output_shape": (None, 2, 4), "bias_axes": "be"}

    step, *_ = einsum_dense(Layer("einsum", "EinsumDense", config), (None, 7, 3))

    assert step.shape == (None, 7, 2, 4)
    assert step.kwargs["bias_shape"] == (7, 1, 4)


def test_open_sizes_between_axes_that_stay_are_those_of_the_input() -> None:
    config = {"equation": "...bc,cd->...bd", "output_shape": (None, 5)}

    step, *_ = einsum_dense(Layer("einsum", "EinsumDense", config), (None, 2, 7, 3))

    assert step.shape == (None, 2, 7, 5)
