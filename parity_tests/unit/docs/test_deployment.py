"""Every form of docs/deployment.md gives the outputs that TensorFlow gave."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from parity_tests import FIXTURES
from parity_tests.unit.docs.pages import DOCS, run_page

FIXTURE = FIXTURES / "tf215_dqn_seed"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(FIXTURE / "model.h5", tmp_path / "agent.h5")
    shutil.copy(FIXTURE / "expected.npz", tmp_path / "expected.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_exported(folder: Path) -> dict[str, NDArray[np.floating]]:
    """Return the outputs of every exported file for the recorded inputs."""
    from onnx.reference import ReferenceEvaluator

    states = np.load(folder / "expected.npz")["x0"]
    evaluator = ReferenceEvaluator(str(folder / "agent.onnx"))
    with torch.no_grad():
        return {
            "agent.pt2": torch.export.load(folder / "agent.pt2")
            .module()(torch.from_numpy(states))
            .numpy(),
            "agent.pt": torch.jit.load(folder / "agent.pt")(torch.from_numpy(states)).numpy(),
            "agent.onnx": evaluator.run(None, {"observation": states})[0],
        }


@pytest.mark.slow
# Torch's ONNX exporter uses what torch itself has deprecated (torch 2.13).
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated:DeprecationWarning")
def test_exported_files_give_what_tensorflow_gave(folder: Path) -> None:
    pytest.importorskip("onnxscript")

    names: dict[str, Any] = run_page(DOCS / "deployment.md")

    expected = np.load(folder / "expected.npz")["y0"]
    for name, values in read_exported(folder).items():
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6, err_msg=name)
    # The page's own check sees a difference as small as this.
    assert not names["agrees"](expected + np.float32(2e-6) * np.abs(expected).max())


@pytest.mark.slow  # starts a process with torch
def test_the_emitted_source_needs_torch_alone_and_gives_what_tensorflow_gave(folder: Path) -> None:
    import subprocess
    import sys

    import torchward

    torchward.convert("agent.h5", "agent.pth", source_code="model.py")
    program = (
        "import sys, numpy, torch, model\n"
        "network = model.Sequential()\n"
        "network.load_state_dict(torch.load('agent.pth', weights_only=True)['model_state_dict'])\n"
        "recorded = numpy.load('expected.npz')\n"
        "values = network.eval()(torch.from_numpy(recorded['x0'])).detach().numpy()\n"
        "print(abs(values - recorded['y0']).max() <= 1e-6,\n"
        "      sorted({'converters', 'torch_impl', 'experience', 'tensorflow'} & set(sys.modules)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )

    assert done.stdout.split(maxsplit=1) == ["True", "[]\n"]
