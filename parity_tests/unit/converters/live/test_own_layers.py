"""Layers that hold code, computed by classes and functions of the user's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import typer
from torch import Tensor, nn

import torchward
from converters.commands.options import parse_layers
from converters.errors import MismatchError, UnreadableFileError, UnsupportedError
from converters.targets import TARGETS
from parity_tests import FIXTURES

NOISY = FIXTURES / "tf215_noisy_dense" / "model.keras"
DUELING = FIXTURES / "tf215_dueling_lambda" / "model.h5"


class WrongShapes(nn.Module):
    """Has the arrays of the layer, transposed."""

    def __init__(self, units: int, in_features: int) -> None:
        super().__init__()
        self.mu_w = nn.Parameter(torch.zeros(units, in_features))
        self.sigma_w = nn.Parameter(torch.zeros(units, in_features))
        self.mu_b = nn.Parameter(torch.zeros(units))
        self.sigma_b = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.mu_w.T


class NeedsMore(nn.Module):
    """Asks for something that no configuration has."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature


class HoldsOthers(nn.Module):
    """Keeps its weights in a module of its own."""

    def __init__(self, units: int, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, units)


def no_tensor(values: Tensor) -> float:
    return 0.5


def squares(values: Tensor) -> tuple[Tensor, Tensor]:
    return values * values, values


def before_the_layer(model: nn.Module, values: Tensor) -> Tensor:
    """Return what reaches the Lambda of the recorded model, from (batch, 7)."""
    first, second = model.get_submodule("dense"), model.get_submodule("dense_1")
    result: Tensor = second(first(values).relu())
    return result


def test_a_layer_that_holds_code_is_refused_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"'lambda'.*never run") as caught:
        torchward.convert(DUELING, tmp_path / "model.pth")

    assert "--layer lambda=my_layers.py:Lambda" in (caught.value.hint or "")


def test_file_of_the_user_computes_the_layer_and_is_emitted_with_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "spread_layers", raising=False)
    own = tmp_path / "spread_layers.py"
    own.write_text("def spread(values):\n    return values[:, 1:] - values[:, :1]\n")
    layers = {"lambda": f"{own}:spread"}

    torchward.convert(
        DUELING, tmp_path / "model.pth", layers=layers, source_code=tmp_path / "model.py"
    )
    model = torchward.load(tmp_path / "model.pth", layers=layers)

    values = torch.randn(3, 7)
    hidden = before_the_layer(model, values)
    assert torch.equal(model(values), hidden[:, 1:] - hidden[:, :1])
    assert "def spread(values):" in (tmp_path / "model.py").read_text()


def test_converted_file_asks_for_the_users_layer_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchward.convert(DUELING, tmp_path / "model.pth", layers={"lambda": squares})
    monkeypatch.delitem(TARGETS, f"{__name__}.squares")  # as in a process that knows nothing of it

    with pytest.raises(UnreadableFileError, match="squares") as caught:
        torchward.load(tmp_path / "model.pth")

    assert "layers=" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("own", "kind", "message"),
    [
        (WrongShapes, MismatchError, r"found \(12, 3\) +needed \(3, 12\)"),
        (NeedsMore, UnsupportedError, "temperature"),
        (HoldsOthers, UnsupportedError, r"linear\.weight"),
        (NOISY, UnsupportedError, "no class or function"),
        (dict, UnsupportedError, r"no torch\.nn\.Module"),
        ("parity_tests.recorded_layers:Absent", UnsupportedError, "Absent"),
    ],
)
def test_own_layer_that_does_not_fit_is_refused_and_leaves_nothing(
    own: object, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        torchward.convert(NOISY, tmp_path / "model.pth", layers={"noisy_dense": own})

    assert list(tmp_path.iterdir()) == []


def test_own_function_that_gives_no_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"'lambda'.*gives a float"):
        torchward.convert(DUELING, tmp_path / "model.pth", layers={"lambda": no_tensor})


def test_name_that_no_layer_has_is_noted(tmp_path: Path) -> None:
    layers = {"NoisyDense": "parity_tests.recorded_layers:NoisyDense", "noisy_dens": squares}

    report = torchward.convert(NOISY, tmp_path / "model.pth", layers=layers)

    assert "no layer or activation is named 'noisy_dens'; nearest: noisy_dense" in " ".join(
        report.notes
    )


def test_own_layer_may_give_several_tensors(tmp_path: Path) -> None:
    # The recorded model ends in the layer and takes one output of it, the first.
    torchward.convert(DUELING, tmp_path / "model.pth", layers={"lambda": squares})

    model = torchward.load(tmp_path / "model.pth", layers={"lambda": squares})

    values = torch.randn(2, 7)
    hidden = before_the_layer(model, values)
    assert torch.equal(model(values), hidden * hidden)


def test_option_takes_the_name_up_to_its_last_equals_sign() -> None:
    assert parse_layers(["a=b/scale=my_layers.py:Scale"]) == {"a=b/scale": "my_layers.py:Scale"}
    with pytest.raises(typer.BadParameter, match="NAME="):
        parse_layers(["my_layers.py:Scale"])


def test_report_names_what_is_the_users_own(tmp_path: Path) -> None:
    layers = {"NoisyDense": "parity_tests.recorded_layers:NoisyDense"}
    torchward.convert(NOISY, tmp_path / "model.pth", layers=layers)

    report = json.loads((tmp_path / "model.pth.json").read_text())

    assert any("parity_tests.recorded_layers.NoisyDense" in note for note in report["notes"])


OWN_FILE = """
import math as numbers
from functools import reduce

import torch

SHARPNESS = 2.0


def sharpened(values):
    with torch.no_grad():
        factor = reduce(lambda left, right: left * right, [SHARPNESS, numbers.sqrt(4.0)])
    return values[:, 1:] * factor
"""


def test_source_of_own_code_keeps_what_its_file_defines_and_imports(tmp_path: Path) -> None:
    (tmp_path / "sharpened_layers.py").write_text(OWN_FILE)
    layers = {"lambda": f"{tmp_path / 'sharpened_layers.py'}:sharpened"}
    torchward.convert(
        DUELING, tmp_path / "model.pth", layers=layers, source_code=tmp_path / "model.py"
    )
    names: dict[str, object] = {}

    exec((tmp_path / "model.py").read_text(), names)  # noqa: S102

    values = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert cast("Callable[[Tensor], Tensor]", names["sharpened"])(values).tolist() == [[8, 12, 16]]


def wavy(x: Tensor) -> Tensor:
    return x + torch.sin(x)


def own_tanh(x: Tensor) -> Tensor:
    return torch.tanh(x)


class Bent(nn.Module):
    """An activation with a setting."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, self.slope * x)


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        ("wavy", "wavy"),
        ("mine>wavy", "wavy"),
        ({"class_name": "function", "config": "mine>wavy"}, "wavy"),
        ({"value": ["4wEAAAA=", None, None]}, "hidden.activation"),
        ("<lambda>", "hidden.activation"),
    ],
    ids=["name", "package", "function", "lambda of Keras 3", "lambda of Keras 2"],
)
def test_function_of_the_user_is_the_activation(
    activation: object, name: str, write_model: Any, configs: Any, tmp_path: Path
) -> None:
    config = configs.sequential(configs.dense("hidden", 3, activation), configs.dense("q", 2))
    arrays = {"hidden": configs.dense_arrays(4, 3), "q": configs.dense_arrays(3, 2, seed=1)}
    source, converted = write_model(config, arrays), tmp_path / "model.pth"

    torchward.convert(source, converted, layers={name: wavy}, source_code=tmp_path / "model.py")
    model = torchward.load(converted, layers={name: wavy})

    x = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    kernels = [torch.tensor(arrays[layer]["kernel"]) for layer in ("hidden", "q")]
    biases = [torch.tensor(arrays[layer]["bias"]) for layer in ("hidden", "q")]
    hidden = wavy(x @ kernels[0] + biases[0])
    torch.testing.assert_close(model(x), hidden @ kernels[1] + biases[1])
    assert "x = wavy(self.hidden(x))" in (tmp_path / "model.py").read_text()


def test_class_of_the_user_is_an_activation_with_its_settings(
    write_model: Any, configs: Any, tmp_path: Path
) -> None:
    bent = {"class_name": "mine>Bent", "config": {"slope": 0.25}}
    arrays = {"hidden": configs.dense_arrays(4, 3)}
    source = write_model(configs.sequential(configs.dense("hidden", 3, bent)), arrays)
    plain = write_model(
        configs.sequential(configs.dense("hidden", 3)), arrays, name="without_activation.h5"
    )

    for file, layers in ((source, {"Bent": Bent}), (plain, {})):
        torchward.convert(file, file.with_suffix(".pth"), layers=layers)
    model = torchward.load(source.with_suffix(".pth"), layers={"Bent": Bent})

    x = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    assert torch.equal(model(x), Bent(0.25)(torchward.load(plain.with_suffix(".pth"))(x)))


def test_function_of_the_user_is_the_activation_inside_of_a_recurrent_layer(
    write_model: Any, configs: Any
) -> None:
    arrays = {
        "memory": {
            "kernel": configs.dense_arrays(4, 3)["kernel"],
            "recurrent_kernel": configs.dense_arrays(3, 3, seed=1)["kernel"],
            "bias": configs.dense_arrays(4, 3)["bias"],
        }
    }
    models = []
    for activation in ("mine>own_tanh", "tanh"):
        config = configs.sequential(
            configs.layer("SimpleRNN", "memory", units=3, activation=activation),
            shape=(None, None, 4),
        )
        source = write_model(config, arrays, name=f"{activation[-8:].strip('>')}.h5")
        layers = {"own_tanh": own_tanh} if activation != "tanh" else {}
        torchward.convert(source, source.with_suffix(".pth"), layers=layers)
        models.append(torchward.load(source.with_suffix(".pth"), layers=layers))

    x = torch.linspace(-1, 1, 40).reshape(2, 5, 4)
    torch.testing.assert_close(models[0](x), models[1](x))


def test_activation_of_keras_is_not_taken_for_the_users_own(
    small_model: Path, tmp_path: Path
) -> None:
    report = torchward.convert(small_model, tmp_path / "model.pth", layers={"relu": wavy})

    assert "no layer or activation is named 'relu'" in " ".join(report.notes)
