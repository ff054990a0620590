from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experience.environments.royal_ur.data_files import (
    SampleFileError,
    number_games,
    read_samples,
    write_samples,
)
from experience.environments.royal_ur.features import extract_many
from experience.environments.royal_ur.samples import Samples
from parity_tests.unit.experience.environments.royal_ur.recorded import random_states

FIELDS = ("features", "value_target", "policy_target", "game")


def make_samples() -> Samples:
    """Return two games; a game is known by its first position, all pieces at the start."""
    features = extract_many(np.array(random_states(6, seed=0)))
    features[[0, 4], :14] = -1.0
    return Samples(
        features,
        np.linspace(-1, 1 / 3, 6, dtype=np.float32),
        np.eye(7, dtype=np.float32)[:6],
        np.array([0, 0, 0, 0, 1, 1], np.int32),
    )


def one_sample() -> dict[str, Any]:
    return {"features": [0.5] * 150, "value_target": 0.25, "policy_target": [1, 0, 0, 0, 0, 0, 0]}


@pytest.mark.parametrize("name", ["samples.json", "samples.npz"])
def test_samples_come_back_to_the_last_bit(name: str, tmp_path: Path) -> None:
    samples = make_samples()

    write_samples(samples, tmp_path / name)
    found = read_samples(tmp_path / name)

    for field in FIELDS:
        np.testing.assert_array_equal(getattr(found, field), getattr(samples, field))
        assert getattr(found, field).dtype == getattr(samples, field).dtype
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_json_is_the_documented_list(tmp_path: Path) -> None:
    samples = make_samples()

    write_samples(samples, tmp_path / "samples.json")
    found = json.loads((tmp_path / "samples.json").read_text(encoding="utf-8"))

    assert [sorted(sample) for sample in found] == [
        ["features", "policy_target", "value_target"]
    ] * 6
    assert {(len(s["features"]), len(s["policy_target"])) for s in found} == {(150, 7)}
    np.testing.assert_array_equal(
        np.array([s["features"] for s in found], np.float32), samples.features
    )


def test_a_file_as_rust_or_python_writes_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "original.json"
    path.write_text(json.dumps([one_sample(), {**one_sample(), "note": "x"}], indent=2))

    found = read_samples(path)

    assert (len(found), found.games) == (2, 1)
    assert (found.features == 0.5).all()
    assert found.policy_target.tolist() == [[1, 0, 0, 0, 0, 0, 0]] * 2


@pytest.mark.slow
def test_a_long_file_is_read_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text(json.dumps([{**one_sample(), "value_target": k / 3000} for k in range(3000)]))

    found = read_samples(path)

    assert path.stat().st_size > 2 * 1_048_576
    np.testing.assert_allclose(found.value_target, np.arange(3000) / 3000, rtol=1e-6)


def test_a_game_begins_where_all_pieces_are_at_the_start() -> None:
    features = np.zeros((5, 150), np.float32)
    features[[1, 3], :14] = -1.0

    assert number_games(features).tolist() == [0, 1, 1, 2, 2]
    assert number_games(features[:0]).tolist() == []


def change(**values: Any) -> str:
    return json.dumps([one_sample(), {**one_sample(), **values}])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "needed a JSON list"),
        ('{"features": []}', "needed a JSON list"),
        ("[]", "no samples"),
        (change()[:-5], "cut off"),
        (change() + "x", "something follows"),
        (change().replace("}, {", "} {"), "comma is missing"),
        (change(features=[0.0] * 149), "sample 1: 'features' has 149 numbers; needed 150"),
        (change(policy_target=[1] * 8), "'policy_target' has 8 numbers; needed 7"),
        (change(value_target=None), "sample 1 has None where a number is needed"),
        (change(value_target=True), "True where a number"),
        (change(value_target=1.5), r"sample 1: 'value_target'\[0\] is 1.5"),
        (change(value_target=float("nan")), "is nan"),
        (change(value_target=10**400), "no float can hold"),
        (change(features=[0.0] * 149 + [10.5]), r"'features'\[149\] is 10.5"),
        (change(policy_target=[0.5] + [0] * 6), "sum is 0.5"),
        (change(policy_target=[1.5, -0.5, 0, 0, 0, 0, 0]), r"'policy_target'\[0\] is 1.5"),
        (json.dumps([one_sample(), 3]), "sample 1 has int"),
        (json.dumps([{"features": []}]), "needed features, value_target, policy_target"),
        ("[" * 100_000, "JSON"),
    ],
    ids=["empty", "object", "no sample", "cut", "more", "no comma", "few features", "many pieces",
         "none", "bool", "value", "nan", "huge", "feature", "half", "negative", "number", "keys",
         "deep"],
)  # fmt: skip
def test_a_wrong_json_file_is_refused_with_the_place(text: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)

    with pytest.raises(SampleFileError, match=part) as error:
        read_samples(path)
    assert str(error.value).startswith(str(path))


def arrays(**changes: Any) -> dict[str, Any]:
    samples = make_samples()
    stored = {name: getattr(samples, name) for name in FIELDS}
    return {"format": np.array("torchward-ur-samples-1"), **stored, **changes}


@pytest.mark.parametrize(
    ("stored", "part"),
    [
        (arrays(format=np.array("other")), "no compact file of samples"),
        (arrays(format=np.zeros(10**6)), "no compact file of samples"),
        ({"format": np.array("torchward-ur-samples-1")}, "missing"),
        (arrays(features=np.zeros((6, 149), np.float32)), "found shapes"),
        (arrays(features=np.zeros((0, 150), np.float32)), "found shapes"),
        (arrays(value_target=np.zeros(6)), "'value_target' is float64; needed float32"),
        (arrays(game=np.array([0, 1, 0, 0, 1, 1], np.int32)), "'game' falls at sample 2"),
        (arrays(value_target=np.full(6, np.nan, np.float32)), "is nan"),
        (arrays(game=np.array([object()] * 6)), "'game' is object"),
    ],
    ids=["format", "long format", "names", "shape", "empty", "kind", "order", "nan", "objects"],
)
def test_a_wrong_compact_file_is_refused(stored: dict[str, Any], part: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.npz"
    np.savez(path, **stored)

    with pytest.raises(SampleFileError, match=part):
        read_samples(path)


def test_what_is_no_archive_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")

    with pytest.raises(SampleFileError, match=r"not a readable \.npz file"):
        read_samples(tmp_path / "text.npz")
    for name in ("none.npz", "none.json"):
        with pytest.raises(SampleFileError, match="No such file"):
            read_samples(tmp_path / name)


def test_no_samples_are_not_written(tmp_path: Path) -> None:
    empty = Samples(*(getattr(make_samples(), name)[:0] for name in FIELDS))

    with pytest.raises(ValueError, match="no samples to write"):
        write_samples(empty, tmp_path / "empty.json")
    assert list(tmp_path.iterdir()) == []
