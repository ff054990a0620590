from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converters.errors import UnsupportedError
from converters.plan import plan_conversion
from converters.readers import read_checkpoint

CompareWithKeras = Callable[..., torch.nn.Module]
WriteModel = Callable[..., Path]


@pytest.mark.tf
def test_normalized_layers_train_as_in_keras(
    keras: Any, compare_with_keras: CompareWithKeras
) -> None:
    layers = keras.layers
    x = keras.Input((5, 4, 2), name="x")
    y = layers.SpectralNormalization(layers.Conv2D(3, 2, activation="relu"), name="conv")(x)
    y = layers.SpectralNormalization(layers.Dense(4, use_bias=False), name="dense")(y)

    compare_with_keras(keras.Model(x, y, name="network"), training=True)


def test_layer_without_a_kernel_is_refused(write_model: WriteModel, configs: Any) -> None:
    inner = {"class_name": "PReLU", "config": {"name": "inner"}}
    path = write_model(
        configs.sequential(configs.layer("SpectralNormalization", "layer", layer=inner)),
        {"layer": {"alpha": np.zeros(4, np.float32), "vector_u": np.zeros((1, 4), np.float32)}},
    )

    with pytest.raises(UnsupportedError, match="one kernel or embeddings inside it, found PReLU"):
        plan_conversion(read_checkpoint(path))
