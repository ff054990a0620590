from __future__ import annotations

import pickle  # noqa: TID251  # written, never loaded
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.agents.unnamed import find_names
from converters.errors import AmbiguousTargetError, UnsupportedError

LIMIT = 1e-5  # float32 sums in another order

BASELINES = [
    (4, 6),
    (6,),
    (6, 7),
    (7,),
    (7, 3),
    (3,),
    (4, 6),
    (6,),
    (6, 5),
    (5,),
    (5, 1),
    (1,),
    (1, 3),
]
STABLE = [(4, 6), (6,), (4, 5), (5,), (5, 1), (1,), (6, 3), (3,), (5, 3), (3,)]


def draw(shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def store(path: Path, value: object) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=2))
    return path


def test_arrays_of_baselines_find_their_places(tmp_path: Path) -> None:
    arrays = draw(BASELINES)
    report = torchward.convert(store(tmp_path / "a.pkl", arrays), tmp_path / "a.pth")
    assert any("a policy of baselines with 2 hidden layers" in note for note in report.notes)
    x = np.random.default_rng(2).standard_normal((5, 4)).astype(np.float32)
    with torch.no_grad():
        found = torchward.load(tmp_path / "a.pth")(torch.from_numpy(x))
    hidden = np.tanh(np.tanh(x @ arrays[0] + arrays[1]) @ arrays[2] + arrays[3])
    np.testing.assert_allclose(found["mean"].numpy(), hidden @ arrays[4] + arrays[5], atol=LIMIT)
    values = np.tanh(np.tanh(x @ arrays[6] + arrays[7]) @ arrays[8] + arrays[9])
    np.testing.assert_allclose(
        found["value"].numpy(), (values @ arrays[10] + arrays[11])[:, 0], atol=LIMIT
    )
    np.testing.assert_allclose(found["logstd"][0].numpy(), arrays[12][0])


def test_both_orders_are_told_apart() -> None:
    assert list(find_names(BASELINES)) == ["a policy of baselines with 2 hidden layers"]
    assert list(find_names(STABLE)) == ["a policy of stable-baselines with 1 hidden layers"]


def test_images_are_found_by_their_kernels() -> None:
    images = [(8, 8, 4, 32), (1, 32, 1, 1), (4, 4, 32, 64), (1, 64, 1, 1), (3, 3, 64, 64), (1, 64, 1, 1), (3136, 512),
              (512,)]  # fmt: skip
    assert list(find_names([*images, (512, 6), (6,), (512, 1), (1,)])) == [
        "a policy of images of baselines"
    ]
    assert not find_names([*images, (500, 6), (6,), (512, 1), (1,)])


def test_arrays_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="of no policy that is known"):
        torchward.convert(
            store(tmp_path / "a.pkl", draw([(4, 6), (6,), (7, 2), (2,)])), tmp_path / "a.pth"
        )
    assert not (tmp_path / "a.pth").exists()


def test_two_fits_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    orders = {"one": ["model/pi/w"] * 10, "another": ["model/pi/w"] * 10}
    monkeypatch.setattr("converters.agents.unnamed.find_names", lambda shapes: orders)
    with pytest.raises(AmbiguousTargetError, match="fit one and another"):
        torchward.convert(store(tmp_path / "a.pkl", draw(STABLE)), tmp_path / "a.pth")
