"""Further files of recorded agents: what no other suite reads is read here, beside the numbers recorded with it.

The cases lie in archives, since graphs of training are long and compress well. `TORCHWARD_RECORDINGS=FOLDER` names a folder
of unpacked cases (the files, `meta.json`, `expected.npz`) that is read instead.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import torchward

ARCHIVES = Path(__file__).parent / "fixtures" / "more_artifacts"
RECORDINGS = os.environ.get("TORCHWARD_RECORDINGS")
LIMIT = 1e-5
"""Of the recordings, which are float32 sums in another order; relative to the largest number."""
ONLY = ""
"""Name of what a module gives that gives one tensor."""
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a case, and the name of the output for every recorded name."""

    path: str
    names: Mapping[str, str]
    options: Mapping[str, object] = field(default_factory=dict)  # of `torchward.convert`


def same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


Q = same("q", "deterministic_action")
ARTIFACTS = [
    Artifact("baselines_deepq_cartpole/tf1ckpt/model", Q),
    Artifact("kerasrl2_dqn_cartpole/dqn_weights.h5f", {"y0": ONLY}, {"architecture": "model.json"}),
    Artifact("rllib_ppo_cartpole/exported_model", same("action_dist_inputs", "vf_preds")),
    Artifact("sb_dqn_cnn_tiny/tf1ckpt/model-120", Q | same("proba")),
    Artifact("sb_dqn_mlp_cartpole/tf1ckpt/model-250", Q | same("proba")),
    Artifact(
        "sb_ppo2_mlp_cartpole/tf1ckpt/model-256",
        same("value", "logits", "proba", "deterministic_action"),
    ),
    Artifact(
        "sb_sac_mlp_pendulum/tf1ckpt/model-200",
        same("mean", "std", "deterministic_action", "qf1", "qf2", "vf", "target_vf"),
    ),
    Artifact("spinup_ppo_cartpole/tf1_save", {"pi_out": "logits", **same("v")}),
    Artifact("spinup_vpg_pendulum/tf1_save", {"pi_out": "mean", **same("v")}),
    Artifact(
        "spinup_sac_pendulum/tf1_save",
        {**same("mu", "q1", "q2")},
    ),
    Artifact("tf1_conv_bn_ema/model-4", same("q")),
    Artifact("tf1_conv_bn_ema/savedmodel", same("q")),
    Artifact("tf1_opt_adadelta/m.ckpt-4", same("y")),
    Artifact("tf1_opt_adagrad/m.ckpt-4", same("y")),
    Artifact("tf1_opt_sgd/m.ckpt-4", same("y")),
    Artifact(
        "tf1_raw_variables_pg/params.npz", {"logits": ONLY}, {"settings": {"activation": "tanh"}}
    ),
    Artifact("tf115keras_savedmodels/savedmodel_v1", {"y0": "q/BiasAdd"}),
    Artifact("tf215_dqn_with_target/q.h5", {"q": ONLY}),
    Artifact("tfagents_c51/checkpoint", same("logits")),
    Artifact("tfagents_ppo/policy", {"policy_action_on_x0": "action"}),
]
LARGE = [Artifact("dopamine_dqn_nature/checkpoints/tf_ckpt-0", {"q": "q_values"})]
"""Not kept in the archives: half a megabyte."""


def case_folder(case: str, folder: Path) -> Path:
    """Return a folder with the files of a case."""
    if RECORDINGS is not None:
        return Path(RECORDINGS) / case
    with zipfile.ZipFile(ARCHIVES / f"{case}.zip") as archive:
        archive.extractall(folder / case)
    return folder / case


def recorded(folder: Path) -> Arrays:
    with np.load(folder / "expected.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def in_torch(arrays: Arrays) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def convert(artifact: Artifact, folder: Path, output: Path) -> list[str]:
    """Convert an artifact as a user would, and return the recorded names of its inputs."""
    options = dict(artifact.options)
    if "architecture" in options:
        options["architecture"] = folder / str(options["architecture"])
    stated = json.loads((folder / "meta.json").read_text())
    names = [name for name in ("x0", "x1", "x2") if name in recorded(folder)]
    if artifact.path.startswith("tf1_") and "settings" not in options:
        options["inputs"] = {name: stated["placeholders"][name] for name in names}
        options["outputs"] = stated["outputs"]
    torchward.convert(folder / artifact.path.partition("/")[2], output, **options)  # type: ignore[arg-type]
    return names


@pytest.mark.slow
@pytest.mark.parametrize(
    "artifact", [*ARTIFACTS, *(LARGE if RECORDINGS else [])], ids=lambda artifact: artifact.path
)
def test_a_file_gives_what_was_recorded(artifact: Artifact, tmp_path: Path) -> None:
    folder = case_folder(artifact.path.partition("/")[0], tmp_path)
    arrays = recorded(folder)
    names = convert(artifact, folder, tmp_path / "out.pth")
    model = torchward.load(tmp_path / "out.pth")
    with torch.no_grad():
        given = [in_torch(arrays)[name] for name in names]
        found = model(*given)
    found = found if isinstance(found, dict) else {ONLY: found}

    for known, name in artifact.names.items():
        scale = max(1.0, np.abs(arrays[known]).max())
        assert found[name].shape == arrays[known].shape
        np.testing.assert_allclose(found[name], arrays[known], rtol=0, atol=LIMIT * scale)
