"""A converted model that was trained on, saved so that `torchward.load` and `torchward.export` work again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import nn
from torch.optim import Optimizer

from converters.errors import MismatchError, OutputError, UnsupportedError
from converters.live.load import METADATA_ATTRIBUTE, read_converted
from converters.live.model import ConvertedModel
from torch_impl.checkpoints import CheckpointError, write_checkpoint
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer


def save(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: Optimizer | None = None,
    *,
    like: str | os.PathLike[str] | None = None,
) -> None:
    """Write model and optimizer as a .pth like the converted file; an older file of that name is replaced.

    Args:
        path: ends with .pth.
        model: from `torchward.load`, or with `like` the module of `--source-code`, whose state has the same names.
        optimizer: its state goes into the file; None: the file has no optimizer state.
        like: the converted file the model comes from, for a module that `torchward.load` did not make.

    Raises:
        UnsupportedError: Nothing says where the model comes from, or the file would not be a .pth.
        MismatchError: The model's state has other names than the converted file.
        OutputError: The file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in (".pth", ".pt"):
        msg = f"{target}: models are saved as .pth"
        raise UnsupportedError(msg, hint="end the name with .pth")
    metadata, architecture = _origin(model, None if like is None else Path(like))
    state = model.state_dict()
    tensors = metadata.get("tensors")
    names = {str(entry["target"]) for entry in tensors} if isinstance(tensors, list) else set(state)
    if set(state) != names:
        differing = sorted(set(state) ^ names)
        msg = f"{target}: the model is not the converted one; in one of them only: {', '.join(differing[:5])}"
        raise MismatchError(msg)
    about = metadata.get("optimizer")
    if optimizer is not None:
        metadata = {**metadata, "optimizer": _about(model, optimizer, about)}
    try:
        write_checkpoint(
            target,
            state,
            optimizer_state_dict=None if optimizer is None else optimizer.state_dict(),
            architecture=architecture,
            metadata=metadata,
        )
    except CheckpointError as error:
        msg = f"{target}: {error}"
        raise UnsupportedError(msg) from error
    except OSError as error:
        msg = f"{target}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


def _origin(
    model: nn.Module, like: Path | None
) -> tuple[Mapping[str, object], Mapping[str, object] | None]:
    """Return metadata and architecture of the converted file that a model comes from."""
    if like is not None:
        checkpoint = read_converted(like)
        return checkpoint.metadata, checkpoint.architecture
    metadata = getattr(model, METADATA_ATTRIBUTE, None)
    if not isinstance(model, ConvertedModel) or not isinstance(metadata, Mapping):
        msg = f"{type(model).__name__} does not say which converted file it comes from"
        raise UnsupportedError(
            msg, hint="name that file: torchward.save(path, model, like='agent.pth')"
        )
    return cast("Mapping[str, object]", metadata), model.architecture.to_data()


def _about(model: nn.Module, optimizer: Optimizer, stored: object) -> dict[str, object]:
    """Return what a converted file says of its optimizer, brought up to date."""
    about = dict(stored) if isinstance(stored, Mapping) else {"options": {}}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if any(id(parameter) not in names for parameter in parameters):
        msg = f"the {type(optimizer).__name__} has parameters that are not the model's"
        raise MismatchError(msg)
    package = "keras_compat" if isinstance(optimizer, KerasOptimizer) else "torch.optim"
    about["class"] = f"{package}.{type(optimizer).__name__}"
    about["parameters"] = [names[id(parameter)] for parameter in parameters]
    if isinstance(optimizer, KerasOptimizer):
        about["iterations"] = int(optimizer.param_groups[0]["iterations"])
    return about
