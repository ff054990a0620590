from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchward
from converters.architecture import InputValue
from converters.errors import MismatchError, UnsupportedError, UsageError
from converters.own_pair.inputs import with_stated_shapes
from parity_tests import FIXTURES

CASE = FIXTURES / "k315_subclassed_dqn"
WriteModel = Callable[..., Path]
NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, hidden=17, activation="relu"):
        super().__init__()
        self.first, self.second = nn.Linear(7, hidden), nn.Linear(hidden, hidden)
        self.q_values = nn.Linear(hidden, 3)
        self.activation = getattr(torch, activation)

    def forward(self, observation):
        return self.q_values(self.activation(self.second(self.activation(self.first(observation)))))
"""


class Net(nn.Module):
    """4 -> 5 -> 5 -> 3 with the names of nobody's file."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.three(self.two(self.one(x).relu()).relu())


@pytest.fixture
def source(configs: Any, write_model: WriteModel) -> Path:
    """Return a file of 4 -> 5 -> 5 -> 3, relu between."""
    layers = [configs.dense("a", 5, "relu"), configs.dense("b", 5, "relu"), configs.dense("c", 3)]
    sizes = {"a": (4, 5), "b": (5, 5), "c": (5, 3)}
    arrays = {name: configs.dense_arrays(*sizes[name], seed) for seed, name in enumerate(sizes)}
    return write_model(configs.sequential(*layers), arrays)


def problems(report: Any) -> dict[str, str | None]:
    return {check.name: check.problem for check in report.checks}


def test_own_module_in_a_file_passes_with_all_probes(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)

    report = torchward.verify(
        CASE / "model.weights.h5", f"{tmp_path / 'net.py'}:Net", expected=CASE / "expected.npz"
    )

    assert problems(report) == dict.fromkeys(
        ["forward", "recorded", "gradients", "update", "argmax"]
    )
    assert [check.compared for check in report.checks] == [
        "1,000 inputs",
        "16 recorded inputs",
        "6 tensors",
        "Adam of the file, 10 steps",
        "1,000 of 1,000 actions agree",
    ]
    assert any("relu after 'layers/dense'" in note for note in report.notes)


@pytest.mark.slow
def test_command_ends_with_5_for_another_function(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(NET)
    arguments = ["verify", str(CASE / "model.weights.h5"), f"{tmp_path / 'net.py'}:Net"]

    codes = [
        torchward.main([*arguments, *more]) for more in ([], ["--set", "activation=tanh", "--json"])
    ]

    shown, data = capsys.readouterr().out.split("learn the same way\n")
    assert codes == [0, 5]
    assert shown.startswith("forward ")
    found = json.loads(data)
    assert found["passed"] is False
    assert found["first_difference"].startswith("after layer 2 of 5, 'tanh'")
    assert found["likely"] == [
        "activation. The legacy model has relu; this module has tanh. At tanh (layer 2), tanh (layer 4)."
    ]


def test_quiet_command_prints_only_the_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(NET)

    code = torchward.main(
        [
            "verify",
            str(CASE / "model.weights.h5"),
            f"{tmp_path / 'net.py'}:Net",
            "-q",
            "--set",
            "activation=tanh",
        ]
    )

    said = capsys.readouterr()
    assert (code, said.out) == (5, "")
    assert said.err.startswith("error: ")


def test_module_in_python_stays_as_it_was(source: Path) -> None:
    module = Net()
    before = {name: x.clone() for name, x in module.state_dict().items()}

    torchward.verify(source, module)

    assert all(torch.equal(before[name], x) for name, x in module.state_dict().items())


def test_weights_tell_layers_of_one_size_apart(
    configs: Any, write_model: WriteModel, tmp_path: Path
) -> None:
    names = ["a", "b", "c", "d"]
    layers = [configs.dense(name, 4, "relu") for name in names]
    arrays = {name: configs.dense_arrays(4, 4, seed) for seed, name in enumerate(names)}
    source = write_model(configs.sequential(*layers), arrays)
    parts = [part for _ in names for part in (nn.Linear(4, 4), nn.ReLU())]
    module = nn.Sequential(*parts)
    state = {}
    for index, name in enumerate(names):
        state[f"{2 * index}.weight"] = torch.from_numpy(arrays[name]["kernel"].T.copy())
        state[f"{2 * index}.bias"] = torch.from_numpy(arrays[name]["bias"])
    torch.save(state, tmp_path / "own.pth")

    report = torchward.verify(source, module, weights=tmp_path / "own.pth")

    assert report.passed
    assert [check.compared for check in report.checks][:2] == ["1,000 inputs", "8 tensors"]
    with pytest.raises(MismatchError, match="not certain"):
        torchward.verify(source, module)


def test_what_cannot_be_matched_is_not_compared(source: Path, tmp_path: Path) -> None:
    class Factored(nn.Module):
        """The first kernel as a product: the same function of other parameters."""

        def __init__(self) -> None:
            super().__init__()
            self.left, self.net = nn.Linear(4, 4, bias=False), Net()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(self.left(x))

    module, plain = Factored(), tmp_path / "plain.pth"
    torchward.convert(source, plain, into=Net())
    state = torch.load(plain, weights_only=True)["model_state_dict"]
    own = {"left.weight": torch.eye(4), **{f"net.{name}": x for name, x in state.items()}}
    torch.save(own, tmp_path / "own.pth")

    report = torchward.verify(source, module, weights=tmp_path / "own.pth")

    skipped = {check.name: check.compared for check in report.checks if check.skipped}
    assert set(skipped) == {"gradients", "update"}
    assert "left (Linear: weight (4, 4)): no arrays for it" in skipped["gradients"]
    assert report.passed
    assert report.verdict == "the two models are the same function"


@pytest.mark.slow
def test_second_bias_that_trains_fails_the_update_alone() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(5, 13, batch_first=True)
            self.dense, self.dense_1 = nn.Linear(13, 9), nn.Linear(9, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.dense_1(self.dense(self.lstm(x)[0][:, -1]).relu()).softmax(-1)

    frozen = Recurrent()
    frozen.lstm.bias_hh_l0.requires_grad_(requires_grad=False)
    source = FIXTURES / "k315_lstm_policy" / "model.keras"

    report, other = torchward.verify(source, Recurrent()), torchward.verify(source, frozen)

    failed = {name: problem for name, problem in problems(report).items() if problem}
    assert list(failed) == ["update"]
    assert "'lstm.bias_hh_l0' trains here" in str(failed["update"])
    assert report.checks[2].worst > 1e-3
    assert other.passed


def test_frozen_layer_fails_the_update(source: Path) -> None:
    module = Net()
    module.two.requires_grad_(requires_grad=False)

    failed = {
        name: problem
        for name, problem in problems(torchward.verify(source, module)).items()
        if problem
    }

    assert list(failed) == ["update"]
    assert "trains in the legacy model, not here" in str(failed["update"])


def test_detached_layer_fails_gradients_and_update(source: Path) -> None:
    class Detached(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.three(self.two(self.one(x).relu().detach()).relu())

    report = torchward.verify(source, Detached())

    failed = [name for name, problem in problems(report).items() if problem]
    assert failed == ["gradients", "update"]


def test_what_cannot_be_watched_is_said(source: Path) -> None:
    class Shy(Net):
        """Takes no tensors of a watched call."""

        def forward(self, x: Tensor) -> Tensor:
            if len(x) < 10:
                message = "too few"
                raise ValueError(message)
            return super().forward(x) * 2

    report = torchward.verify(source, Shy())

    assert report.first_difference == ""
    assert report.notes == ("where it begins to differ cannot be watched: too few",)


def test_other_shape_of_outputs_fails(source: Path) -> None:
    class Wide(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, None]

    report = torchward.verify(source, Wide())

    assert problems(report)["forward"] == (
        "output 0 has shape (1000, 1, 3), the legacy model's (1000, 3)"
    )
    assert json.loads(json.dumps(report.to_data(), allow_nan=False))["checks"][0]["worst"] is None


def test_module_with_two_outputs_is_compared_in_order(
    configs: Any, write_model: WriteModel
) -> None:
    config = configs.functional(
        {"x": (None, 4)},
        [(configs.dense("policy", 3), ["x"]), (configs.dense("value", 2), ["x"])],
        ["policy", "value"],
    )
    arrays = {"policy": configs.dense_arrays(4, 3), "value": configs.dense_arrays(4, 2, 1)}

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value, self.policy = nn.Linear(4, 2), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.policy(x), self.value(x)

    report = torchward.verify(write_model(config, arrays), Heads())

    assert [check.name for check in report.checks] == ["forward", "gradients", "update"]
    assert report.passed


def test_module_of_one_number_type_is_compared_in_it(source: Path) -> None:
    class Single(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) @ torch.eye(3, dtype=torch.float32)

    report = torchward.verify(source, Single())

    assert report.passed
    assert not any(check.skipped for check in report.checks)


def test_recorded_outputs_are_a_reference_of_their_own(source: Path, tmp_path: Path) -> None:
    x = np.zeros((2, 4), np.float32)
    np.savez(tmp_path / "other.npz", x0=x, y0=np.full((2, 3), 7.0, np.float32))

    found = problems(torchward.verify(source, Net(), expected=tmp_path / "other.npz"))

    assert found["forward"] is None
    assert found["recorded"] is not None


def test_weights_of_another_module_are_refused(source: Path, tmp_path: Path) -> None:
    torch.save(nn.Linear(4, 3).state_dict(), tmp_path / "other.pth")

    with pytest.raises(MismatchError, match=r"do not fit Net: .*one.weight"):
        torchward.verify(source, Net(), weights=tmp_path / "other.pth")


def test_agent_of_several_networks_is_refused() -> None:
    [file] = (FIXTURES / "sb_dqn_mlp_cartpole").glob("*.zip")

    with pytest.raises(UnsupportedError, match="agent"):
        torchward.verify(file, Net())


def test_missing_table_is_written_to_edit(
    configs: Any, write_model: WriteModel, tmp_path: Path
) -> None:
    layers = [configs.dense("a", 4, "relu"), configs.dense("b", 4, "relu")]
    arrays = {"a": configs.dense_arrays(4, 4), "b": configs.dense_arrays(4, 4, 1)}
    source = write_model(configs.sequential(*layers), arrays)
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())

    with pytest.raises(MismatchError):
        torchward.verify(source, module, names=tmp_path / "names.toml")
    report = torchward.verify(source, module, names=tmp_path / "names.toml")

    assert report.passed


def test_options_of_own_modules_are_refused_for_files(source: Path, tmp_path: Path) -> None:
    torchward.convert(source, tmp_path / "own.pth")
    shutil.copyfile(tmp_path / "own.pth", tmp_path / "other.pth")

    with pytest.raises(ValueError, match="module of your own"):
        torchward.verify(source, tmp_path / "own.pth", weights=tmp_path / "other.pth")


def test_graph_of_tensorflow_is_a_reference_too() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.h = nn.Linear(5, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.h(x).tanh()

    # The graph's output is that of layer h; the head and the counter of steps are left out.
    names = {"": "", "y": ""}

    report = torchward.verify(FIXTURES / "tf1_opt_adam" / "m.ckpt-4", Hidden(), names=names)

    assert "has relu; this module has tanh" in report.likely[0]


def test_observations_have_the_shape_that_is_stated(source: Path) -> None:
    net = Net()

    assert torchward.verify(source, net, observations=[(4,)]).passed
    with pytest.raises(UsageError, match=r"--obs 5: the file's input '\w+' is 4"):
        torchward.verify(source, net, observations=[(5,)])
    with pytest.raises(UsageError, match="--obs was given 2 times"):
        torchward.verify(source, net, observations=[(4,), (4,)])


def test_an_open_axis_takes_the_size_that_is_stated() -> None:
    inputs = [InputValue("x", (None, None, 3), "float32"), InputValue("y", None, "float32")]

    found = with_stated_shapes(inputs, [(5, 3), (2,)])

    assert [value.shape for value in found] == [(None, 5, 3), (None, 2)]


def test_no_difference_is_allowed_where_the_tolerance_is_0(source: Path) -> None:
    report = torchward.verify(source, Net(), tolerance=0.0)

    assert [check.tolerance for check in report.checks if check.name == "forward"] == [0.0]
