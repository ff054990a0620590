"""Folders of legacy files: what is found, what is told, what a second run does."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

import torchward
from converters.batch import worker
from converters.batch.command import format_batch
from converters.batch.folder import Batch, _read_manifest, find_legacy_files, name_outputs
from converters.batch.worker import Outcome, Task, convert_one
from parity_tests import FIXTURES


@pytest.fixture
def folder(small_model: Path, tmp_path: Path) -> Path:
    """Return a folder with two good files and a truncated one."""
    runs = tmp_path / "runs"
    for name in ("b/17.h5", "a.h5", "c.keras"):
        (runs / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(small_model, runs / name)
    (runs / "b/17.h5").write_bytes(small_model.read_bytes()[:2000])
    return runs


def run(folder: Path, *options: str) -> int:
    return torchward.main(["convert", str(folder), "-o", str(folder.parent / "out"), *options])


def manifest(folder: Path) -> dict[str, dict[str, object]]:
    data = json.loads((folder.parent / "out" / "manifest.json").read_text())
    files: dict[str, dict[str, object]] = data["files"]
    return files


@pytest.mark.slow  # starts processes
def test_one_bad_file_is_a_line_and_the_others_are_converted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(folder, "--jobs", "2")

    lines = capsys.readouterr().out.splitlines()
    assert code == 3
    assert lines[0].endswith("(2 .h5, 1 .keras)")
    assert lines[1].startswith("2 converted, 1 failed")
    assert lines[2].startswith("  b/17.h5  ")
    assert (folder.parent / "out" / "a.pth").is_file()
    assert list(manifest(folder)) == ["a.h5", "b/17.h5", "c.keras"]
    assert manifest(folder)["c.keras"]["output"] == "c.pth"


@pytest.mark.slow  # starts processes
def test_second_run_tries_only_what_failed_or_changed(
    folder: Path, small_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, "--jobs", "1")
    before = (folder.parent / "out" / "a.pth").stat().st_mtime_ns
    shutil.copyfile(small_model, folder / "b/17.h5")
    shutil.copyfile(FIXTURES / "k315_dqn_seed" / "model.h5", folder / "c.keras")
    capsys.readouterr()

    code = run(folder, "--jobs", "1", "--json")

    told = json.loads(capsys.readouterr().out)
    assert (code, told["converted"], told["of_them_before"], told["failed"]) == (0, 3, 1, [])
    assert (folder.parent / "out" / "a.pth").stat().st_mtime_ns == before


@pytest.mark.slow  # starts processes
def test_second_run_looks_at_every_file_of_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(FIXTURES / "k315_lstm_policy" / "exported", runs / "saved")
    for file in (FIXTURES / "dopamine_dqn_cartpole" / "checkpoints").glob("tf_ckpt-0.*"):
        shutil.copyfile(file, runs / file.name)
    told = []

    for changed in ((), (), ("saved/variables/variables.index", "tf_ckpt-0.index")):
        for name in changed:
            (runs / name).write_bytes(b"no longer what was converted")
        run(runs, "--jobs", "1", "--json")
        told.append(json.loads(capsys.readouterr().out))

    assert [each["of_them_before"] for each in told] == [0, 2, 0]
    assert [len(each["failed"]) for each in told] == [0, 0, 2]


def test_problems_of_a_file_stand_below_its_name(tmp_path: Path) -> None:
    wrong = Outcome(error="2 layers cannot be converted:\n  layer 'a': x\n  layer 'b': y", hint="z")
    batch = Batch({"m.keras": wrong, "n.h5": Outcome(error="empty")}, frozenset(), tmp_path)

    lines = format_batch(batch, tmp_path, 1.0)

    assert [line.strip() for line in lines[2:7]] == [
        "m.keras  2 layers cannot be converted:",
        "layer 'a': x",
        "layer 'b': y",
        "hint: z",
        "n.h5     empty",
    ]


def test_hint_of_many_files_stands_once(tmp_path: Path) -> None:
    wrong = Outcome(error="holds weights only", hint="give the configuration")
    batch = Batch({"a.h5": wrong, "b.h5": wrong}, frozenset(), tmp_path)

    lines = format_batch(batch, tmp_path, 1.0)

    assert lines[2:4] == [
        "  a.h5  holds weights only  hint: give the configuration",
        "  b.h5  holds weights only",
    ]


def test_files_are_counted_by_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "actor").touch()
    names = ("actor", "a.h5", "model.ckpt-7")
    batch = Batch(dict.fromkeys(names, Outcome(output="x")), frozenset(), tmp_path)

    counted = format_batch(batch, tmp_path, 1.0)[0].partition(" (")[2]

    assert counted == "1 .h5, 1 HDF5 by another name, 1 of TensorFlow)"


@pytest.mark.slow  # starts processes
def test_process_that_dies_takes_no_other_file_along(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "dying_rules.py").write_text(
        "import os, sys\nif os.environ.pop('DIE_ONCE', None):\n    os._exit(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DIE_ONCE", "1")
    (folder / "b/17.h5").unlink()

    code = run(folder, "--jobs", "1", "--rules", "dying_rules", "--json")

    told = json.loads(capsys.readouterr().out)
    assert code == 3
    assert [entry["error"] for entry in told["failed"]] == [
        "the process that converted it died"
    ] * 2


@pytest.mark.parametrize(
    ("option", "value"), [("--set", "actions=4"), ("--to", "sb3"), ("--normalizer", "vec.pkl")]
)
def test_option_for_one_file_is_refused_for_a_folder(
    option: str, value: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(folder, option, value)

    assert code == 2
    assert f"is a folder; {option}: only for one file" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow  # starts processes
def test_input_layout_reaches_every_file_of_a_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, "--input-layout", "sideways")

    assert "0 converted, 3 failed" in capsys.readouterr().out
    assert "sideways" in str(manifest(folder)["a.h5"])


def test_folder_needs_a_folder_to_write_to(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = torchward.main(["convert", str(folder)])

    assert code == 6
    assert "its results need a folder" in capsys.readouterr().err


def test_files_are_found_by_suffix_content_and_kind(tmp_path: Path, small_model: Path) -> None:
    runs = tmp_path / "runs"
    for name in (
        "saved/saved_model.pb",
        "saved/variables/variables.index",
        "ckpt-3.index",
        "x.keras",
    ):
        (runs / name).parent.mkdir(parents=True, exist_ok=True)
        (runs / name).touch()
    for name in ("notes.txt", ".hidden/a.h5", "out/a.h5", "ckpt-3.data-00000-of-00001"):
        (runs / name).parent.mkdir(parents=True, exist_ok=True)
        (runs / name).touch()
    shutil.copyfile(small_model, runs / "weights_without_suffix")
    shutil.copyfile(FIXTURES / "sb_ppo2_mlp_cartpole" / "model.zip", runs / "agent.zip")
    with zipfile.ZipFile(runs / "results.zip", "w") as archive:
        archive.writestr("data", "{}")
    (runs / "broken.zip").write_bytes(b"PK")

    found = find_legacy_files(runs, leave_out=runs / "out")

    assert found == ["agent.zip", "ckpt-3", "saved", "weights_without_suffix", "x.keras"]


def test_weights_in_several_files_are_one(tmp_path: Path) -> None:
    for name in (
        "a.weights.json",
        "a_00000.weights.h5",
        "a_00001.weights.h5",
        "b_00000.weights.h5",
    ):
        (tmp_path / name).touch()

    found = find_legacy_files(tmp_path, leave_out=tmp_path / "out")

    assert found == ["a.weights.json", "b_00000.weights.h5"]


def test_outputs_that_would_meet_keep_their_whole_names() -> None:
    outputs = name_outputs(["a.h5", "a.keras", "b/a.h5"], ".pth")

    assert outputs == {
        "a.h5": "a.h5.pth",
        "a.keras": "a.keras.pth",
        "b/a.h5": str(Path("b/a.pth")),
    }


def test_file_that_takes_too_long_is_given_up(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_arguments: object, **_options: object) -> None:
        while True:
            pass

    monkeypatch.setattr(worker, "convert", hang)
    monkeypatch.setattr(worker, "FILE_TIMEOUT_S", 0.05)

    outcome = convert_one(Task("model.h5", small_model, tmp_path / "out.pth", {}, replace=False))

    assert outcome.error == "not done after 0.05 s"


def test_fault_of_ours_is_an_outcome(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        msg = "planted"
        raise RuntimeError(msg)

    monkeypatch.setattr(worker, "convert", fail)

    outcome = convert_one(Task("model.h5", small_model, tmp_path / "out.pth", {}, replace=False))

    assert outcome.error == "RuntimeError: planted"
    assert "--debug" in outcome.hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipes_are_passed_over_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "events")
    (tmp_path / "agent.h5").touch()
    opened: list[str] = []
    monkeypatch.setattr(Path, "open", lambda path, *_args: opened.append(path.name))

    assert find_legacy_files(tmp_path, leave_out=tmp_path / "out") == ["agent.h5"]
    assert not opened


@pytest.mark.parametrize("entry", [{"output": 5}, {"output": ["a"], "sha256": None}, {"error": 1}])
def test_manifest_of_other_types_tells_nothing(entry: dict[str, object], tmp_path: Path) -> None:
    written = {"manifest_version": 1, "options": {}, "files": {"a.h5": entry}}
    (tmp_path / "manifest.json").write_text(json.dumps(written))

    assert _read_manifest(tmp_path / "manifest.json", {}) == {"a.h5": Outcome()}
