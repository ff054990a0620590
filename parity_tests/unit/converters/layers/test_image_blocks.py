"""Blocks of image networks that should stay in torch's order of axes throughout, compared with Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.tf]


def squeeze_and_excite(keras: Any) -> Any:
    x = keras.Input((6, 5, 4))
    y = keras.layers.Conv2D(4, 3, padding="same")(x)
    scale = keras.layers.GlobalAveragePooling2D()(y)
    scale = keras.layers.Reshape((1, 1, 4))(scale)
    scale = keras.layers.Conv2D(4, 1, activation="sigmoid")(scale)
    y = keras.layers.Multiply()([y, scale])
    y = keras.layers.Dropout(0.0, noise_shape=(None, 1, 1, 1))(y)
    y = keras.layers.Conv2D(4, 1)(y)
    return keras.Model(x, keras.layers.CenterCrop(4, 3)(y), name="squeeze")


def images_of_one_pixel(keras: Any) -> Any:
    x = keras.Input((4,))
    y = keras.layers.Reshape((1, 1, -1))(keras.layers.Dense(6)(x))
    return keras.Model(x, [y, keras.layers.Conv2D(3, 1)(y)], name="pixel")


def frames(keras: Any) -> Any:
    x = keras.Input((3, 6, 5, 2))
    y = keras.layers.TimeDistributed(keras.layers.Conv2D(4, 3, activation="relu"))(x)
    y = keras.layers.TimeDistributed(keras.layers.Conv2D(3, 2, padding="same"))(y)
    y = keras.layers.TimeDistributed(keras.layers.Flatten())(y)
    return keras.Model(x, keras.layers.LSTM(4)(y), name="frames")


@pytest.mark.parametrize(
    ("make", "moves"), [(squeeze_and_excite, 2), (images_of_one_pixel, 2), (frames, 2)]
)
def test_block_computes_as_in_keras_with_few_moves_of_the_channels(
    make: Callable[[Any], Any], moves: int, keras: Any, compare_with_keras: Callable[..., Any]
) -> None:
    model = compare_with_keras(make(keras))

    steps = model.architecture.steps
    assert sum(step.op == "torch.permute" for step in steps) <= moves
    assert sum(step.op == "compat.split_time" for step in steps) <= 1
