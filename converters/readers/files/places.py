"""Which file to start with when a path is not one file: SavedModel folders and TensorFlow checkpoints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from converters.errors import AmbiguousTargetError, UnreadableFileError
from converters.readers.files.source import quote

STATE = "checkpoint"
_NEWEST = re.compile(r'^model_checkpoint_path: "(?P<path>[^"\n]+)"', re.MULTILINE)
_SHARD = re.compile(r"\.data-\d{5}-of-\d{5}$")
FIRST_SHARD = re.compile(r"(?P<prefix>.+)-00000-of-(?P<count>\d{5})")
"""Of a sharded checkpoint of TensorFlow's first format."""
_NUMBERED = re.compile(r"checkpoint-\d+")
"""Of RLlib."""
_STATE_BYTES = 1024 * 1024


def main_file(path: Path) -> Path:
    """Return the file to open for a path that a user names.

    A folder with `saved_model.pb`, a folder of checkpoints (the newest by its text file `checkpoint`, of which only
    the last part of a name is used), a folder of RLlib, the prefix of a checkpoint, or one of its files; any other path itself.

    Raises:
        UnreadableFileError: A folder that is none of these.
        AmbiguousTargetError: A folder of several checkpoints that does not say which is the newest.
    """
    if path.is_dir():
        return _in_folder(path)
    prefix = _SHARD.sub("", path.name)
    index = path.with_name(f"{prefix}.index")
    if index.is_file() and (prefix != path.name or not path.exists()):
        return index
    return path if path.exists() else _first_shard(path) or path


def _first_shard(path: Path) -> Path | None:
    """Return the first file of a sharded checkpoint of the first format, by its prefix."""
    found = [
        file
        for file in path.parent.glob("*-00000-of-[0-9][0-9][0-9][0-9][0-9]")
        if (match := FIRST_SHARD.fullmatch(file.name)) and match["prefix"] == path.name
    ]
    return found[0] if len(found) == 1 else None


def _in_folder(folder: Path) -> Path:
    name = quote(folder.name or str(folder))[1:-1]
    if (folder / "saved_model.pb").is_file():
        return folder / "saved_model.pb"
    if (folder / "saved_model.pbtxt").is_file():
        msg = f"{name}: is a SavedModel in text form, which is not read."
        raise UnreadableFileError(msg, hint="save it again: saved_model.pb")
    indexes = sorted(folder.glob("*.index"))
    newest = _newest(folder / STATE)
    if newest is not None and folder / f"{newest}.index" in indexes:
        return folder / f"{newest}.index"
    if newest is not None and not indexes:  # of the first format
        found_first = folder / newest if (folder / newest).is_file() else None
        prefix = newest.partition("-?????-of-")[0]  # how TensorFlow writes all shards
        found_first = found_first or _first_shard(folder / prefix)
        if found_first is not None:
            return found_first
    if len(indexes) == 1:
        return indexes[0]
    if indexes:
        found = ", ".join(index.stem for index in indexes[:8])
        msg = f"{name}: holds {len(indexes)} checkpoints ({found}) and does not say which is the newest."
        raise AmbiguousTargetError(msg, hint=f"name one: {folder.name}/{indexes[-1].stem}")
    numbered = sorted(
        file for file in folder.glob("checkpoint-*") if _NUMBERED.fullmatch(file.name)
    )
    if len(numbered) == 1:
        return numbered[0]
    msg = f"{name}: is a folder, not a file."
    hint = f"name a file in it; torchward convert {shlex.quote(str(folder))} -o OUTPUT_FOLDER converts all of them"
    raise UnreadableFileError(msg, hint=hint)


def _newest(state: Path) -> str | None:
    """Return the name of the newest checkpoint; the folder it was in when it was written does not matter."""
    if not state.is_file() or state.is_symlink():
        return None
    with state.open("rb") as file:
        text = file.read(_STATE_BYTES).decode("utf-8", "replace")
    match = _NEWEST.search(text)
    return re.split(r"[/\\]", match["path"])[-1] if match else None
