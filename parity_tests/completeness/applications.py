"""Every network of keras.applications: random weights and statistics, saved, converted, compared and timed.

Nothing is downloaded. Each network has a process of its own: the largest needs some gigabytes, and the times of one
are not those of a process that another has filled. `python -m parity_tests.completeness.applications`. The stored
results are written after every network and keep those of networks that a run leaves out, so that it can be gone on with.
"""
# ruff: noqa: ANN401  # TensorFlow and Keras have no types

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

MAX_RELATIVE_ERROR = 1e-5
SIZE = 64
SIZES = {
    "Xception": 75,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "NASNetLarge": 96,
    "NASNetMobile": 96,
}
"""Inputs that are smaller than usual, so that hundreds of layers take seconds; some networks shrink theirs more."""
BATCHES = (1, 3)
IN_FLOAT64 = ("EfficientNetV2L", "EfficientNetV2M", "EfficientNetV2S")
"""Networks that are chaotic with random weights: a change of the images by 1e-6 changes the output of EfficientNetV2S by
4 %, so that roundings of float32 say nothing. Built, converted and compared in float64."""
SMALL_BLOCKS = ("EfficientNetV2L", "EfficientNetV2M")
"""Of these, those where 1e-12 moves Keras's own output by 37 % (M): their blocks add a fifth of what they would."""
RESIDUAL_SHARE = 0.2
NETWORK_TIMEOUT_S = 900
MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class NetworkResult:
    """What became of a network.

    Attributes:
        error: largest difference of two batches, relative to the largest value of Keras's output.
        convert_s: seconds from the saved .keras to the written .pth and report; no time holds imports.
        load_s: from the .pth to the module.
        keras_load_s: from the saved .keras to the Keras model.
        reason: why it fails; "" if it passes.
    """

    name: str
    parameters: int = 0
    error: float = 0.0
    convert_s: float = 0.0
    load_s: float = 0.0
    keras_load_s: float = 0.0
    reason: str = ""


def list_networks() -> list[str]:
    """Return the names of all networks of the installed Keras."""
    import keras

    return [name for name in dir(keras.applications) if name[0].isupper()]


def evaluate_network(name: str, folder: Path, **arguments: object) -> NetworkResult:
    """Return what becomes of a network; `arguments` of its constructor replace ours."""
    import keras
    import torch

    import torchward
    from converters.errors import ConversionError

    dtype = "float64" if name in IN_FLOAT64 else "float32"
    legacy = _build_network(name, dtype, **arguments)
    randomize_statistics(legacy, np.random.default_rng(zlib.crc32(name.encode())))
    if name in SMALL_BLOCKS:
        shrink_blocks(legacy)
    path = folder / "model.keras"
    legacy.save(path)
    _warm_up(folder)
    started = time.perf_counter()
    try:
        torchward.convert(path, folder / "model.pth")
    except ConversionError as error:
        return NetworkResult(name, legacy.count_params(), reason=" ".join(str(error).split()))
    converted = time.perf_counter()
    model = torchward.load(folder / "model.pth").eval()
    loaded = time.perf_counter()
    keras.saving.load_model(path)
    keras_loaded = time.perf_counter()
    worst = 0.0
    for batch in BATCHES:
        images = _images(name, batch, legacy).astype(dtype)
        expected = legacy(images, training=False).numpy()
        with torch.no_grad():
            found = model(torch.from_numpy(images)).numpy()
        off = float(np.abs(found - expected).max() / np.abs(expected).max())
        worst = off if not off <= worst else worst  # NaN is the worst of all
    return NetworkResult(
        name,
        legacy.count_params(),
        worst,
        converted - started,
        loaded - converted,
        keras_loaded - loaded,
        "" if worst < MAX_RELATIVE_ERROR else f"off by {worst:.1e}",
    )


def _build_network(name: str, dtype: str, **arguments: object) -> Any:
    """Return the network with random weights; its output are logits."""
    import keras

    size = SIZES.get(name, SIZE)
    # Behind a softmax that is all but one-hot, most differences would not show.
    given: dict[str, object] = {
        "weights": None,
        "input_shape": (size, size, 3),
        "classifier_activation": None,
        **arguments,
    }
    standard, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        return getattr(keras.applications, name)(**given)
    finally:
        keras.config.set_floatx(standard)
        keras.config.set_dtype_policy(policy)


def _warm_up(folder: Path) -> None:
    """Import on both sides what loading needs, so that no time holds imports: Keras has been imported anyway."""
    import keras

    import torchward

    path = folder / "small.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    torchward.convert(path, folder / "small.pth")
    torchward.load(folder / "small.pth")
    keras.saving.load_model(path)


def randomize_statistics(model: Any, draws: np.random.Generator) -> None:
    """Fill what Keras initialises with equal numbers: biases, scales and statistics; a swap of two would not show.

    Variances and scales stay around 1, so that hundreds of layers neither blow up nor die out.
    """
    for weight in model.weights:
        name = weight.path.rsplit("/", 1)[-1]
        if name in ("gamma", "moving_variance"):
            weight.assign(draws.uniform(0.7, 1.3, weight.shape))
        elif name in ("beta", "bias", "moving_mean"):
            weight.assign(draws.normal(0.0, 0.1, weight.shape))


def shrink_blocks(model: Any) -> None:
    """Scale down what the last batch normalization of every block lets through."""
    for layer in model.layers:
        if layer.name.endswith("project_bn"):
            layer.gamma.assign(layer.gamma * RESIDUAL_SHARE)


def _images(name: str, batch: int, model: Any) -> Any:
    """Return images in the range the network takes: bytes where it rescales them itself, else about 0."""
    draws = np.random.default_rng(zlib.crc32(f"{name} images {batch}".encode()))
    rescales = any(type(layer).__name__ == "Rescaling" for layer in model.layers)
    low, high = (0, 255) if rescales else (-1, 1)
    return draws.uniform(low, high, (batch, *model.input_shape[1:])).astype(np.float32)


def format_networks(results: Sequence[NetworkResult]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| network | parameters | relative error | convert, s | load, s | Keras loads, s | |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {result.name} | {result.parameters:,} | {result.error:.1e} | {result.convert_s:.2f} | "
        f"{result.load_s:.2f} | {result.keras_load_s:.2f} | {result.reason[:MAX_REASON] or 'pass'} |"
        for result in results
    ]
    passed = sum(not result.reason for result in results)
    quicker = sum(not r.reason and r.convert_s + r.load_s < r.keras_load_s for r in results)
    lines += [
        "",
        f"{passed} of {len(results)} pass; {quicker} converted and loaded in less time than Keras loads.",
    ]
    return "\n".join(lines) + "\n"


def write_networks(path: Path, results: Sequence[NetworkResult]) -> None:
    """Write results with the versions of the two sides, by name."""
    ordered = sorted(results, key=lambda result: result.name)
    content = {
        "versions": {name: version(name) for name in ("keras", "torch")},
        "networks": [asdict(result) for result in ordered],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_networks(path: Path) -> list[NetworkResult]:
    """Return what `write_networks` wrote."""
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return [NetworkResult(**network) for network in content["networks"]]


def _run_in_process(name: str) -> NetworkResult:
    command = [sys.executable, "-m", "parity_tests.completeness.applications", "--one", name]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=NETWORK_TIMEOUT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return NetworkResult(name, reason=f"no result after {NETWORK_TIMEOUT_S} s")
    if done.returncode:
        last = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return NetworkResult(name, reason=last[-1])
    data: Mapping[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return NetworkResult(**data)


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; return 0 if every network passes."""
    parser = argparse.ArgumentParser(prog="python -m parity_tests.completeness.applications")
    parser.add_argument("names", nargs="*", help="networks; none: all")
    parser.add_argument("--one", help="run this one in this process and print its result as JSON")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--table", type=Path, help="write the table here, too")
    chosen = parser.parse_args(arguments)
    if chosen.one:
        with tempfile.TemporaryDirectory() as folder:
            result = evaluate_network(chosen.one, Path(folder))
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
        return 0
    results: dict[str, NetworkResult] = {}
    if chosen.json and chosen.json.exists():
        results = {result.name: result for result in read_networks(chosen.json)}
    for name in chosen.names or list_networks():
        results[name] = _run_in_process(name)
        if chosen.json:
            write_networks(chosen.json, list(results.values()))
    table = format_networks(sorted(results.values(), key=lambda result: result.name))
    sys.stdout.write(table)
    if chosen.table:
        chosen.table.write_text(table, encoding="utf-8")
    return 0 if not any(result.reason for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
