"""An `Architecture` and its state, or a whole plan, made live: the module of a network, or of an agent that acts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from converters.architecture import Architecture
from converters.errors import MismatchError
from converters.live.acting import ConvertedAgent
from converters.live.model import ConvertedModel
from converters.moves import Move
from converters.planned import Plan


def build_model(architecture: Architecture, state: Mapping[str, Tensor]) -> ConvertedModel:
    """Return the module of an architecture with its state, in evaluation mode.

    Raises:
        UnreadableFileError: The architecture asks for something that is not in the closed table.
        MismatchError: State and architecture do not belong together.
    """
    # On the meta device nothing is allocated, whatever sizes the architecture claims; the stored tensors then
    # become the parameters.
    try:
        with torch.device("meta"):
            kind = ConvertedModel if architecture.action is None else ConvertedAgent
            model = kind(architecture)
        model.load_state_dict(dict(state), strict=True, assign=True)
    except (RuntimeError, TypeError, ValueError) as error:
        msg = f"the model's state does not fit its architecture: {error}"
        raise MismatchError(msg) from error
    return model.eval()


def build_planned(plan: Plan) -> ConvertedModel:
    """Return the module of a plan, with what its moves make of the stored arrays."""
    return build_model(plan.architecture, {move.target: tensor_of(move) for move in plan.moves})


def tensor_of(move: Move) -> Tensor:
    """Return the tensor that a move makes."""
    array = np.asarray(move.layout.apply(move.source.read()))
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
