"""JSON weights of the Royal Game of Ur trainer, in both layouts; `experience.ur_weights` says what is in the file.

Any model with the submodels `value` and `policy` that are such networks can be written, whatever its layers' names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedError
from converters.writers.content import Content
from converters.writers.output_file import OutputFile
from converters.writers.registry import writer
from experience.ur_networks import OUTPUTS
from experience.ur_weights import GAME_LAYOUT, TORCH_LAYOUT, UrWeightsError, format_ur_weights

_NAMES = {
    "F.relu": "relu", "nn.ReLU": "relu", "torch.relu": "relu",
    "torch.tanh": "tanh", "nn.Tanh": "tanh", "F.tanh": "tanh",
    "F.softmax": "softmax", "nn.Softmax": "softmax", "torch.softmax": "softmax",
    "nn.Linear": "linear",
}  # fmt: skip
_LAST = {"value": "tanh", "policy": "softmax"}


@writer("ur-json", suffix=".json", trains=False)
def write_game_layout(file: OutputFile, content: Content) -> None:
    """Write kernels as (in, out), as the game reads them. Raises UnsupportedError for other networks."""
    _write(file, content, GAME_LAYOUT)


@writer("ur-json-torch", suffix=".json", trains=False)
def write_torch_layout(file: OutputFile, content: Content) -> None:
    """Write kernels as (out, in), as the original trainer does. Raises UnsupportedError for other networks."""
    _write(file, content, TORCH_LAYOUT)


def _write(file: OutputFile, content: Content, layout: str) -> None:
    if content.architecture is not None:
        _check_operations(content.architecture)
    tensors = {
        tensor.name: np.concatenate([chunk.copy() for chunk in tensor.chunks()]).reshape(
            tensor.shape
        )
        for tensor in content.tensors
    }
    weights = name_weights(tensors)
    try:
        text = format_ur_weights(
            weights, layout=layout, metadata=training_metadata(content.metadata())
        )
    except UrWeightsError as error:
        raise UnsupportedError(str(error)) from error
    file.write(text.encode("ascii"))


def name_weights(tensors: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
    """Return a torch state under the names of `experience.ur_weights`, kernels (in, out).

    Args:
        tensors: "value.ANY.weight" (out, in), "value.ANY.bias", ..., in the order of the layers.

    Raises:
        UnsupportedError: A tensor belongs to neither network.
    """
    counts = dict.fromkeys(OUTPUTS, 0)
    named = {}
    for name, array in tensors.items():
        network, _, part = name.partition(".")[0], *name.rpartition(".")[1:]
        if network not in OUTPUTS or part not in ("weight", "bias"):
            msg = (
                f"tensor '{name}' is not part of a submodel 'value' or 'policy'; this JSON holds a model of these two, "
                "as torch_impl.ur and legacy_tf.ur have it"
            )
            raise UnsupportedError(msg, hint="give the two networks these names, or write a .pth")
        counts[network] += part == "weight"
        role = "kernel" if part == "weight" else "bias"
        named[f"{network}/fc{counts[network]}/{role}"] = array.T if part == "weight" else array
    return named


def training_metadata(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return the training figures that came with the weights: of a trainer's .pth, or of the JSON it was once."""
    own = metadata.get("training_metadata")
    if isinstance(own, Mapping):
        return dict(own)
    source = metadata.get("input")
    details = source.get("details") if isinstance(source, Mapping) else None
    text = details.get("training") if isinstance(details, Mapping) else None
    if not isinstance(text, str):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}  # written by somebody else; it says nothing that the weights depend on
    return found if isinstance(found, dict) else {}


def _check_operations(architecture: Mapping[str, object]) -> None:
    """Raise UnsupportedError unless both networks are linear layers with ReLU, and tanh or softmax at the end."""
    found: dict[str, list[str]] = {name: [] for name in OUTPUTS}
    steps = cast("Sequence[Mapping[str, Any]]", architecture["steps"])  # Any: plain data
    for step in steps:
        blocks = step.get("blocks") or ()
        network = blocks[0][0] if blocks else ""
        if network in found and step["op"] != "nn.Dropout":
            found[network].append(_NAMES.get(step["op"], step["op"]))
    for network, operations in found.items():
        hidden = max(operations.count("linear") - 1, 0)
        needed = ["linear", "relu"] * hidden + ["linear", _LAST[network]]
        if operations != needed:
            msg = (
                f"the network '{network}' computes {', '.join(operations) or 'nothing'}; the JSON is read as "
                f"{', '.join(needed)}"
            )
            raise UnsupportedError(msg, hint="write a .pth, which holds any network")
