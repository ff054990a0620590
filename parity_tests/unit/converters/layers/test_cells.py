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
SIZE, TIME = 4, 5


def stack(keras: Any) -> list[Any]:
    # Kinds and sizes differ, and the file lists them by the alphabet.
    layers = keras.layers
    return [layers.SimpleRNNCell(2), layers.LSTMCell(3), layers.GRUCell(2), layers.LSTMCell(4)]


@pytest.mark.tf
@pytest.mark.parametrize(
    "settings",
    [{"return_sequences": True, "go_backwards": True}, {"return_state": True}],
    ids=["sequences backwards", "states"],
)
def test_stack_of_cells_is_a_stack_of_layers(
    settings: dict[str, bool], keras: Any, compare_with_keras: CompareWithKeras
) -> None:
    x = keras.Input((TIME, SIZE), name="x")
    y = keras.layers.RNN(stack(keras), **settings, name="stack")(x)

    model = compare_with_keras(keras.Model(x, keras.tree.flatten(y), name="network"))

    assert [name for name, _ in model.named_children()] == [f"stack_cell_{i}" for i in range(4)]


@pytest.mark.tf
def test_mask_of_a_stack_is_turned_round_for_every_cell_that_goes_backwards(
    keras: Any, compare_with_keras: CompareWithKeras
) -> None:
    x = keras.Input((TIME, SIZE), name="x")
    settings = {"return_sequences": True, "go_backwards": True, "zero_output_for_mask": True}
    y = keras.layers.RNN(stack(keras), **settings, name="stack")(x, mask=x[:, :, 0] > 0)

    compare_with_keras(keras.Model(x, y, name="network"))


@pytest.mark.tf
def test_states_of_a_stack_are_given_cell_by_cell(
    keras: Any, compare_with_keras: CompareWithKeras
) -> None:
    x = keras.Input((TIME, SIZE), name="x")
    h = keras.Input((2,), name="h")
    pair = [keras.Input((3,), name="h_of_lstm"), keras.Input((3,), name="cell")]
    cells = [keras.layers.GRUCell(2), keras.layers.LSTMCell(3)]
    y = keras.layers.RNN(cells, name="stack")(x, initial_state=[h, pair])

    compare_with_keras(keras.Model([x, h, *pair], y, name="network"))


@pytest.mark.tf
@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells"])
def test_cell_called_by_itself_is_one_time_step(
    name: str, keras: Any, compare_with_keras: CompareWithKeras
) -> None:
    x, h, cell = (keras.Input((size,), name=f"x{index}") for index, size in enumerate((SIZE, 2, 2)))
    states = {"LSTMCell": [h, cell], "StackedRNNCells": [[h, cell], h]}.get(name, h)
    first = stack(keras)[0].__class__(2)
    argument = [keras.layers.LSTMCell(2), first] if name == "StackedRNNCells" else 2
    y = getattr(keras.layers, name)(argument, name="layer")(x, states)
    inputs = [x, h] if name in ("GRUCell", "SimpleRNNCell") else [x, h, cell]

    compare_with_keras(keras.Model(inputs, keras.tree.flatten(y), name="network"))


def test_stack_that_keeps_its_states_keeps_those_of_every_cell(
    write_model: WriteModel, configs: Any
) -> None:
    cells = [
        {"class_name": "SimpleRNNCell", "config": {"name": f"cell_{index}", "units": 2 + index}}
        for index in range(2)
    ]
    entry = configs.layer(
        "RNN",
        "stack",
        cell={"class_name": "StackedRNNCells", "config": {"cells": cells}},
        stateful=True,
        go_backwards=True,
    )
    sizes = [(SIZE, 2), (2, 3)]
    arrays = {
        f"stack/cell_{index}/{role}": np.zeros(shape, np.float32)
        for index, (size, units) in enumerate(sizes)
        for role, shape in (
            ("kernel", (size, units)),
            ("recurrent_kernel", (units, units)),
            ("bias", (units,)),
        )
    }
    path = write_model(configs.sequential(entry, shape=(1, TIME, SIZE)), {"stack": arrays})

    first, second = plan_conversion(read_checkpoint(path)).architecture.steps

    assert first.kwargs["stateful"] is second.kwargs["stateful"] is True
    assert first.kwargs["return_sequences"] is True
    assert "return_sequences" not in second.kwargs
    assert first.kwargs["go_backwards"] is True
    assert "go_backwards" not in second.kwargs


def test_cell_of_a_users_own_in_a_stack_is_refused(write_model: WriteModel, configs: Any) -> None:
    cells = [{"class_name": "mine>Cell", "config": {"name": "cell", "units": 2}}]
    stacked = {"class_name": "StackedRNNCells", "config": {"cells": cells}}
    path = write_model(
        configs.sequential(configs.layer("RNN", "layer", cell=stacked), shape=(None, TIME, SIZE)),
        {"layer": {"kernel": np.zeros((SIZE, 2), np.float32)}},
    )

    with pytest.raises(UnsupportedError, match="no rule for Keras layer 'mine>Cell'"):
        plan_conversion(read_checkpoint(path))
