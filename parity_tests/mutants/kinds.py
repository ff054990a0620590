"""Which files are damaged: one line a kind of file, from the fixtures."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parity_tests import FIXTURES
from parity_tests.mutants.damage import damaged


@dataclass(frozen=True, slots=True)
class Kind:
    """A sound file, and what of it is damaged."""

    case: str  # folder of the fixtures
    file: str  # in that folder, the file that is damaged
    given: str = (
        ""  # what is converted, if it is not that file: a prefix, or "." for the folder it lies in
    )
    outputs: tuple[str, ...] | None = None  # tensors of a graph that are asked for
    architecture: str = ""  # configuration of weights alone, in the case's folder
    inside: bool = (
        False  # a member of the archive is damaged, and the archive written anew around it
    )
    checksums: bool = (
        True  # False: wrong checksums are overlooked, so that what lies behind them is reached
    )
    native: bool = False  # the HDF5 library reads it, in the reader's own child process

    def prepare(self, folder: Path) -> None:
        """Copy what belongs to the file into an empty folder."""
        original = FIXTURES / self.case / self.file
        if self.given:
            shutil.copytree(original.parent, folder, dirs_exist_ok=True)
        else:
            shutil.copy(original, folder)

    def damage(self, folder: Path, seed: int) -> None:
        """Write the mutant of a number into a prepared folder; the same on every machine."""
        original = FIXTURES / self.case / self.file
        rng = np.random.default_rng(seed)
        place = folder / original.name
        if self.inside:
            _write_archive(original, place, rng)
        else:
            place.write_bytes(damaged(original.read_bytes(), rng))

    def source(self, folder: Path) -> Path:
        """Return what is converted."""
        return folder / (self.given or Path(self.file).name)

    def configuration(self, folder: Path) -> Path | None:
        """Return the configuration that is given with weights alone; it may be what is damaged."""
        if not self.architecture:
            return None
        place = folder if self.architecture == self.file else FIXTURES / self.case
        return place / self.architecture


def _write_archive(original: Path, place: Path, rng: np.random.Generator) -> None:
    with zipfile.ZipFile(original) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = [name for name, data in members.items() if data]
    chosen = names[int(rng.integers(0, len(names)))]
    members[chosen] = damaged(members[chosen], rng)
    with zipfile.ZipFile(place, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


KINDS: Mapping[str, Kind] = {
    "keras-h5": Kind("k231_dqn_cartpole", "model.h5", native=True),
    "keras-weights-h5": Kind(
        "k315_actor_critic", "model.weights.h5", architecture="model.json", native=True
    ),
    "keras-archive": Kind("k315_actor_critic", "model.keras", native=True),
    "keras-archive-members": Kind("k315_actor_critic", "model.keras", inside=True, native=True),
    "keras-configuration": Kind(
        "k231_dqn_cartpole",
        "model.json",
        given="weights.h5",
        architecture="model.json",
        native=True,
    ),
    "keras-metadata": Kind("tf215_dueling_gap", "savedmodel/keras_metadata.pb", given="."),
    "bundle-index": Kind(
        "tf215_actor_critic", "ckpt_dir/ckpt-4.index", given=".", architecture="model.json"
    ),
    "bundle-index-behind-checksums": Kind(
        "tf215_actor_critic",
        "ckpt_dir/ckpt-4.index",
        given=".",
        architecture="model.json",
        checksums=False,
    ),
    "bundle-data": Kind(
        "tf215_actor_critic",
        "ckpt_dir/ckpt-4.data-00000-of-00001",
        given=".",
        architecture="model.json",
    ),
    "bundle-data-behind-checksums": Kind(
        "tf215_actor_critic",
        "ckpt_dir/ckpt-4.data-00000-of-00001",
        given=".",
        architecture="model.json",
        checksums=False,
    ),
    "checkpoint-state": Kind(
        "tf215_actor_critic", "ckpt_dir/checkpoint", given=".", architecture="model.json"
    ),
    "first-format": Kind(
        "tf1_raw_variables_pg", "v1/pg_v1.ckpt", given="pg_v1.ckpt", outputs=("add:0",)
    ),
    "first-format-behind-checksums": Kind(
        "tf1_raw_variables_pg",
        "v1/pg_v1.ckpt",
        given="pg_v1.ckpt",
        outputs=("add:0",),
        checksums=False,
    ),
    "meta-graph": Kind("tf1_opt_adam", "m.ckpt-4.meta", given="m.ckpt-4", outputs=("y/BiasAdd:0",)),
    "meta-graph-of-an-agent": Kind("rrd_ddpg_mujoco", "saved/model.meta", given="."),
    "frozen-graph": Kind("tf1_conv_bn_ema", "frozen.pb", outputs=("q_net/out/BiasAdd:0",)),
    "saved-model-keras-2": Kind("tf115keras_savedmodels", "savedmodel/saved_model.pb", given="."),
    "saved-model-export": Kind("k315_lstm_policy", "exported/saved_model.pb", given="."),
    "saved-model-policy": Kind("tfagents_dqn", "policy/saved_model.pb", given="."),
    "stable-baselines-zip": Kind("sb_ppo2_mlp_cartpole", "model.zip"),
    "stable-baselines-zip-members": Kind("sb_ppo2_mlp_cartpole", "model.zip", inside=True),
    "stable-baselines-pickle": Kind("sb_ppo2_mlp_cartpole", "model.pkl"),
    "vec-normalize-pickle": Kind("sb_ppo2_pendulum_vecnorm", "vecnormalize.pkl"),
    "baselines-joblib": Kind("baselines_ppo2_pendulum", "model.joblib"),
    "baselines-act-pickle": Kind("baselines_deepq_cartpole", "model.pkl"),
    "rllib-pickle": Kind("rllib_ppo_cartpole", "checkpoint/checkpoint-1", given="."),
    "d3rlpy-model": Kind("d3rlpy", "dqn/model.d3", inside=True),
    "numpy-archive": Kind("k315_dueling_gap", "weights.npz", architecture="model.json"),
    "numpy-archive-members": Kind(
        "k315_dueling_gap", "weights.npz", architecture="model.json", inside=True
    ),
}
