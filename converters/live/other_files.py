"""What a file is that was named where a converted one is needed, for the one line that says so."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile


@dataclass(frozen=True, slots=True)
class OtherFile:
    """A kind of zip archive that is no file of torch.save.

    Attributes:
        member: a file that only this kind holds, at the top or in the archive's one folder.
        what: it is.
        hint: what to do with it; {path} stands for its path, {word} for that as a shell takes it.
    """

    member: str
    what: str
    hint: str


_KINDS = (
    OtherFile("archive_format", "a program of torch.export", "torch.export.load({path!r}).module()"),
    OtherFile("config.json", "a legacy file (.keras), not a converted one", "torchward convert {word}"),
    OtherFile("policy.pth", "an agent of stable_baselines3", "load it there, for example PPO.load({path!r})"),
)  # fmt: skip


def is_torch_file(path: Path) -> bool:
    """Return whether torch.save wrote the file, damaged or not: a pickle, or an archive with one in it."""
    with path.open("rb") as file:
        start = file.read(4)
    if start != b"PK\x03\x04":
        return start[:1] == b"\x80"  # every protocol from 2 on begins so
    try:
        with ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (OSError, BadZipFile, ValueError):
        return True


def describe_other_file(path: Path) -> tuple[str, str | None]:
    """Return what the file is instead of a converted one, and a hint if its kind is known."""
    try:
        with ZipFile(path) as archive:
            members = {name.partition("/")[2] or name for name in archive.namelist()}
            members.update(archive.namelist())
    except (OSError, BadZipFile, ValueError):
        is_onnx = path.suffix == ".onnx"
        return ("a graph of ONNX" if is_onnx else "no file of torch.save"), None
    for kind in _KINDS:
        if kind.member in members:
            return kind.what, kind.hint.format(path=str(path), word=shlex.quote(str(path)))
    if all(name.endswith(".npy") for name in members):
        return "a file of numpy arrays, not a converted one", f"recorded ones: --expected {path}"
    return "an archive, but no file of torch.save", None
