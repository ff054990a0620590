"""`torchward lint`: one line a finding, JSON, and what cannot be looked at."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import torchward

NETWORK = """
import torch
from torch import nn

def make(hidden=8):
    return nn.Sequential(nn.Linear(4, hidden), nn.BatchNorm1d(hidden, momentum=0.01))

def make_optimizer(parameters):
    return torch.optim.RMSprop(parameters, lr=1e-3, eps=1e-7)

def make_number(parameters=()):
    return 3

activation = nn.Sequential(nn.ReLU())
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "networks.py"
    path.write_text(NETWORK)
    return str(path)


def test_every_finding_is_a_line(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = torchward.main(["lint", f"{spec}:make", "--set", "hidden=16"])

    first, second, summary = capsys.readouterr().out.splitlines()
    assert code == 0
    assert re.split(" {2,}", first) == [
        "0",
        "Linear",
        "initial values",
        "±0.5, bias ±0.5",
        "Keras ±0.548, bias 0",
        "init_like_keras(module)",
    ]
    assert second.split() == ["1", "BatchNorm1d", "eps", "1e-05", "Keras", "0.001", "eps=0.001"]
    assert summary.startswith("2 of PyTorch's defaults in ")


def test_the_optimizer_is_made_from_the_parameters(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torchward.main(["lint", f"{spec}:make", "--optimizer", f"{spec}:make_optimizer", "--json"])

    data = json.loads(capsys.readouterr().out)
    assert data["module"] == f"{spec}:make"
    last = data["changed_defaults"][-1]
    assert (last["place"], last["setting"], last["value"], last["keras"]) == (
        *("optimizer", "alpha"),
        *(0.99, 0.9),
    )


def test_an_optimizer_of_torch_is_named_by_its_class(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torchward.main(["lint", f"{spec}:make", "--optimizer", "torch.optim:Adam"])

    assert "optimizer  Adam" in capsys.readouterr().out


def test_nothing_found_is_said(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = torchward.main(["lint", f"{spec}:activation"])

    assert (code, len(capsys.readouterr().out.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing"], "is not found"),
        (["make_number"], "gives a int, needed is a torch module"),
        (["make", "--optimizer", "torch.optim:Nothing"], "is not found"),
        (["make", "--optimizer", "{spec}:activation"], "makes no optimizer of the module's"),
        (["make", "--optimizer", "{spec}:NETWORK"], "is not found"),
        (["make", "--optimizer", "{spec}:make_number"], "gives a int, needed is an optimizer"),
        (["make", "--optimizer", "torch.optim:__name__"], "is a str, needed is what makes"),
        (["activation", "--optimizer", "torch.optim:Adam"], "empty parameter list"),
    ],
)
def test_what_cannot_be_looked_at_ends_with_2_and_one_line(
    arguments: list[str], complaint: str, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = arguments
    options = [option.replace("{spec}", spec) for option in options]

    code = torchward.main(["lint", f"{spec}:{name}", *options])

    error, _hint = capsys.readouterr().err.splitlines()
    assert code == 2
    assert complaint in error
