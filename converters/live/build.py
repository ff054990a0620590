"""An `Architecture` and its state made live: the module of a network, or of an agent that acts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from converters.architecture import Architecture
from converters.errors import MismatchError
from converters.live.acting import ConvertedAgent
from converters.live.model import ConvertedModel


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
