"""Weights of the two Ur networks as JSON: the file that trainer, game and other programs exchange.

A network is one flat list, layer after layer: the kernel row by row, then the biases. Rows are what the two layouts
disagree about. The game reads kernels as (in, out); the original trainer wrote torch's (out, in), and its converter
copied the list unchanged, which scrambles every kernel without an error. Files written here name their layout.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from experience.ur_networks import FEATURES, HIDDEN_SIZES, OUTPUTS, layer_shapes

TORCH_LAYOUT = "output-input-row-major-v1"
GAME_LAYOUT = "input-output-row-major-v1"
LAYOUTS = (TORCH_LAYOUT, GAME_LAYOUT)
VERSIONS: Mapping[str, str] = {TORCH_LAYOUT: "pytorch_v1", GAME_LAYOUT: "rust_v1"}
"""What `metadata.version` says in the files of each layout."""
MAX_FILE_BYTES = 256 * 1024**2
"""A file of the original's networks has 4 MB; this bounds what is read of a hostile one."""
MAX_LAYERS = 64
MAX_UNITS = 65_536

Weights = Mapping[str, NDArray[np.floating]]
"""By name: "value/fc1/kernel" (in, out), "value/fc1/bias" (out,), ..., "policy/fc5/bias"."""


class UrWeightsError(ValueError):
    """The file is not one of weights for the Ur networks; the message is one line."""


@dataclass(frozen=True, slots=True)
class UrWeights:
    """The content of a file.

    Attributes:
        weights: both networks.
        layout: in which the file has its kernels; here they are (in, out), always.
        hidden_sizes: of both networks.
        metadata: as the file has it.
    """

    weights: Weights
    layout: str
    hidden_sizes: tuple[int, ...]
    metadata: Mapping[str, object]


def read_ur_weights(path: str | Path, *, layout: str | None = None) -> UrWeights:
    """Return the weights of a file.

    Args:
        path: JSON.
        layout: overrules what the file says.

    Raises:
        UrWeightsError: No such file, too large, no JSON, or not of these networks: a key is missing, a list is too
            short or too long, something is no finite number, or nothing tells the layout.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            msg = f"{path}: has {size:,} bytes; files of weights are read up to {MAX_FILE_BYTES:,}"
            raise UrWeightsError(msg)
        text = path.read_text("utf-8")
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise UrWeightsError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: is no JSON of weights: it is no text"
        raise UrWeightsError(msg) from error
    return parse_ur_weights(text, path.name, layout=layout)


def parse_ur_weights(text: str, file: str, *, layout: str | None = None) -> UrWeights:
    """Return the weights in a JSON text; `file` is its name in messages. Raises UrWeightsError."""
    try:
        content = json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeated
        )
        if not isinstance(content, dict):
            _refuse(f"found a {type(content).__name__}, needed an object with 'value_weights'")
        flat = {name: _numbers(content, f"{name}_weights") for name in OUTPUTS}
        sizes = _hidden_sizes(content)
        metadata = content.get("metadata", {})
        if not isinstance(metadata, dict):
            _refuse(f"'metadata' is a {type(metadata).__name__}, needed an object")
        found = layout or _find_layout(content, metadata)
        dtype = content.get("dtype", "float32")
        if dtype not in ("float32", "float64"):
            _refuse(f"'dtype' is {dtype!r}, needed float32 or float64")
        weights = {
            f"{name}/{part}": array
            for name in OUTPUTS
            for part, array in split_weights(
                flat[name], name, hidden_sizes=sizes, layout=found
            ).items()
        }
    except RecursionError as error:
        msg = f"{file}: is nested too deeply for a file of weights"
        raise UrWeightsError(msg) from error
    except json.JSONDecodeError as error:
        msg = f"{file}: is no JSON, or was cut off: {error}; copy or export the weights again"
        raise UrWeightsError(msg) from error
    except ValueError as error:
        msg = f"{file}: {error}"
        raise UrWeightsError(msg) from error
    with np.errstate(over="ignore"):
        arrays = {name: array.astype(dtype, order="C") for name, array in weights.items()}
    large = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if large:
        msg = f"{file}: {large[0]} has a number that is no finite {dtype}"
        raise UrWeightsError(msg)
    return UrWeights(arrays, found, sizes, metadata)


def write_ur_weights(
    path: str | Path,
    weights: Weights,
    *,
    layout: str = TORCH_LAYOUT,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """Write the file as a whole or not at all.

    Args:
        path: replaced if it exists; its folder must exist.
        weights: both networks, of one dtype.
        layout: one of `LAYOUTS`.
        metadata: plain data; `version` is added, by layout.

    Raises:
        UrWeightsError: A weight is not a finite number, or the arrays are not those of such networks.
        OSError: The file cannot be written; an older one of that name is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    text = format_ur_weights(weights, layout=layout, metadata=metadata or {})
    try:
        with temporary.open("x", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def format_ur_weights(weights: Weights, *, layout: str, metadata: Mapping[str, object]) -> str:
    """Return the JSON text. Raises UrWeightsError as `write_ur_weights` does."""
    if layout not in LAYOUTS:
        msg = f"there is no layout {layout!r}; there are {', '.join(LAYOUTS)}"
        raise UrWeightsError(msg)
    sizes = find_hidden_sizes(weights)
    wrong = [name for name, array in weights.items() if not np.isfinite(array).all()]
    if wrong:
        msg = f"weights with NaN or infinity are not written: {', '.join(wrong)}"
        raise UrWeightsError(msg)
    dtype = np.result_type(*weights.values())
    content: dict[str, object] = {
        "weight_layout": layout,
        **({"dtype": "float64"} if dtype == np.float64 else {}),
        "network_config": {
            f"{name}_network": {
                "input_size": FEATURES,
                "hidden_sizes": list(sizes),
                "output_size": outputs,
            }
            for name, outputs in OUTPUTS.items()
        },
        "metadata": {**metadata, "version": VERSIONS[layout]},
        **{
            f"{name}_weights": _shortest(join_weights(weights, name, layout=layout))
            for name in OUTPUTS
        },
    }
    return json.dumps(content, allow_nan=False) + "\n"


def find_hidden_sizes(weights: Weights) -> tuple[int, ...]:
    """Return the hidden sizes of both networks.

    Raises:
        UrWeightsError: The arrays are not those of two such networks.
    """
    kernels = [
        array for name, array in weights.items() if name.startswith("value/") and array.ndim == 2
    ]
    sizes = tuple(array.shape[1] for array in kernels[:-1])
    needed = {
        f"{name}/{layer}/{part}": shape if part == "kernel" else shape[1:]
        for name, outputs in OUTPUTS.items()
        for layer, shape in layer_shapes(outputs, sizes).items()
        for part in ("kernel", "bias")
    }
    found = {name: array.shape for name, array in weights.items()}
    if found != needed:
        odd = min(set(found.items()) ^ set(needed.items()))
        msg = f"the arrays are not those of a value and a policy network of {FEATURES} features: {odd[0]} {odd[1]}"
        raise UrWeightsError(msg)
    return sizes


def join_weights(weights: Weights, network: str, *, layout: str) -> NDArray[np.floating]:
    """Return one network's weights as the flat list of a file, (numbers,)."""
    parts = []
    for name, array in weights.items():
        if name.startswith(f"{network}/"):
            turned = array.T if array.ndim == 2 and layout == TORCH_LAYOUT else array
            parts.append(turned.reshape(-1))
    return np.concatenate(parts)


def split_weights(
    flat: NDArray[np.floating], network: str, *, hidden_sizes: Sequence[int], layout: str
) -> dict[str, NDArray[np.floating]]:
    """Return a flat list as "fc1/kernel" (in, out), "fc1/bias" (out,), ...

    Args:
        flat: (numbers,).
        network: "value" or "policy".
        hidden_sizes: of the network.
        layout: one of `LAYOUTS`.

    Raises:
        UrWeightsError: No such layout, or the network has another number of weights.
    """
    if layout not in LAYOUTS:
        _refuse(f"there is no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    shapes = layer_shapes(OUTPUTS[network], hidden_sizes)
    needed = sum((rows + 1) * columns for rows, columns in shapes.values())
    if len(flat) != needed:
        sizes = "-".join(map(str, (FEATURES, *hidden_sizes, OUTPUTS[network])))
        _refuse(f"'{network}_weights' has {len(flat):,} numbers, needed {needed:,} for {sizes}")
    arrays, start = {}, 0
    for layer, (rows, columns) in shapes.items():
        kernel = flat[start : start + rows * columns]
        turned = kernel.reshape(columns, rows).T if layout == TORCH_LAYOUT else kernel
        arrays[f"{layer}/kernel"] = turned.reshape(rows, columns)
        start += rows * columns
        arrays[f"{layer}/bias"] = flat[start : start + columns]
        start += columns
    return arrays


def _numbers(content: Mapping[str, Any], key: str) -> NDArray[np.float64]:  # Any: parsed JSON
    """Return a list of the file as an array. Raises UrWeightsError for anything but a list of finite numbers."""
    values = content.get(key)
    if not isinstance(values, list):
        _refuse(
            f"'{key}' is {'missing' if values is None else type(values).__name__}, needed a list"
        )
    # True would pass as 1.0 otherwise.
    odd = next((v for v in values if type(v) is not float and type(v) is not int), None)
    if odd is not None or any(value is None for value in values):
        _refuse(f"'{key}' holds {json.dumps(odd)[:40]} among its numbers")
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        _refuse(f"'{key}' holds a number that is no float64")
    if not np.isfinite(array).all():
        _refuse(f"'{key}' holds a number that is not finite")
    return array


def _hidden_sizes(content: Mapping[str, Any]) -> tuple[int, ...]:  # Any: parsed JSON
    """Return what `network_config` says, or the original's sizes: its converter leaves the entry out."""
    config = content.get("network_config")
    if config is None:
        return HIDDEN_SIZES
    found = []
    for name, outputs in OUTPUTS.items():
        stated = config.get(f"{name}_network") if isinstance(config, dict) else None
        if not isinstance(stated, dict):
            _refuse(f"'network_config' has no object '{name}_network'")
        sizes = stated.get("hidden_sizes")
        if not isinstance(sizes, list) or not 1 <= len(sizes) <= MAX_LAYERS:
            _refuse(f"{name}_network.hidden_sizes is no list of 1 to {MAX_LAYERS} sizes")
        if not all(type(size) is int and 1 <= size <= MAX_UNITS for size in sizes):
            _refuse(f"{name}_network.hidden_sizes has something else than 1 to {MAX_UNITS:,} units")
        ends = (stated.get("input_size", FEATURES), stated.get("output_size", outputs))
        if ends != (FEATURES, outputs):
            _refuse(f"{name}_network has sizes {ends}, needed {(FEATURES, outputs)}")
        found.append(tuple(sizes))
    if found[0] != found[1]:
        _refuse(f"the hidden sizes are {found[0]} and {found[1]}; networks of equal ones are read")
    return found[0]


def _find_layout(content: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Return the layout that the file names, or that follows from who wrote it.

    Only the original's torch trainer writes `best_validation_loss` and `network_config`, and the converter beside it
    keeps the first when it writes `rust_v1` over the version, with the lists unchanged.
    """
    stated = content.get("weight_layout")
    if stated is not None:
        return str(stated)
    version = str(metadata.get("version", ""))
    if version.startswith("pytorch") or "best_validation_loss" in metadata:
        return TORCH_LAYOUT
    if version.startswith("rust"):
        return GAME_LAYOUT
    msg = "nothing in the file tells the layout of its kernels; name it with --layout"
    raise UrWeightsError(msg)


def _shortest(flat: NDArray[np.floating]) -> list[float]:
    """Return numbers that JSON prints with the fewest digits that give the same float32 (or float64) again."""
    return [float(str(number)) for number in flat] if flat.dtype == np.float32 else flat.tolist()


def _refuse(what: str) -> NoReturn:
    raise UrWeightsError(what)


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"holds {name}, which is no number of JSON")


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # Any: parsed JSON
    content = dict(pairs)
    if len(content) != len(pairs):
        _refuse("an object has one key twice")
    return content
