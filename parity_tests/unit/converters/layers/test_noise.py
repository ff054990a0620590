from __future__ import annotations

import pytest

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.noise import shared_axes


@pytest.mark.parametrize("batch", [None, 20])
def test_a_batch_stated_in_the_noise_shape_is_drawn_for_every_element(batch: int | None) -> None:
    layer = Layer("dropout", "Dropout", {"noise_shape": [batch, 1, 10]})

    assert shared_axes(layer, (None, 5, 10)) == (1,)


def test_a_noise_shape_of_another_size_is_refused() -> None:
    layer = Layer("dropout", "Dropout", {"noise_shape": [20, 4, 10]})

    with pytest.raises(UnsupportedError, match="noise_shape"):
        shared_axes(layer, (None, 5, 10))
