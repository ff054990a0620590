"""One case on both sides: built and saved by Keras, converted, run live and as emitted source at two batch sizes."""
# ruff: noqa: ANN401  # TensorFlow and Keras have no types

from __future__ import annotations

import copy
import importlib.util
import json
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import torchward
from converters.errors import ConversionError
from parity_tests.completeness.cases import MODEL, LayerCase, Tensor
from parity_tests.completeness.result import Result
from torch_impl.text_bytes import text_bytes

TOLERANCES = {"float32": 1e-5, "preprocessing": 1e-5, "quantized": 1e-4, "half": 2e-2}
"""Relative to the largest value, at least 1, by group.

float32 and preprocessing: sums of some hundred products in another order, a few ten roundings of 6e-8. quantized: a value
beside a rounding edge moves by one of 127 steps times a weight. half: Keras computes in 7 or 10 bits of mantissa, the
module in 23; so that this hides nothing, such a case must also pass with its policy in float32, within that limit.
"""
HALVES = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")
BATCHES = (2, 5)
FREE_SIZE = 3
"""Of every other axis that may have any size."""
STRINGS = "string"

Run = tuple[int, list[NDArray[Any]], list[NDArray[Any]]]
"""Size of the batch, values of the inputs, and what Keras makes of them."""


class KerasRefusesError(Exception):
    """Keras itself does not build, save or run the case as a model."""


def evaluate(case: LayerCase, folder: Path) -> Result:
    """Return what becomes of a case. Whatever goes wrong in the conversion is a failure, never an exception."""
    if case.excluded:
        return Result(case.name, case.class_name, case.group, "excluded", case.excluded)
    try:
        worst = _compare_case(case, folder)
        if in_float32(case) != case:
            _compare_case(in_float32(case), folder / "float32")
    except KerasRefusesError as error:
        return Result(case.name, case.class_name, case.group, "excluded", f"Keras: {error}")
    except ConversionError as error:
        reason = f"{type(error).__name__}: {error}"
    except AssertionError as error:
        reason = str(error)
    except Exception as error:  # a bug of ours is a failed case, not the end of the run
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {error}"
    else:
        return Result(case.name, case.class_name, case.group, "pass", worst=worst)
    return Result(case.name, case.class_name, case.group, "fail", reason)


def _compare_case(case: LayerCase, folder: Path) -> float:
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.clear_session(free_memory=False)
    model, tensors = _attempt(lambda: _build(case))
    is_free = any(tensor.shape[:1] == (None,) for tensor in tensors)
    _attempt(lambda: model.save(folder / "model.keras"))
    reference = model
    if _has_lora(
        model
    ):  # what it learned is joined with the kernels, and rounded as they are, on the way
        reference = _attempt(lambda: keras.saving.load_model(folder / "model.keras"))
    runs: list[Run] = []
    for batch in BATCHES if is_free else BATCHES[:1]:
        values = [_values(case, tensor, batch, index) for index, tensor in enumerate(tensors)]
        legacy = _flat(_attempt(lambda values=values: _run_legacy(reference, values)))  # type: ignore[misc]
        runs.append((batch, values, legacy))
    torchward.convert(
        folder / "model.keras", folder / "model.pth", source_code=folder / "network.py", force=True
    )
    converted = torchward.load(folder / "model.pth").eval()
    emitted = _load_source(folder / "network.py", converted.architecture.name)
    state = torch.load(folder / "model.pth", weights_only=True)["model_state_dict"]
    emitted.load_state_dict(state)
    emitted.eval()
    _compare_other_files(model, folder, state)
    return max(_compare_run(case, converted, emitted, run) for run in runs)


def _compare_run(case: LayerCase, converted: Any, emitted: torch.nn.Module, run: Run) -> float:
    batch, values, legacy = run
    types = [entry.dtype for entry in converted.architecture.inputs]
    with torch.no_grad():
        inputs = [v.tolist() if v.dtype.kind == "U" else torch.from_numpy(v) for v in values]
        # The source states the types it takes; the live module brings other floats, and words, to them.
        taken = [
            text_bytes(value) if dtype == STRINGS else value.to(getattr(torch, dtype))
            for value, dtype in zip(inputs, types, strict=True)
        ]
        live, source = _flat(converted(*inputs)), _flat(emitted(*taken))
    for index, value in enumerate(live):
        if index >= len(source) or not _same(value, source[index]):
            msg = f"output {index}: the emitted source computes something else than the live module"
            raise AssertionError(msg)
    try:
        return _difference(legacy, live, tolerance_of(case), batch)
    except AssertionError:
        exact = _in_float64(case, values)
        if exact is None:
            raise
        own = _difference(exact, legacy, np.inf, batch)
        return _difference(exact, live, max(tolerance_of(case), own), batch)


def _in_float64(case: LayerCase, values: Sequence[NDArray[Any]]) -> list[NDArray[Any]] | None:
    """Return what Keras makes of the inputs in float64; None where it cannot, or more than rounding would differ.

    Both sides round: where they differ by more than usual, the module may be no further from this than Keras is itself.
    """
    if case.group == "quantized" or case.kind == MODEL:
        return None
    try:
        model, _ = _build(in_type(case, "float64"))
        return _flat(
            _run_legacy(model, [v.astype("float64") if v.dtype.kind == "f" else v for v in values])
        )
    except Exception:  # whatever TensorFlow lacks in float64
        return None


def tolerance_of(case: LayerCase) -> float:
    """Return the limit of a case; layers that are quantized from a half precision compute in that."""
    if case.group == "quantized":
        return TOLERANCES["half" if case.is_half else "quantized"]
    return TOLERANCES["half" if case.is_half else "float32"]


def in_float32(case: LayerCase) -> LayerCase:
    """Return the case with all policies of half precision, and inputs, in float32; the same case if it has none."""
    return in_type(case, "float32") if case.is_half else case


def in_type(case: LayerCase, dtype: str) -> LayerCase:
    """Return the case with all policies, and floating inputs, of lower precision in another type."""
    lower = HALVES if dtype == "float32" else (*HALVES, "float32")

    def changed(tree: Any) -> Any:
        if isinstance(tree, Mapping):
            return {key: changed(part) for key, part in tree.items()}
        if isinstance(tree, (list, tuple)):
            return type(tree)(changed(part) for part in tree)
        for name in lower if isinstance(tree, str) else ():
            if tree == name or tree.endswith(f"_from_{name}"):
                return f"{tree.removesuffix(name)}{dtype}"
        return tree

    def full(tensor: Tensor) -> Tensor:
        return replace(tensor, dtype=dtype) if tensor.dtype in lower else tensor

    return replace(
        case,
        layer=changed(case.layer),
        arguments=_map(case.arguments, full),
        call=_map(dict(case.call), full),
    )


def _attempt(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        first = str(error).strip().splitlines() or [""]
        msg = f"{type(error).__name__}: {first[0]}"
        raise KerasRefusesError(msg) from error


def _build(case: LayerCase) -> tuple[Any, list[Tensor]]:
    """Return the Keras model of a case and its inputs in the order of the model's."""
    import keras

    if case.adapted is None:
        stored = copy.deepcopy(case.layer)  # Keras takes out of it what it has read
        layer = keras.saving.deserialize_keras_object(stored, safe_mode=False)
    else:
        layer = case.adapted
    if case.kind == MODEL:
        _randomize(case, layer)
        return layer, [Tensor(tuple(x.shape), str(x.dtype)) for x in layer.inputs]
    inputs: list[Tensor] = []
    symbols: list[Any] = []

    def symbol(tensor: Tensor) -> Any:
        inputs.append(tensor)
        symbols.append(
            keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=f"x{len(symbols)}")
        )
        return symbols[-1]

    outputs = layer(*_map(case.arguments, symbol), **_map(dict(case.call), symbol))
    model = keras.Model(symbols, outputs)
    _randomize(case, model)
    return model, inputs


def _map(tree: Any, change: Callable[[Tensor], Any]) -> Any:
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _map(part, change) for key, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_map(part, change) for part in tree)
    return tree


def _randomize(case: LayerCase, model: Any) -> None:
    """Fill every weight, so that a wrong order or a left out bias shows; state of preprocessing stays as adapted."""
    if case.is_preprocessing:
        return
    draws = _draws(case, "weights")
    for weight in model.weights:
        name = weight.path.rsplit("/", 1)[-1]
        kind = str(weight.dtype)
        if "seed" in weight.path or kind in ("bool", "uint32", "int32", "int64"):
            continue
        if kind in ("int8", "uint8"):
            low = 0 if kind == "uint8" else -127
            weight.assign(draws.integers(low, 128, weight.shape))
            continue
        value = 0.5 * draws.normal(size=weight.shape)
        value = np.abs(value) + 0.1 if "variance" in name or "scale" in name else value
        weight.assign(_held(case, value, is_scale="scale" in name))
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _values(case: LayerCase, tensor: Tensor, batch: int, index: int) -> NDArray[Any]:
    """Return values of an input for a batch: the test's own, repeated, or drawn."""
    sizes = (batch, *(FREE_SIZE for _ in tensor.shape[1:]))
    shape = tuple(
        free if size is None else size for size, free in zip(tensor.shape, sizes, strict=False)
    )
    if tensor.values is not None and tensor.values.ndim:
        stated = np.resize(tensor.values, shape)
        stated = _held(case, stated) if stated.dtype.kind == "f" else stated
        return stated.astype(np.str_ if tensor.dtype == STRINGS else tensor.dtype)
    draws = _draws(case, f"input {index} {batch}")
    if tensor.dtype == STRINGS:
        return draws.choice(["a", "b", "c d"], shape)
    if tensor.dtype == "bool":
        return draws.integers(0, 2, shape).astype(bool)
    if tensor.dtype.startswith(("int", "uint")) or "Embedding" in json.dumps(case.layer):
        return draws.integers(0, 2, shape).astype(tensor.dtype)
    low_bits = "float32" if tensor.dtype == "bfloat16" else tensor.dtype
    if case.is_preprocessing:
        return draws.uniform(0, 255, shape).astype(low_bits)
    return _held(case, draws.normal(size=shape)).astype(low_bits)


def _held(case: LayerCase, values: NDArray[Any], *, is_scale: bool = False) -> NDArray[Any]:
    """Return values that bfloat16 holds exactly, and scales that are powers of 2, if the case rounds to float8.

    Otherwise Keras rounds twice, to 8 bits and then to 4, where the module rounds once: 1 step of 4 bits apart.
    """
    if not any("float8" in policy for policy in case.policies):
        return values
    if is_scale:
        return np.asarray(np.exp2(np.round(np.log2(values))))
    return np.asarray(torch.from_numpy(np.asarray(values)).to(torch.bfloat16).double())


def _draws(case: LayerCase, purpose: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(f"{case.name} {purpose}".encode()))


def _run_legacy(model: Any, values: Sequence[NDArray[Any]]) -> Any:
    import keras

    outputs = model(list(values) if len(values) > 1 else values[0], training=False)
    return keras.tree.map_structure(
        lambda x: (
            keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
            if str(x.dtype) == "bfloat16"
            else keras.ops.convert_to_numpy(x)
        ),
        outputs,
    )


def _flat(tree: Any) -> list[NDArray[Any]]:
    if isinstance(tree, Mapping):
        return [leaf for key in sorted(tree) for leaf in _flat(tree[key])]
    if isinstance(tree, (list, tuple)):
        return [leaf for part in tree for leaf in _flat(part)]
    if isinstance(tree, torch.Tensor):
        return [(tree.float() if tree.dtype == torch.bfloat16 else tree).numpy()]
    return [np.asarray(tree)]


def _same(first: NDArray[Any], second: NDArray[Any]) -> bool:
    return first.shape == second.shape and np.array_equal(
        first, second, equal_nan=first.dtype.kind == "f"
    )


def _difference(
    legacy: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]], tolerance: float, batch: int
) -> float:
    """Return the largest relative difference. Raises AssertionError with the first that is too large."""
    if len(legacy) != len(found):
        msg = f"Keras gives {len(legacy)} outputs, the module {len(found)}"
        raise AssertionError(msg)
    worst = 0.0
    for index, (x, y) in enumerate(zip(legacy, found, strict=True)):
        if x.shape != y.shape:
            msg = f"output {index} at batch {batch}: legacy {x.shape}, torch {y.shape}"
            raise AssertionError(msg)
        if x.size == 0:
            continue
        left, right = x.astype(np.float64), y.astype(np.float64)
        if not np.array_equal(np.isfinite(left), np.isfinite(right)):
            msg = f"output {index} at batch {batch}: not finite at other places"
            raise AssertionError(msg)
        finite = np.isfinite(left)
        if not np.array_equal(left[~finite], right[~finite], equal_nan=True):
            msg = f"output {index} at batch {batch}: other values that are not finite"
            raise AssertionError(msg)
        largest = max(1.0, float(np.abs(left[finite]).max(initial=0.0)))
        error = float(np.abs(left[finite] - right[finite]).max(initial=0.0)) / largest
        if error > tolerance:
            msg = f"output {index} at batch {batch}: off by {error:.1e}, allowed {tolerance:.0e}"
            raise AssertionError(msg)
        worst = max(worst, error)
    return worst


def _compare_other_files(model: Any, folder: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Convert the `.h5`, and the weights alone with the configuration: the state must be the same."""
    if not model.weights:
        return
    _attempt(lambda: model.save_weights(folder / "model.weights.h5"))
    (folder / "model.json").write_text(model.to_json(), encoding="utf-8")
    for name, architecture in (("model.weights.h5", folder / "model.json"), *_h5(model, folder)):
        torchward.convert(
            folder / name, folder / "other.pth", architecture=architecture, force=True
        )
        other = torch.load(folder / "other.pth", weights_only=True)["model_state_dict"]
        if list(other) != list(state) or not all(
            torch.equal(value, state[key]) for key, value in other.items()
        ):
            msg = f"{name} converts to another state than model.keras"
            raise AssertionError(msg)


def _has_lora(model: Any) -> bool:
    return any("lora" in weight.path for weight in model.weights)


def _h5(model: Any, folder: Path) -> list[tuple[str, None]]:
    """Return the legacy file of the model, if Keras writes one, and one that has kernels whole."""
    if _has_lora(model):
        return []  # `.keras` has what LoRA learned in the kernels, `.h5` beside them
    try:
        model.save(folder / "model.h5")
    except Exception:  # Keras has no such form of this layer
        return []
    return [("model.h5", None)]


def _load_source(path: Path, name: str) -> torch.nn.Module:
    """Return an instance of the class of an emitted file, under a name of its own so that no other is reused."""
    spec = importlib.util.spec_from_file_location(f"emitted_{zlib.crc32(str(path).encode())}", path)
    if spec is None or spec.loader is None:
        msg = f"{path}: not a Python file"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    network: torch.nn.Module = getattr(module, name)()
    return network
