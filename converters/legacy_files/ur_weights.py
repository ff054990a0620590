"""The ways of the Ur trainer's JSON that neither `convert` nor a Keras record covers: from .pth, and straight to .h5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.convert import convert
from converters.errors import UnsupportedError
from converters.writers.output_file import OutputFile
from converters.writers.ur_weights_json import name_weights, training_metadata
from experience.ur_weights import GAME_LAYOUT, UrWeightsError, format_ur_weights
from torch_impl.checkpoints import TorchCheckpoint


def write_ur_json(file: OutputFile, checkpoint: TorchCheckpoint) -> dict[str, NDArray[np.floating]]:
    """Write the two networks of a torch file in the game's layout, and return their weights by name.

    Args:
        file: to write to; the caller finishes and commits it.
        checkpoint: of `torch_impl.ur.UrTrainer.save`, of `torchward convert`, or of such a module's state.

    Raises:
        UnsupportedError: The file has other networks.
    """
    tensors = {name: tensor.numpy() for name, tensor in checkpoint.model_state_dict.items()}
    weights = name_weights(tensors)
    metadata: Mapping[str, object] = training_metadata(checkpoint.metadata)
    try:
        text = format_ur_weights(weights, layout=GAME_LAYOUT, metadata=metadata)
    except UrWeightsError as error:
        raise UnsupportedError(str(error)) from error
    file.write(text.encode("ascii"))
    return weights


def convert_ur_json(source: Path, folder: Path) -> Path:
    """Return a .pth of the JSON, made in the folder, from which `export` goes on. Raises ConversionError."""
    target = folder / f"{source.stem}.pth"
    convert(source, target)
    return target
