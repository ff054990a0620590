from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import gymnasium
import h5py
import numpy as np
import pytest

from experience.dataset_files import DatasetError, MissingPackageError
from experience.datasets import (
    check_dataset_id,
    describe_dataset,
    find_root,
    iterate_episodes,
    list_datasets,
    load_episodes,
    write_dataset,
)
from experience.offline_data import Episode, make_episode

minari = pytest.importorskip("minari")


def _episodes(*lengths: int) -> list[Episode]:
    rng = np.random.default_rng(0)
    return [
        make_episode(
            rng.normal(size=(steps + 1, 4)),
            rng.integers(0, 2, steps),
            rng.normal(size=steps),
            np.arange(steps) == steps - 1,
            np.zeros(steps, np.bool_),
        )
        for steps in lengths
    ]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(
        "cartpole/small-v0", _episodes(5, 7), environment="CartPole-v1", root=tmp_path
    )


def _assert_equal(found: Episode, written: Episode) -> None:
    for name in ("observations", "actions", "rewards", "terminations", "truncations"):
        left, right = getattr(found, name), getattr(written, name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    "id_", ["cartpole/expert-v0", "a-v12", "simglucose/adolescent/random-v2", "a/b/c-v0"]
)
def test_ids_as_minari_has_them_are_accepted(id_: str) -> None:
    assert check_dataset_id(id_) == id_
    minari.dataset.minari_dataset.parse_dataset_id(id_)


@pytest.mark.parametrize(
    "id_", ["CartPole random", "x/y", "../x-v0", "/x-v0", "x-v", "", "x-v0\n", "a/b-v0", "a//b-v0"]
)
def test_other_ids_are_refused_with_the_form(id_: str) -> None:
    with pytest.raises(DatasetError, match=r"needed \(namespace/\)name-v0"):
        check_dataset_id(id_)


def test_minari_reads_what_was_written_and_recovers_the_environment(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    loaded = minari.load_dataset("cartpole/small-v0")

    assert (loaded.total_episodes, loaded.total_steps) == (2, 12)
    for found, written in zip(loaded.iterate_episodes(), _episodes(5, 7), strict=True):
        np.testing.assert_array_equal(found.observations, written.observations)
        np.testing.assert_array_equal(found.terminations, written.terminations)
        np.testing.assert_array_equal(found.rewards, written.rewards)
    environment = loaded.recover_environment()
    assert environment.spec.id == "CartPole-v1"
    environment.close()
    assert list(minari.list_local_datasets()) == ["cartpole/small-v0"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of what was not given
def test_we_read_what_minari_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    buffer = minari.data_collector.EpisodeBuffer(
        observations=[np.full(1, 120 + step, np.float32) for step in range(4)],
        actions=[2, 0, 1],
        rewards=[0.1, 0.2, 0.3],
        terminations=[False] * 3,
        truncations=[False, False, True],
    )
    minari.create_dataset_from_buffers(
        "t1d/moderate-v3",
        buffer=[buffer],
        observation_space=gymnasium.spaces.Box(0, 500, (1,), np.float32),
        action_space=gymnasium.spaces.Discrete(3),
        algorithm_name="moderate",
        author="someone",
        author_email="someone@example.org",
        code_permalink="here",
        description="three steps",
    )

    episode = load_episodes("t1d/moderate-v3")[0]

    assert episode.observations.tolist() == [[120], [121], [122], [123]]
    assert episode.actions.tolist() == [2, 0, 1]
    assert episode.rewards.dtype == np.float32
    assert episode.truncations.tolist() == [False, False, True]
    facts = describe_dataset("t1d/moderate-v3")
    assert (facts.observations, facts.actions) == ("Box(1,) float32", "Discrete(3)")
    assert (facts.environment, facts.algorithm, facts.steps) == (None, "moderate", 3)


def test_episodes_come_back_as_they_were_written(dataset: Path, tmp_path: Path) -> None:
    found = load_episodes("cartpole/small-v0", root=tmp_path)

    for each, written in zip(found, _episodes(5, 7), strict=True):
        _assert_equal(each, written)


def test_a_folder_anywhere_is_read_without_minari(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = dataset.rename(tmp_path / "elsewhere")
    monkeypatch.setitem(sys.modules, "minari", None)

    assert [len(episode) for episode in load_episodes(moved)] == [5, 7]
    assert [len(episode) for episode in load_episodes(moved / "data")] == [5, 7]


def test_episodes_are_read_one_by_one_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    lengths = list(range(1, 13))  # episode_10 comes after episode_9, not after episode_1
    write_dataset("a-v0", _episodes(*lengths), environment="CartPole-v1", root=tmp_path)

    assert [len(each) for each in iterate_episodes("a-v0", root=tmp_path)] == lengths
    few = iterate_episodes("a-v0", root=tmp_path, first=8, limit=3)
    assert [len(each) for each in few] == [9, 10, 11]


def test_images_are_stored_without_loss(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 48, 3), np.uint8)
    episode = make_episode(images, [0, 1, 0], [0, 0, 1], [False] * 3, [False, False, True])
    write_dataset(
        "images-v0",
        [episode],
        observation_space=gymnasium.spaces.Box(0, 255, (64, 48, 3), np.uint8),
        action_space=gymnasium.spaces.Discrete(2),
        root=tmp_path,
    )

    _assert_equal(load_episodes("images-v0", root=tmp_path)[0], episode)


def test_the_root_may_be_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    folder = write_dataset("aa/b-v0", _episodes(3), environment="CartPole-v1", root="data")

    assert folder == Path("data/aa/b-v0")
    assert len(load_episodes("aa/b-v0", root="data")) == 1


def test_an_environment_of_ours_is_recovered(tmp_path: Path) -> None:
    write_dataset("t1d/one-v0", _glucose(), environment="torchward/SimglucoseGym-v0", root=tmp_path)

    facts = describe_dataset("t1d/one-v0", root=tmp_path)

    assert facts.environment == "torchward/SimglucoseGym-v0"
    assert facts.actions == "Discrete(3)"


def _glucose() -> list[Episode]:
    return [make_episode([[100.0], [90.0]], [1], [-0.3], [True], [False])]


def test_the_list_has_every_data_set_and_passes_over_damaged_ones(
    dataset: Path, tmp_path: Path
) -> None:
    broken = write_dataset("broken-v0", _episodes(2), environment="CartPole-v1", root=tmp_path)
    (broken / "data" / "metadata.json").write_text("{")

    found = list_datasets(tmp_path)

    assert [(facts.id, facts.episodes, facts.steps) for facts in found] == [
        ("cartpole/small-v0", 2, 12)
    ]
    assert found[0].environment == "CartPole-v1"
    assert list_datasets(tmp_path / "nothing") == []


def test_a_missing_data_set_is_named_with_its_place_and_those_there_are(
    dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"there are: cartpole/small-v0"):
        load_episodes("cartpole/other-v0", root=tmp_path)


def test_a_taken_id_is_refused_and_replaced_on_request(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="exists already"):
        write_dataset("cartpole/small-v0", _episodes(3), environment="CartPole-v1", root=tmp_path)

    write_dataset(
        "cartpole/small-v0", _episodes(3), environment="CartPole-v1", root=tmp_path, replace=True
    )
    assert describe_dataset("cartpole/small-v0", root=tmp_path).steps == 3


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="was not written"):
        write_dataset("aa/b-v0", _episodes(3), root=tmp_path)  # no spaces
    with pytest.raises(DatasetError, match="no episode"):
        write_dataset("aa/b-v0", [], environment="CartPole-v1", root=tmp_path)

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not list(tmp_path.glob(".writing*"))


def test_without_minari_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)

    with pytest.raises(MissingPackageError, match=r"pip install 'torchward\[offline\]'"):
        write_dataset("a-v0", _episodes(3), environment="CartPole-v1", root=tmp_path)


def test_without_h5py_the_extra_is_named(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)

    with pytest.raises(MissingPackageError, match=r"h5py.*pip install"):
        load_episodes(dataset)


def test_the_root_is_minaris_unless_another_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert find_root() == tmp_path
    assert find_root("other") == Path("other")

    monkeypatch.delenv("MINARI_DATASETS_PATH")
    assert find_root() == Path.home() / ".minari" / "datasets"


def _external_link(group: h5py.Group) -> None:
    del group["rewards"]
    group["rewards"] = h5py.ExternalLink("other.hdf5", "/rewards")


def _soft_link(group: h5py.Group) -> None:
    del group["rewards"]
    group["rewards"] = h5py.SoftLink("/episode_1/rewards")


def _external_storage(group: h5py.Group) -> None:
    del group["rewards"]
    group.create_dataset("rewards", (5,), "f8", external=[("/etc/hostname", 0, 40)])


def _virtual(group: h5py.Group) -> None:
    del group["rewards"]
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource("other.hdf5", "x", (5,))
    group.create_virtual_dataset("rewards", layout)


def _bomb(group: h5py.Group) -> None:
    del group["observations"]
    group.create_dataset("observations", (6, 10**12), "f4", chunks=(1, 10**4))


def _texts(group: h5py.Group) -> None:
    del group["actions"]
    group.create_dataset("actions", data=["left"] * 5)


def _dictionary(group: h5py.Group) -> None:
    del group["observations"]
    group.create_group("observations")


def _short(group: h5py.Group) -> None:
    del group["observations"]
    group.create_dataset("observations", data=np.zeros((5, 4), np.float32))


def _missing(group: h5py.Group) -> None:
    del group["terminations"]


def _matrix(group: h5py.Group) -> None:
    del group["rewards"]
    group.create_dataset("rewards", data=np.zeros((5, 2)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_external_link, "not followed"),
        (_soft_link, "not followed"),
        (_external_storage, "another file"),
        (_virtual, "another file"),
        (_bomb, "claims"),
        (_texts, "not numbers"),
        (_dictionary, "FlattenObservation"),
        (_short, "one more of observations"),
        (_missing, "has no 'terminations'"),
        (_matrix, "as many rows"),
    ],
)
def test_a_hostile_or_damaged_file_ends_in_one_clear_error(
    dataset: Path, damage: Callable[[h5py.Group], None], message: str
) -> None:
    with h5py.File(dataset / "data" / "main_data.hdf5", "a") as file:
        damage(file["episode_0"])

    with pytest.raises(DatasetError, match=message) as caught:
        load_episodes(dataset)

    assert "main_data.hdf5: 'episode_0'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_and_other_bytes_are_refused(dataset: Path) -> None:
    path = dataset / "data" / "main_data.hdf5"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"not HDF5", b""):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"main_data\.hdf5"):
            load_episodes(dataset)


def test_a_file_without_episodes_is_refused(dataset: Path) -> None:
    with h5py.File(dataset / "data" / "main_data.hdf5", "w") as file:
        file.create_group("other")

    with pytest.raises(DatasetError, match="has no episode"):
        load_episodes(dataset)


@pytest.mark.parametrize(
    "text", ["[]", "{", "[" * 100_000, json.dumps({"total_episodes": "2", "total_steps": 1})]
)
def test_damaged_metadata_is_refused(dataset: Path, text: str) -> None:
    (dataset / "data" / "metadata.json").write_text(text)

    with pytest.raises(DatasetError, match=r"metadata\.json"):
        describe_dataset(dataset)


def test_metadata_of_absurd_size_is_not_read(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experience.dataset_files.MAX_METADATA_BYTES", 100)

    with pytest.raises(DatasetError, match="not read"):
        describe_dataset(dataset)
