"""Dueling networks of keras-rl: what keras-rl2 computed, the three formulas, and which Lambdas are none of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.configuration.keras_rl import dueling_kind
from converters.errors import UnsupportedError
from parity_tests import FIXTURES

FIXTURE = FIXTURES / "kerasrl2_dueling_max"
TAKEN: dict[str, Any] = {"avg": np.mean, "max": np.max, "naive": lambda values, **_: 0.0}
CODE = b"\x00lambda\xda\x0bexpand_dims\xda\x04mean\x00/lib/rl/agents/dqn.py"


def function(code: bytes) -> list[Any]:
    return [base64.b64encode(code).decode(), None, None]


def recorded() -> dict[str, Any]:
    with np.load(FIXTURE / "expected.npz") as arrays:
        return dict(arrays)


def test_recorded_network_gives_what_keras_rl_gave(tmp_path: Path) -> None:
    torchward.convert(
        FIXTURE / "weights.h5", tmp_path / "agent.pth", architecture=FIXTURE / "model.json"
    )
    known = recorded()

    with torch.no_grad():
        found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(known["x0"]))

    np.testing.assert_allclose(found.numpy(), known["y0"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", TAKEN)
def test_kinds_differ_by_what_is_taken_from_the_advantages(kind: str, tmp_path: Path) -> None:
    model = json.loads((FIXTURE / "model.json").read_text())
    names = {"avg": b"\x04mean", "max": b"\x03max", "naive": b""}
    for entry in model["config"]["layers"]:
        if entry["class_name"] == "Lambda":
            code = CODE.replace(b"\x04mean", names[kind])
            entry["config"] |= {"function": function(code), "module": "elsewhere"}
    (tmp_path / "model.json").write_text(json.dumps(model))
    torchward.convert(
        FIXTURE / "weights.h5", tmp_path / "agent.pth", architecture=tmp_path / "model.json"
    )
    agent = torchward.load(tmp_path / "agent.pth")
    x = torch.from_numpy(recorded()["x0"])
    columns: list[torch.Tensor] = []
    last = next(m for m in agent.modules() if getattr(m, "out_features", None) == 4)
    last.register_forward_hook(lambda *given: columns.append(given[-1]))

    with torch.no_grad():
        found = agent(x).numpy()

    value, advantage = columns[0].numpy()[:, :1], columns[0].numpy()[:, 1:]
    by_hand = value + advantage - TAKEN[kind](advantage, axis=1, keepdims=True)
    np.testing.assert_allclose(found, by_hand, rtol=0, atol=1e-6)


def test_weights_alone_are_taken_for_the_default_kind_with_a_warning(tmp_path: Path) -> None:
    report = torchward.convert(FIXTURE / "weights.h5", tmp_path / "agent.pth")
    known = recorded()

    with torch.no_grad():
        found = torchward.load(tmp_path / "agent.pth")(torch.from_numpy(known["x0"])).numpy()

    # "avg" and "max" differ by a number that is the same for all actions.
    difference = found - known["y0"]
    np.testing.assert_allclose(difference, difference[:, :1] + np.zeros(3), rtol=0, atol=1e-6)
    assert np.abs(difference).max() > 1e-3
    assert "advantages less their mean" in report.warnings[0]


@pytest.mark.parametrize(
    "config",
    [
        {"function": function(CODE.replace(b"dqn.py", b"own.py")), "output_shape": [3]},
        {"function": function(CODE.replace(b"expand_dims", b"")), "output_shape": [3]},
        {"function": function(CODE), "output_shape": [0]},
        {"function": function(CODE), "output_shape": "raw"},
        {"function": ["not base64 é", None, None], "output_shape": [3]},
        {"function": "named", "output_shape": [3]},
    ],
    ids=["file", "code", "no actions", "shape", "text", "name"],
)
def test_other_lambdas_are_none_of_them(config: dict[str, object]) -> None:
    assert dueling_kind(config) is None


def test_other_lambdas_stay_refused(tmp_path: Path) -> None:
    model = json.loads((FIXTURE / "model.json").read_text())
    for entry in model["config"]["layers"]:
        if entry["class_name"] == "Lambda":
            entry["config"] |= {"function": function(b"own code"), "module": "own"}
    (tmp_path / "model.json").write_text(json.dumps(model))

    with pytest.raises(UnsupportedError, match="code from a file is never run"):
        torchward.convert(
            FIXTURE / "weights.h5", tmp_path / "agent.pth", architecture=tmp_path / "model.json"
        )
