"""The layers that Keras's own tests try, as data: configuration, input shapes and types, arguments of the call.

The test files of the installed Keras are run with `run_layer_test` replaced by one that only takes down what it is
given. Nothing of them is copied, and a newer Keras brings its new cases along.
"""
# ruff: noqa: ANN401  # TensorFlow and Keras have no types

from __future__ import annotations

import ast
import importlib
import sys
import unittest
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

RECORDER = "run_layer_test"
PREPROCESSING = "preprocessing"
DETERMINISTIC_IN_TRAINING = ("BatchNormalization",)
MAX_MISSING = 5
"""Packages that a test file may miss; the ones of Keras 3.15.1 miss two at most."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input of a case: its shape with the batch axis, its type, and its values where the test states them."""

    shape: tuple[int, ...]
    dtype: str
    values: NDArray[Any] | None = None  # of any type that Keras takes, strings included


@dataclass(frozen=True, slots=True)
class LayerCase:
    """One use of one layer.

    Attributes:
        name: file, test and number: "core/dense_test.py test_basics 1".
        class_name: of the layer.
        layer: the configuration of the layer with its class, as Keras saves it; None: it could not be had.
        inputs: `Tensor`, or a list, tuple or dict of them: what the layer is called with.
        call: further arguments of the call; arrays are `Tensor`.
        excluded: why the case says nothing about conversion, or "".
    """

    name: str
    class_name: str
    layer: Mapping[str, Any] | None
    inputs: Any  # a tree of Tensor
    call: Mapping[str, Any]
    excluded: str = ""

    @property
    def is_preprocessing(self) -> bool:
        """Return whether the layer is one of Keras's preprocessing."""
        return self.name.startswith(PREPROCESSING)

    @property
    def policy(self) -> str:
        """Return the name of the layer's dtype policy: "float32", "int8_from_mixed_bfloat16"."""
        config = (self.layer or {}).get("config", {})
        policy = config.get("dtype") if isinstance(config, Mapping) else None
        inner = policy.get("config", {}) if isinstance(policy, Mapping) else {}
        mode, source = inner.get("mode"), inner.get("source_name")
        return f"{mode}_from_{source}" if mode else str(inner.get("name") or policy or "")

    @property
    def group(self) -> str:
        """Return the group the case is counted in."""
        if self.is_preprocessing:
            return PREPROCESSING
        if any(word in self.policy for word in ("int8", "int4", "float8")):
            return "quantized"
        return "half" if "16" in self.policy else "float32"


def collect_cases(*only: str) -> list[LayerCase]:
    """Return the cases of the installed Keras's layer tests, in the order of their files.

    Args:
        only: parts of paths below keras/src/layers ("core/dense"); none: all files.
    """
    import keras

    root = Path(str(keras.__file__)).parent / "src" / "layers"
    cases: list[LayerCase] = []
    for path in sorted(root.rglob("*_test.py")):
        place = path.relative_to(root).as_posix()
        methods = _methods(path)
        if methods and (not only or any(part in place for part in only)):
            cases += _collect_file(place, methods)
    return cases


def _methods(path: Path) -> tuple[str, ...]:
    """Return the names of the tests in a file that try a layer; parametrized ones add a suffix."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test")
        and any(
            isinstance(part, ast.Attribute) and part.attr == RECORDER for part in ast.walk(node)
        )
    )


def _collect_file(place: str, methods: tuple[str, ...]) -> list[LayerCase]:
    from keras.src.testing import TestCase  # the class whose method the tests call

    cases: list[LayerCase] = []
    module = _import_tests("keras.src.layers." + place.removesuffix(".py").replace("/", "."))
    for test in _tests(unittest.defaultTestLoader.loadTestsFromModule(module)):
        name = test.id().rsplit(".", 1)[-1]
        if not name.startswith(methods):
            continue
        record = _recorder(f"{place} {name}", cases)
        with mock.patch.object(TestCase, RECORDER, record):
            test.run(unittest.TestResult())  # what the test checks otherwise is not of interest
    return cases


def _import_tests(name: str) -> ModuleType:
    """Return a module of tests; packages that only its checks need (scipy, grain) may be missing."""
    missing: dict[str, mock.MagicMock] = {}
    while len(missing) < MAX_MISSING:
        try:
            with mock.patch.dict(sys.modules, missing):
                return importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing[str(error.name)] = mock.MagicMock()
    msg = f"{name} needs more than {MAX_MISSING} packages that are not installed: {sorted(missing)}"
    raise ImportError(msg)


def _tests(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from _tests(part)
        else:
            yield part


def _recorder(name: str, cases: list[LayerCase]) -> Callable[..., None]:
    """Return what takes the place of `run_layer_test`."""

    def record(
        _test: unittest.TestCase,
        layer_cls: Any,
        init_kwargs: Mapping[str, Any] | None = None,
        input_shape: Any = None,
        input_dtype: Any = None,
        input_data: Any = None,
        call_kwargs: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        case_name = f"{name} {sum(case.name.startswith(f'{name} ') for case in cases)}"
        inputs: Any = None
        excluded = ""
        if rest.get("input_sparse") or rest.get("input_ragged"):
            excluded = "sparse or ragged inputs: torch modules take plain tensors"
        elif input_data is None and input_shape is None:
            excluded = "the test only makes the layer and never calls it"
        else:
            inputs = _inputs(input_shape, input_dtype, input_data)
        layer, why = _configuration(layer_cls, dict(init_kwargs or {}))
        call = {
            key: _tree(value, _is_array, _tensor)
            for key, value in (call_kwargs or {}).items()
            # What draws cannot be compared; at inference it can.
            if key != "training" or layer_cls.__name__ in DETERMINISTIC_IN_TRAINING
        }
        cases.append(LayerCase(case_name, layer_cls.__name__, layer, inputs, call, excluded or why))

    return record


def _configuration(layer_cls: Any, kwargs: dict[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """Return the layer's configuration, or why there is none or why it is foreign code."""
    import keras

    try:
        layer = layer_cls(**kwargs)
        stored = keras.saving.serialize_keras_object(layer)
    except (TypeError, ValueError, NotImplementedError, ImportError) as error:
        return None, f"Keras does not make it: {str(error).splitlines()[0]}"
    own = {layer_cls.__name__} if layer_cls.__module__.endswith("_test") else set()
    foreign = sorted(_foreign(stored) | own)
    return stored, f"code of the test's own: {', '.join(foreign)}" if foreign else ""


def _foreign(stored: Any) -> set[str]:
    """Return the names of classes and functions in a configuration that Keras itself does not have."""
    if isinstance(stored, (list, tuple)):
        return {name for part in stored for name in _foreign(part)}
    if not isinstance(stored, Mapping):
        return set()
    found = {name for part in stored.values() for name in _foreign(part)}
    if stored.get("class_name") in ("__lambda__", "Lambda"):
        found.add(str(stored["class_name"]))
    module = stored.get("module")
    if stored.get("registered_name") and (module is None or str(module).endswith("_test")):
        found.add(str(stored["class_name"]))
    return found


def _inputs(shape: Any, dtype: Any, data: Any) -> Any:
    if data is not None:
        return _tree(data, _is_leaf_data, _tensor)
    if isinstance(shape, dict):
        dtypes = dtype or dict.fromkeys(shape, "float32")
        return {  # shapes are named after arguments of `build`: "query_shape"
            key.removesuffix("_shape"): _inputs(part, dtypes[key], None)
            for key, part in shape.items()
        }
    if all(isinstance(size, int) or size is None for size in shape):
        return Tensor(tuple(size or 3 for size in shape), str(dtype or "float32"))
    dtypes = dtype or ["float32"] * len(shape)
    return type(shape)(_inputs(part, one, None) for part, one in zip(shape, dtypes, strict=True))


def _tree(value: Any, is_leaf: Callable[[Any], bool], change: Callable[[Any], Any]) -> Any:
    if is_leaf(value):
        return change(value)
    if isinstance(value, dict):
        return {key: _tree(part, is_leaf, change) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_tree(part, is_leaf, change) for part in value)
    return value


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _is_leaf_data(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return not any(_is_array(part) for part in value)
    return not isinstance(value, dict)


def _tensor(value: Any) -> Tensor:
    import keras

    array = np.asarray(
        value if isinstance(value, (list, tuple)) else keras.ops.convert_to_numpy(value)
    )
    dtype = str(array.dtype)
    if array.dtype == np.float64 and not hasattr(value, "dtype"):
        dtype = "float32"  # numbers of Python are float32 to Keras
    return Tensor(array.shape, "string" if array.dtype.kind in "USO" else dtype, array)
