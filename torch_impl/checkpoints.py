"""The .pth contract: one dictionary of tensors and plain data that plain `torch.load` reads.

`torchward convert` and every agent's `save` write it here, every agent's `load` reads it here. Nothing in a file is
ever executed, and a file under its final name is always a whole one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

FORMAT = "torchward"
FORMAT_VERSION = 1
CONTRACT_KEYS = (
    "format",
    "format_version",
    "model_state_dict",
    "optimizer_state_dict",
    "architecture",
    "metadata",
)


class CheckpointError(ValueError):
    """A file that is damaged, unsafe or not of this contract."""


@dataclass(frozen=True, slots=True)
class TorchCheckpoint:
    """What a .pth file holds.

    Attributes:
        model_state_dict: name to tensor, in the module's order.
        optimizer_state_dict: as `torch.optim.Optimizer.state_dict` gave it, or None.
        architecture: plain data from which the module can be built, or None.
        metadata: plain data: provenance, mapping report, agent configuration.
        extras: what an agent stored beside the contract's keys: "target_model_state_dict" and the like.
        contract: False for a file that somebody saved without the contract: a bare state dict, or the usual
            {"model_state_dict", "optimizer_state_dict"}.
    """

    model_state_dict: Mapping[str, Tensor]
    optimizer_state_dict: Mapping[str, object] | None = None
    architecture: Mapping[str, object] | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    extras: Mapping[str, object] = field(default_factory=dict)
    contract: bool = True

    def agent(self, kind: str) -> Mapping[str, Any] | None:  # Any: what the agent's `save` noted
        """Return what an agent of this class noted when it was saved; None for the file of anything else."""
        noted = self.metadata.get("agent")
        return noted if isinstance(noted, Mapping) and noted.get("class") == kind else None


def checkpoint_path(path: str | Path) -> Path:
    """Return where an agent's `save` to this path writes: the name may leave `.pth` out."""
    path = Path(path)
    return path if path.suffix == ".pth" else path.with_name(f"{path.name}.pth")


def write_checkpoint(
    path: str | Path,
    model_state_dict: Mapping[str, Tensor],
    *,
    optimizer_state_dict: Mapping[str, object] | None = None,
    architecture: Mapping[str, object] | None = None,
    metadata: Mapping[str, object] | None = None,
    extras: Mapping[str, object] | None = None,
) -> None:
    """Write the file as a whole or not at all; the same content gives the same bytes.

    Args:
        path: replaced if it exists; its folder must exist.
        model_state_dict: name to tensor, any device; stored as on the CPU.
        optimizer_state_dict: of `torch.optim.Optimizer.state_dict`.
        architecture: plain data.
        metadata: plain data.
        extras: further tensors or plain data under names that the contract does not use.

    Raises:
        CheckpointError: An extra takes a name of the contract, or something is neither tensor nor plain data.
        OSError: The file cannot be written; an older file of that name is untouched.
    """
    content: dict[str, object] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model_state_dict": model_state_dict,
        "optimizer_state_dict": optimizer_state_dict,
        "architecture": architecture,
        "metadata": metadata if metadata is not None else {},
    }
    taken = sorted(set(content) & set(extras or {}))
    if taken:
        msg = f"{path}: extras may not use the contract's names: {', '.join(taken)}"
        raise CheckpointError(msg)
    content.update(extras or {})
    _replace_file(Path(path), cast("dict[str, object]", _plain(content, "file")))


def read_dictionary(
    path: Path, *, needed: str, mapped: bool = False
) -> dict[str, Any]:  # Any: whatever the file holds
    """Return a file of `torch.save` that is a dictionary of tensors and plain data, all tensors on the CPU.

    Args:
        path: of the file.
        needed: a key that it should have, for the message.
        mapped: leave the tensors in the file, for a caller that copies them anyway.

    Raises:
        CheckpointError: The file is damaged, asks for code to be run, or is no dictionary.
        OSError: The file cannot be read.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError:
        raise
    # torch.load ends in pickle, zip, Unicode, end-of-file and runtime errors for files that are not its own.
    except Exception as error:
        reason = (
            str(error)
            .rpartition("WeightsUnpickler error:")[2]
            .strip()
            .partition("\n")[0]
            .partition(". ")[0]
        )
        msg = f"{path}: not readable as tensors and plain data, so nothing was loaded: {reason}"
        raise CheckpointError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path}: found a {type(content).__name__}, needed a dictionary with {needed}"
        raise CheckpointError(msg)
    return content


def read_checkpoint(path: str | Path, *, mapped: bool = False) -> TorchCheckpoint:
    """Return what the file holds, all tensors on the CPU.

    A file without the contract is accepted in the two usual forms: a bare state dict, and
    {"model_state_dict": ..., "optimizer_state_dict": ...} with further keys.

    Args:
        path: of the file.
        mapped: leave the tensors in the file, for a caller that copies them anyway.

    Raises:
        CheckpointError: The file is damaged, asks for code to be run, is of a newer version or of another form.
        OSError: The file cannot be read.
    """
    path = Path(path)
    content = read_dictionary(path, needed="'model_state_dict'", mapped=mapped)
    if "model_state_dict" not in content and content and _is_state_dict(content):
        return TorchCheckpoint(content, contract=False)
    contract = content.get("format") == FORMAT
    _check(path, content, contract)
    return TorchCheckpoint(
        model_state_dict=content["model_state_dict"],
        optimizer_state_dict=content.get("optimizer_state_dict"),
        architecture=content.get("architecture") if contract else None,
        metadata=content["metadata"] if contract else {},
        extras={key: value for key, value in content.items() if key not in CONTRACT_KEYS},
        contract=contract,
    )


def _check(path: Path, content: Mapping[str, object], contract: bool) -> None:
    """Raise CheckpointError with everything that is wrong with the file's keys."""
    if contract and content.get("format_version") != FORMAT_VERSION:
        msg = (
            f"{path}: format_version {content.get('format_version')!r}, this version reads {FORMAT_VERSION}; "
            "use the torchward that wrote it, or a newer one"
        )
        raise CheckpointError(msg)
    problems = []
    if contract:
        missing = [key for key in CONTRACT_KEYS if key not in content]
        problems += [f"{key} is missing" for key in missing]
    if not _is_state_dict(content.get("model_state_dict")):
        problems.append("model_state_dict is not a mapping of names to tensors")
    for key in ("optimizer_state_dict", "architecture", "metadata"):
        value = content.get(key)
        optional = value is None and (key != "metadata" or not contract)
        if not optional and not isinstance(value, Mapping):
            problems.append(f"{key} is a {type(value).__name__}, not a mapping")
    if problems:
        msg = f"{path}: not a torchward checkpoint: {'; '.join(problems)}"
        raise CheckpointError(msg)


def _is_state_dict(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items()
    )


def _plain(value: object, place: str) -> object:
    """Return the value with tensors detached and on the CPU, and only types that weights_only loading accepts."""
    if isinstance(value, Tensor):
        tensor = value.detach().cpu().contiguous()
        # A view would drag the whole storage it looks into along.
        return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
    if isinstance(value, Mapping):
        return {key: _plain(item, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_plain(item, f"{place}[{index}]") for index, item in enumerate(value))
    if isinstance(value, list):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if value is None or type(value) in (bool, int, float, str):
        return value
    msg = f"{place} is a {type(value).__name__}; only tensors and plain data can be stored"
    raise CheckpointError(msg)


def _replace_file(path: Path, content: Mapping[str, object]) -> None:
    """Write beside the target and rename, so that a crash leaves the old file or the new one."""
    if not path.parent.is_dir():
        msg = f"{path}: the folder {path.parent} does not exist; mkdir -p {path.parent}"
        raise FileNotFoundError(msg)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            # Saved to an open file, the archive inside is called "archive"; saved to a path it would carry the
            # file's name, and equal checkpoints would differ in their bytes.
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
