"""One model out of the weights of a larger one: the three networks that keras-rl's NAF stores in one file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import torchward
from converters.errors import MismatchError
from parity_tests import FIXTURES

FIXTURE = FIXTURES / "kerasrl2_naf"


@pytest.mark.parametrize(("name", "output"), [("mu", "y0"), ("V", "V")])
def test_model_whose_name_the_architecture_has_is_converted(
    name: str, output: str, tmp_path: Path
) -> None:
    with np.load(FIXTURE / "expected.npz") as arrays:
        known = dict(arrays)
    report = torchward.convert(
        FIXTURE / "weights.h5", tmp_path / "net.pth", architecture=FIXTURE / f"{name}.json"
    )

    with torch.no_grad():
        found = torchward.load(tmp_path / "net.pth")(torch.from_numpy(known["x0"]))

    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), known[output], rtol=0, atol=1e-6)
    assert any("one of 3 models in the file" in note for note in report.notes)
    assert len(report.ignored) == 8  # kernels and biases of the two others


def test_architecture_of_another_name_is_refused(tmp_path: Path) -> None:
    text = json.loads((FIXTURE / "mu.json").read_text())
    text["config"]["name"] = "elsewhere"
    (tmp_path / "mu.json").write_text(json.dumps(text))

    with pytest.raises(MismatchError, match="no layer for the arrays of 'model'"):
        torchward.convert(
            FIXTURE / "weights.h5", tmp_path / "net.pth", architecture=tmp_path / "mu.json"
        )


def test_part_with_layers_that_the_architecture_lacks_is_refused(tmp_path: Path) -> None:
    text = json.loads((FIXTURE / "mu.json").read_text())
    del text["config"]["layers"][-1]
    (tmp_path / "mu.json").write_text(json.dumps(text))

    with pytest.raises(MismatchError, match="do not belong together"):
        torchward.convert(
            FIXTURE / "weights.h5", tmp_path / "net.pth", architecture=tmp_path / "mu.json"
        )
