from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.keras_file import write_keras_file
from parity_tests import FIXTURES

RECORDED = FIXTURES / "tf215_dqn_seed" / "model.h5"


def layout(path: Path) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item.shape}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def test_the_arrays_are_those_that_tensorflow_2_15_wrote(tmp_path: Path) -> None:
    if not RECORDED.exists():
        pytest.skip("the recorded file is not in this tree")
    write_keras_file(tmp_path / "model.h5")

    assert layout(tmp_path / "model.h5") == layout(RECORDED)


def test_the_guide_network_has_12165_parameters(tmp_path: Path) -> None:
    write_keras_file(tmp_path / "model.h5", optimizer=False)

    shapes = layout(tmp_path / "model.h5")
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 12_165
    assert not any(name.startswith("optimizer_weights") for name in shapes)


def test_the_same_arguments_give_the_same_weights(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_keras_file(tmp_path / name, (4, 3, 2))

    with h5py.File(tmp_path / "a.h5") as one, h5py.File(tmp_path / "b.h5") as other:
        place = "model_weights/dense_1/dense_1/kernel:0"
        np.testing.assert_array_equal(one[place][...], other[place][...])
        assert one[place].shape == (3, 2)
