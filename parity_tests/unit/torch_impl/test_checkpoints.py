from __future__ import annotations

import os
import pickle  # noqa: TID251  plants a file that would run code
from pathlib import Path
from typing import Any

import pytest
import torch

from torch_impl.checkpoints import (
    CheckpointError,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)

STATE = {"fc1.weight": torch.arange(6.0).reshape(2, 3), "fc1.bias": torch.zeros(2)}


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("executed",)


def test_file_is_the_contract_for_plain_torch_load(tmp_path: Path) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}

    write_checkpoint(
        tmp_path / "a.pth", STATE, optimizer_state_dict=optimizer, metadata={"note": "x"}
    )

    content = torch.load(tmp_path / "a.pth", weights_only=True)
    assert list(content) == [
        "format",
        "format_version",
        "model_state_dict",
        "optimizer_state_dict",
        "architecture",
        "metadata",
    ]
    assert (content["format"], content["format_version"]) == ("torchward", 1)
    assert content["architecture"] is None
    assert content["metadata"] == {"note": "x"}
    assert torch.equal(content["model_state_dict"]["fc1.weight"], STATE["fc1.weight"])


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_checkpoint(
        tmp_path / "a.pth", STATE, architecture={"steps": []}, extras={"target": STATE}
    )

    checkpoint = read_checkpoint(tmp_path / "a.pth")

    assert checkpoint.contract
    assert list(checkpoint.model_state_dict) == list(STATE)
    assert (checkpoint.optimizer_state_dict, checkpoint.architecture) == (None, {"steps": []})
    assert list(checkpoint.extras) == ["target"]


def test_bytes_do_not_depend_on_the_name(tmp_path: Path) -> None:
    for name in ("a.pth", "longer-name.pth"):
        write_checkpoint(tmp_path / name, STATE)

    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "longer-name.pth").read_bytes()


def test_view_does_not_drag_its_storage_along(tmp_path: Path) -> None:
    view = torch.zeros(1_000_000)[:3]

    write_checkpoint(tmp_path / "a.pth", {"w": view})

    assert (tmp_path / "a.pth").stat().st_size < 10_000


def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pth"
    write_checkpoint(path, STATE)
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, {"w": torch.ones(1)})

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_extra_under_a_name_of_the_contract_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="contract's names: metadata"):
        write_checkpoint(tmp_path / "a.pth", STATE, extras={"metadata": {}})


def test_content_that_only_unsafe_loading_reads_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"file\['metadata'\]\['path'\] is a .*Path"):
        write_checkpoint(tmp_path / "a.pth", STATE, metadata={"path": tmp_path})
    assert list(tmp_path.iterdir()) == []


def test_file_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state_dict": Bomb()}, tmp_path / "bomb.pth", pickle_module=pickle)

    with pytest.raises(CheckpointError, match="nothing was loaded"):
        read_checkpoint(tmp_path / "bomb.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("keep", [0, 10, 400], ids=["empty", "ten-bytes", "half"])
def test_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.pth"
    write_checkpoint(path, STATE)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(CheckpointError, match=r"a\.pth: not readable"):
        read_checkpoint(path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder .*none does not exist; mkdir -p "):
        write_checkpoint(tmp_path / "none" / "a.pth", STATE)


def test_missing_file_is_an_ordinary_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([STATE], "found a list"),
        ({"weights": 1}, "model_state_dict is not a mapping"),
        ({"model_state_dict": {"w": 1.0}}, "model_state_dict is not a mapping"),
        (
            {"model_state_dict": STATE, "optimizer_state_dict": [1]},
            "optimizer_state_dict is a list",
        ),
        ({"format": "torchward", "format_version": 2}, "format_version 2, this version reads 1"),
        (
            {"format": "torchward", "format_version": 1, "model_state_dict": STATE},
            "architecture is missing; metadata is missing",
        ),
    ],
    ids=["list", "no-state", "numbers", "optimizer", "newer", "keys"],
)
def test_file_of_another_form_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")

    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "content",
    [STATE, {"model_state_dict": STATE, "optimizer_state_dict": None, "epoch": 3}],
    ids=["bare", "usual"],
)
def test_file_without_the_contract_is_read(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "a.pth")

    checkpoint = read_checkpoint(tmp_path / "a.pth")

    assert not checkpoint.contract
    assert torch.equal(checkpoint.model_state_dict["fc1.weight"], STATE["fc1.weight"])


@pytest.mark.parametrize(
    ("given", "wanted"), [("a", "a.pth"), ("a.pth", "a.pth"), ("v1.2", "v1.2.pth")]
)
def test_an_agents_path_may_leave_the_suffix_out(given: str, wanted: str) -> None:
    assert checkpoint_path(f"runs/{given}") == Path("runs") / wanted
