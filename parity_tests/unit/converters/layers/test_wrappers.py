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
SIZE, TIME = 4, 3


def network(keras: Any, *parts: Any) -> Any:
    return keras.Sequential([keras.Input((SIZE,)), *parts], name="inside")


@pytest.mark.tf
def test_model_inside_a_wrapper_trains_with_statistics_of_every_time_step(
    keras: Any, compare_with_keras: CompareWithKeras
) -> None:
    layers = keras.layers
    parts = [layers.Dense(5), layers.BatchNormalization(momentum=0.9), layers.Dense(2)]
    x = keras.Input((TIME, SIZE), name="x")
    y = layers.TimeDistributed(network(keras, *parts), name="frames")(x)

    compare_with_keras(keras.Model(x, y, name="network"), training=True)


@pytest.mark.tf
def test_branches_and_models_in_models_go_into_a_wrapper(
    keras: Any, compare_with_keras: CompareWithKeras
) -> None:
    layers = keras.layers
    z = keras.Input((SIZE,), name="z")
    shared = layers.Dense(SIZE, activation="tanh", name="shared")
    inner = network(keras, layers.Dense(SIZE, name="first"))
    w = layers.Add(name="sum")([shared(shared(z)), inner(z)])
    fixed = keras.Input((TIME, SIZE), name="fixed")
    y = layers.TimeDistributed(keras.Model(z, w, name="frame"), name="frames")(fixed)
    compare_with_keras(keras.Model(fixed, y, name="network"))


@pytest.mark.tf
@pytest.mark.parametrize("mode", ["concat", None])
def test_both_directions_of_a_stack_of_cells(
    mode: str | None, keras: Any, compare_with_keras: CompareWithKeras
) -> None:
    layers = keras.layers
    x = keras.Input((TIME, SIZE), name="x")
    stack = layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], return_sequences=True)
    y = layers.Bidirectional(stack, merge_mode=mode, name="both")(x)

    compare_with_keras(keras.Model(x, y, name="network"))


@pytest.mark.tf
def test_masked_steps_leave_the_states_of_every_cell_alone(
    keras: Any, compare_with_keras: CompareWithKeras
) -> None:
    layers = keras.layers
    x = keras.Input((TIME, SIZE), name="x")
    masked = layers.Masking(mask_value=0.0, name="masking")(layers.ReLU(threshold=0.8)(x[..., :1]))
    cells = [layers.LSTMCell(2), layers.SimpleRNNCell(3)]
    y = layers.RNN(cells, return_sequences=True, return_state=True, name="stack")(masked)

    compare_with_keras(keras.Model(x, keras.tree.flatten(y), name="network"))


def frames_of_norm(configs: Any, time: int | None) -> Any:
    inner = {"class_name": "BatchNormalization", "config": {"name": "norm"}}
    entry = configs.layer("TimeDistributed", "layer", layer=inner)
    return configs.sequential(entry, shape=(None, time, SIZE))


def norm_arrays() -> dict[str, Any]:
    roles = ("gamma", "beta", "moving_mean", "moving_variance")
    return {"layer": {role: np.ones(SIZE, np.float32) for role in roles}}


def test_keras_2_took_statistics_of_all_time_steps_together(
    write_model: WriteModel, configs: Any
) -> None:
    path = write_model(frames_of_norm(configs, 5), norm_arrays(), version="2.15.0")

    steps = plan_conversion(read_checkpoint(path)).architecture.steps

    assert [step.op for step in steps].count("compat.BatchNorm") == 1


def test_free_number_of_moving_time_steps_is_refused(write_model: WriteModel, configs: Any) -> None:
    path = write_model(frames_of_norm(configs, None), norm_arrays(), version="3.5.0")

    with pytest.raises(UnsupportedError, match="a free number of time steps"):
        plan_conversion(read_checkpoint(path))
