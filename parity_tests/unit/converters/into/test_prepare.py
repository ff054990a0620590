"""Weights of a recorded subclassed model in a module of the user's own, by Python and by the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import torchward
from converters.errors import AmbiguousTargetError, UnreadableFileError, UnsupportedError
from converters.live.load import load_optimizer, read_converted
from parity_tests import FIXTURES

FOLDER = FIXTURES / "k315_subclassed_dqn"
SOURCE = FOLDER / "model.weights.h5"
MODULE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(7, hidden), nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).relu())


NOT_A_MODULE = 3
"""


class Net(nn.Module):
    """The recorded model as a user would write it: 7 -> 17 -> 17 -> 3, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(7, 17), nn.Linear(17, 17), nn.Linear(17, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x).relu()).relu())


class Deep(nn.Module):
    """Two hidden layers of the same shape: the file's one could be either."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(7, 17), nn.Linear(17, 17), nn.Linear(17, 17), nn.Linear(17, 3)
        )


def test_converted_weights_compute_the_recorded_outputs(tmp_path: Path) -> None:
    torchward.convert(SOURCE, tmp_path / "net.pth", into=Net())
    net = Net()
    net.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True)["model_state_dict"])

    recorded = np.load(FOLDER / "expected.npz")
    outputs = net(torch.from_numpy(recorded["x0"])).detach().numpy()

    np.testing.assert_allclose(outputs, recorded["y0"], rtol=1e-5, atol=1e-6)


def test_optimizer_slots_travel_along(tmp_path: Path) -> None:
    torchward.convert(SOURCE, tmp_path / "net.pth", into=Net())
    checkpoint = read_converted(tmp_path / "net.pth")
    net = Net()
    net.load_state_dict(dict(checkpoint.model_state_dict))
    optimizer = load_optimizer(net, checkpoint, tmp_path / "net.pth")
    recorded = np.load(FOLDER / "expected.npz")
    x, target = torch.from_numpy(recorded["x0"]), torch.from_numpy(recorded["t0"])

    for _ in recorded["resume_loss"]:
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), target).backward()
        optimizer.step()

    np.testing.assert_allclose(net(x).detach().numpy(), recorded["yafter0"], rtol=1e-4, atol=1e-5)


def test_command_takes_a_file_and_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)

    code = torchward.main(
        ["convert", str(SOURCE), "-o", "net.pth", "--into", "net.py:Net", "--set", "hidden=17"]
    )

    assert code == 0
    assert "first.weight" in capsys.readouterr().out
    assert (
        json.loads((tmp_path / "net.pth.json").read_text())["tensors"][0]["target"]
        == "first.weight"
    )


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_line_that_is_shown_fills_the_module(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "net.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    torchward.main(["convert", str(SOURCE), "-o", name, "--into=net.py:Net", "--set=hidden=17"])
    [line] = [
        line.partition("next")[2].strip()
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("next")
    ]
    net = Net()

    known = {"torch": torch, "safetensors": safetensors, "net": net}
    exec(line, known)  # noqa: S102  # what we print ourselves

    stored = read_converted(tmp_path / name).model_state_dict
    assert all(torch.equal(value, stored[key]) for key, value in net.state_dict().items())


def test_weights_of_an_own_module_are_no_module_and_verify_is_named(tmp_path: Path) -> None:
    torchward.convert(SOURCE, tmp_path / "net.pth", into=Net())

    with pytest.raises(UnreadableFileError, match="of a module of your own") as caught:
        torchward.load(tmp_path / "net.pth")

    assert f"--weights {tmp_path / 'net.pth'}" in str(caught.value.hint)


def test_table_is_written_where_something_is_not_certain_and_read_when_edited(
    tmp_path: Path,
) -> None:
    names = tmp_path / "names.toml"
    with pytest.raises(AmbiguousTargetError, match=r"net\.1 or net\.2") as caught:
        torchward.convert(SOURCE, tmp_path / "net.pth", into=Deep(), names=names)
    assert "names.toml is written" in str(caught.value.hint)
    assert not (tmp_path / "net.pth").exists()

    names.write_text(names.read_text() + 'keep = ["net.2"]\n')
    report = torchward.convert(SOURCE, tmp_path / "net.pth", into=Deep(), names=names)

    assert [tensor.target for tensor in report.tensors if tensor.layout == "in out -> out in"] == [
        "net.0.weight",
        "net.1.weight",
        "net.3.weight",
    ]
    assert "as the module made them: net.2.weight, net.2.bias" in report.notes


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("net.py:Nothing", "is not found"),
        ("net.py:NOT_A_MODULE", "is a int"),
        ("net.py:Net", "cannot be made"),
        ("net.py", "does not name a class"),
        ("missing_module:Net", "is not found"),
    ],
)
def test_module_that_cannot_be_made_is_refused(
    spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UnsupportedError, match=message):
        torchward.convert(SOURCE, tmp_path / "net.pth", into=spec)
