from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.errors import ConversionError, MismatchError, UnsupportedError
from converters.plan import plan_conversion
from converters.planned import Plan
from converters.readers import read_checkpoint

Arrays = dict[str, NDArray[np.float32]]
WriteModel = Callable[..., Path]
SIZE, UNITS, TIME = 4, 3, 5


def draw(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    values: NDArray[np.float32] = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values


def gated(gates: int, *, seed: int = 0, rows: int = 1) -> Arrays:
    bias = (gates * UNITS,) if rows == 1 else (rows, gates * UNITS)
    return {
        "kernel": draw(SIZE, gates * UNITS, seed=seed),
        "recurrent_kernel": draw(UNITS, gates * UNITS, seed=seed + 1),
        "bias": draw(*bias, seed=seed + 2),
    }


def model_of(write_model: WriteModel, configs: Any, entry: object, arrays: Arrays) -> Path:
    config = configs.sequential(entry, shape=(None, TIME, SIZE))
    path: Path = write_model(config, {"layer": arrays})
    return path


def plan_of(path: Path) -> Plan:
    return plan_conversion(read_checkpoint(path))


def sigmoid_keras1(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.clip(0.2 * x + 0.5, 0.0, 1.0)


def keras1_lstm(x: NDArray[np.floating], arrays: Mapping[str, NDArray[np.floating]]) -> NDArray:  # type: ignore[type-arg]
    """Return the last output of the LSTM of Keras 1.2, gate by gate."""
    h = cell = np.zeros((len(x), UNITS))
    for time in range(TIME):
        gate = {
            name: x[:, time] @ arrays[f"W_{name}"] + h @ arrays[f"U_{name}"] + arrays[f"b_{name}"]
            for name in "ifco"
        }
        cell = sigmoid_keras1(gate["f"]) * cell + sigmoid_keras1(gate["i"]) * np.tanh(gate["c"])
        h = sigmoid_keras1(gate["o"]) * np.tanh(cell)
    return h


def write_keras1(path: Path, config: str, arrays: Arrays) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"1.2.2"
        file.attrs["model_config"] = config.encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"lstm_1"]
        layer = group.create_group("lstm_1")
        layer.attrs["weight_names"] = [f"lstm_1_{role}:0".encode() for role in arrays]
        for role, array in arrays.items():
            layer[f"lstm_1_{role}:0"] = array


def test_twelve_arrays_of_a_keras_1_lstm_become_one_layer(tmp_path: Path) -> None:
    shapes = {"W": (SIZE, UNITS), "U": (UNITS, UNITS), "b": (UNITS,)}
    arrays = {
        f"{kind}_{gate}": draw(*shapes[kind], seed=10 * number + index)
        for number, gate in enumerate("icfo")
        for index, kind in enumerate("WUb")
    }
    config = (
        '{"class_name": "Sequential", "config": [{"class_name": "LSTM", "config": {"name": "lstm_1", '
        f'"output_dim": {UNITS}, "activation": "tanh", "inner_activation": "hard_sigmoid", '
        f'"consume_less": "cpu", "batch_input_shape": [null, {TIME}, {SIZE}]}}}}]}}'
    )
    write_keras1(tmp_path / "model.h5", config, arrays)
    torchward.convert(tmp_path / "model.h5", tmp_path / "model.pth")
    x = draw(2, TIME, SIZE, seed=99)

    with torch.no_grad():
        y = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    np.testing.assert_allclose(y.numpy(), keras1_lstm(x, arrays), rtol=0, atol=1e-6)


def test_gates_of_a_gru_are_reordered_and_brought_back(
    write_model: WriteModel, configs: Any
) -> None:
    arrays = gated(3, rows=2)
    path = model_of(
        write_model, configs, configs.layer("GRU", "layer", units=UNITS, reset_after=True), arrays
    )

    moves = {move.target: move for move in plan_of(path).moves}

    bias = moves["layer.bias"].layout.apply(arrays["bias"])
    z, r, h = np.split(arrays["bias"], 3, axis=1)
    np.testing.assert_array_equal(bias, np.concatenate([r, z, h], axis=1))
    for name, role in (("weight_ih", "kernel"), ("weight_hh", "recurrent_kernel")):
        layout = moves[f"layer.{name}"].layout
        np.testing.assert_array_equal(
            layout.inverse.apply(layout.apply(arrays[role])), arrays[role]
        )


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_what_keras_1_left_out_had_its_own_defaults(
    name: str, write_model: WriteModel, configs: Any
) -> None:
    gates = {"LSTM": 4, "GRU": 3}[name]
    path = model_of(write_model, configs, configs.layer(name, "layer", units=UNITS), gated(gates))

    (step,) = plan_of(path).architecture.steps

    assert step.kwargs["recurrent_activation"] == "compat.hard_sigmoid_keras2"
    assert step.kwargs.get("reset_after", True) is (name == "LSTM")


def test_directions_are_not_mixed_up(write_model: WriteModel, configs: Any) -> None:
    inner = {"class_name": "SimpleRNN", "config": {"name": "rnn", "units": UNITS}}
    arrays = {
        f"{direction}_rnn/simple_rnn_cell/{role}": array
        for number, direction in enumerate(("forward", "backward"))
        for role, array in gated(1, seed=10 * number).items()
    }
    entry = configs.layer("Bidirectional", "layer", layer=inner, merge_mode="concat")

    plan = plan_of(model_of(write_model, configs, entry, arrays))

    sources = {move.target: move.source.name for move in plan.moves}
    assert "backward_rnn/simple_rnn_cell/kernel" in sources["layer_backward.weight_ih"]
    assert "forward_rnn/simple_rnn_cell/bias" in sources["layer_forward.bias"]
    assert plan.architecture.steps[0].kwargs.get("go_backwards", False) is False
    assert plan.architecture.steps[1].kwargs["go_backwards"] is True


def test_frozen_layer_inside_a_wrapper_stays_frozen(write_model: WriteModel, configs: Any) -> None:
    inner = {"class_name": "Dense", "config": {"name": "dense", "units": 2, "trainable": False}}
    arrays = {"kernel": draw(SIZE, 2), "bias": draw(2)}
    entry = configs.layer("TimeDistributed", "layer", layer=inner)

    plan = plan_of(model_of(write_model, configs, entry, arrays))

    assert plan.parameters == ()
    assert plan.architecture.steps[0].frozen


def test_unused_states_are_outputs_all_the_same(
    write_model: WriteModel, configs: Any, tmp_path: Path
) -> None:
    entry = configs.layer(
        "LSTM", "layer", units=UNITS, return_state=True, recurrent_activation="sigmoid"
    )
    path = model_of(write_model, configs, entry, gated(4))
    torchward.convert(path, tmp_path / "model.pth", source_code=tmp_path / "network.py")

    source = (tmp_path / "network.py").read_text()

    assert "x, _, _ = self.layer(x)" in source
    model = torchward.load(tmp_path / "model.pth")
    assert model(torch.zeros(2, TIME, SIZE)).shape == (2, UNITS)


SIMPLE = {"class_name": "SimpleRNN", "config": {"name": "rnn", "units": UNITS}}
KEEPING = {"class_name": "SimpleRNN", "config": {"name": "rnn", "units": 2, "stateful": True}}
REFUSED: dict[str, tuple[str, dict[str, object], str]] = {
    "time first": ("GRU", {"units": UNITS, "time_major": True}, "time_major"),
    "unknown activation": ("LSTM", {"units": UNITS, "activation": "sine"}, "sine"),
    "units": ("SimpleRNN", {"units": "many"}, "units"),
    "merge mode": ("Bidirectional", {"layer": SIMPLE, "merge_mode": "max"}, "merge_mode"),
    "directions of another kind": (
        "Bidirectional",
        {"layer": {"class_name": "Dense", "config": {"name": "dense", "units": 2}}},
        "no rule for 'Dense' inside it",
    ),
    "state inside": ("TimeDistributed", {"layer": KEEPING}, "stateful"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_counterpart_is_refused(
    what: str, write_model: WriteModel, configs: Any
) -> None:
    class_name, settings, message = REFUSED[what]
    count = {"LSTM": 4, "GRU": 3}.get(class_name, 1)
    arrays = gated(count)
    if what == "directions of another kind":
        arrays = {f"{part}/{role}": draw(SIZE, 2) for part in "ab" for role in ("kernel", "bias")}
    elif class_name == "Bidirectional":
        arrays = {f"{part}/{role}": array for part in "ab" for role, array in arrays.items()}
    path = model_of(write_model, configs, configs.layer(class_name, "layer", **settings), arrays)

    with pytest.raises(ConversionError) as caught:
        plan_of(path)

    assert isinstance(caught.value, UnsupportedError)
    assert message in str(caught.value)


def test_gates_of_another_size_do_not_fit(write_model: WriteModel, configs: Any) -> None:
    arrays = {**gated(4), "recurrent_kernel": draw(UNITS, 3 * UNITS)}

    with pytest.raises(MismatchError, match=r"recurrent_kernel.*found \(3, 9\) +needed \(3, 12\)"):
        plan_of(model_of(write_model, configs, configs.layer("LSTM", "layer", units=UNITS), arrays))


def test_cell_repeated_over_time_is_the_layer(write_model: WriteModel, configs: Any) -> None:
    cell = {"class_name": "LSTMCell", "config": {"name": "cell", "units": UNITS, "dropout": 0.25}}
    entry = configs.layer("RNN", "layer", cell=cell, return_sequences=True)

    (step,) = plan_of(model_of(write_model, configs, entry, gated(4))).architecture.steps

    assert step.op == "compat.LSTM"
    assert step.attribute == "layer"
    assert step.kwargs["units"] == UNITS
    assert step.kwargs["dropout"] == 0.25
    assert step.kwargs["return_sequences"] is True


def test_cell_of_a_users_own_is_refused(write_model: WriteModel, configs: Any) -> None:
    cell = {"class_name": "mine>Cell", "config": {"name": "cell", "units": UNITS}}
    entry = configs.layer("RNN", "layer", cell=cell)

    with pytest.raises(UnsupportedError, match="no rule for Keras layer 'mine>Cell'"):
        plan_of(model_of(write_model, configs, entry, gated(4)))
