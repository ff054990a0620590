from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
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


def test_every_time_step_of_any_number_moves_the_statistics(
    write_model: WriteModel, configs: Any, tmp_path: Path
) -> None:
    path = write_model(frames_of_norm(configs, None), norm_arrays(), version="3.5.0")
    torchward.convert(path, tmp_path / "model.pth")
    module = torchward.load(tmp_path / "model.pth").train()
    x = torch.arange(24.0).reshape(2, TIME, SIZE)

    y = module(x)

    mean = np.ones(SIZE)
    for step in x.double().numpy().swapaxes(0, 1):
        mean = 0.99 * mean + 0.01 * step.mean(0)
    means = [value for name, value in module.named_buffers() if name.endswith("running_mean")]
    np.testing.assert_allclose(means[0].numpy(), mean, rtol=1e-6)
    # Each number is one deviation, 6, from the mean of its time step; beta adds 1.
    np.testing.assert_allclose((y - 1).abs().detach().numpy(), 1.0, atol=1e-4)


def test_free_number_of_time_steps_that_move_other_weights_is_refused(
    write_model: WriteModel, configs: Any
) -> None:
    dense = {"class_name": "Dense", "config": {"name": "dense", "units": 3}}
    inner = {"class_name": "SpectralNormalization", "config": {"name": "norm", "layer": dense}}
    entry = configs.layer("TimeDistributed", "layer", layer=inner)
    sizes = {"kernel": (SIZE, 3), "bias": (3,), "vector_u": (1, 3)}
    arrays = {"layer": {role: np.ones(size, np.float32) for role, size in sizes.items()}}
    model = configs.sequential(entry, shape=(None, None, SIZE))
    path = write_model(model, arrays, version="3.5.0")

    with pytest.raises(UnsupportedError, match="a free number of time steps"):
        plan_conversion(read_checkpoint(path))
