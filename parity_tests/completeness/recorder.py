"""Takes down what one of Keras's tests builds and calls while it runs."""
# ruff: noqa: ANN401  # TensorFlow and Keras have no types

from __future__ import annotations

import io
import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from parity_tests.completeness.cases import (
    LAYER,
    MODEL,
    OPERATION,
    LayerCase,
    Tensor,
    tensors_of,
)

FOREIGN_CODE = ("__lambda__", "Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper")
DETERMINISTIC_IN_TRAINING = ("BatchNormalization",)
MAX_ELEMENTS = 1_000_000
"""Of one input: a few tests of Keras try sizes, not computations."""


class Recorder:
    """The cases of one test, and the patches that find them.

    Attributes:
        cases: in the order in which the test makes them, models last.
    """

    def __init__(self, name: str) -> None:
        self.cases: list[LayerCase] = []
        self._name = name
        self._models: list[Any] = []
        self._depth = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take down what happens inside; models as they are when it ends."""
        from keras.src import Sequential, layers, ops
        from keras.src.models import Functional
        from keras.src.testing import TestCase
        from keras.src.trainers.trainer import Trainer

        with ExitStack() as stack:
            for owner, name, replacement in (
                (TestCase, "run_layer_test", self._given()),
                (layers.Layer, "__call__", self._calls(layers.Layer.__call__)),
                (ops.Operation, "__call__", self._calls(ops.Operation.__call__)),
                (Functional, "__init__", self._made(Functional.__init__)),
                (Sequential, "__init__", self._made(Sequential.__init__)),
                (Trainer, "fit", lambda *_given, **_named: None),  # what is learned is drawn anew
            ):
                stack.enter_context(mock.patch.object(owner, name, replacement))
            stack.enter_context(redirect_stdout(io.StringIO()))
            yield
        for model in self._models:
            self._add_model(model)

    def _given(self) -> Callable[..., None]:
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
            call = _call_of(layer_cls, call_kwargs or {})
            try:
                layer = layer_cls(**dict(init_kwargs or {}))
            except (TypeError, ValueError, NotImplementedError, ImportError) as error:
                why = f"Keras does not make it: {str(error).splitlines()[0]}"
                self.cases.append(LayerCase(self._next(), layer_cls.__name__, None, (), call, why))
                return
            excluded = ""
            arguments: tuple[Any, ...] = ()
            if rest.get("input_sparse") or rest.get("input_ragged"):
                excluded = "sparse or ragged inputs: torch modules take plain tensors"
            elif input_data is None and input_shape is None:
                excluded = "the test only makes the layer and never calls it"
            else:
                inputs = _inputs(input_shape, input_dtype, input_data)
                if isinstance(inputs, dict):
                    call = {**inputs, **call}
                else:
                    arguments = (inputs,)
            self._add(layer, arguments, call, excluded=excluded)

        return record

    def _calls(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a `__call__` that takes down the outermost calls and computes as before."""

        def call(layer: Any, *arguments: Any, **kwargs: Any) -> Any:
            if self._depth == 0:
                self._note(layer, arguments, kwargs)
            self._depth += 1
            try:
                return original(layer, *arguments, **kwargs)
            finally:
                self._depth -= 1

        return call

    def _made(self, original: Callable[..., None]) -> Callable[..., None]:
        """Return an `__init__` of models that notes the model, and nothing that it calls."""

        def make(model: Any, *arguments: Any, **kwargs: Any) -> None:
            if self._depth == 0:
                self._models.append(model)
            self._depth += 1
            try:
                original(model, *arguments, **kwargs)
            finally:
                self._depth -= 1

        return make

    def _note(self, layer: Any, arguments: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        try:
            given = _tree(arguments, _is_array, _tensor)
            call = _call_of(type(layer), kwargs)
        except Exception:  # what cannot be read is no tensor: sparse, ragged, a test's own class
            return
        if any(tensors_of((given, call))):
            self._add(layer, given, call)

    def _add(
        self, layer: Any, arguments: tuple[Any, ...], call: Mapping[str, Any], *, excluded: str = ""
    ) -> None:
        from keras.src.layers import Layer

        stored, why = _configuration(layer)
        kind = LAYER if isinstance(layer, Layer) else OPERATION
        case = LayerCase(
            self._next(), type(layer).__name__, stored, arguments, call, excluded or why
        )
        case = replace(case, kind=kind, adapted=layer if hasattr(layer, "adapt") else None)
        if kind == LAYER and not getattr(layer, "stateful", False):
            case = _with_free_batch(case)
        if all(np.prod([size or 1 for size in x.shape]) <= MAX_ELEMENTS for x in case.inputs):
            self.cases.append(case)

    def _add_model(self, model: Any) -> None:
        inner = {id(getattr(other, "_functional", None)) for other in self._models}
        if id(model) in inner or not getattr(model, "built", False):
            return
        stored, why = _configuration(model)
        case = LayerCase(self._next(), type(model).__name__, stored, (), {}, why, MODEL)
        self.cases.append(case)

    def _next(self) -> str:
        return f"{self._name} {len(self.cases)}"


def _call_of(layer_cls: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _tree(value, _is_array, _tensor)
        for key, value in kwargs.items()
        # What draws cannot be compared; at inference it can.
        if key != "training" or layer_cls.__name__ in DETERMINISTIC_IN_TRAINING
    }


def _with_free_batch(case: LayerCase) -> LayerCase:
    """Return the case with the first axis of its inputs free, if they agree on it."""
    first = {tensor.shape[:1] for tensor in case.inputs}
    if len(first) != 1 or first == {()}:
        return case

    def free(tensor: Tensor) -> Tensor:
        return replace(tensor, shape=(None, *tensor.shape[1:]))

    is_tensor = lambda value: isinstance(value, Tensor)  # noqa: E731
    return replace(
        case,
        arguments=_tree(case.arguments, is_tensor, free),
        call=_tree(dict(case.call), is_tensor, free),
    )


def _configuration(layer: Any) -> tuple[Mapping[str, Any] | None, str]:
    """Return the layer's configuration, or why there is none or why it is foreign code."""
    import keras

    own = {type(layer).__name__} if type(layer).__module__.endswith("_test") else set()
    try:
        stored = keras.saving.serialize_keras_object(layer)
    except Exception as error:  # a test's own get_config may do anything
        return None, f"Keras does not save it: {str(error).strip().splitlines()[:1]}"
    if stored["config"].get("sparse") is True:
        return stored, "sparse outputs: torch modules give plain tensors"
    foreign = sorted(_foreign(stored) | own)
    return stored, f"code of the test's own: {', '.join(foreign)}" if foreign else ""


def _foreign(stored: Any) -> set[str]:
    """Return the names of classes and functions in a configuration that Keras itself does not have."""
    if isinstance(stored, (list, tuple)):
        return {name for part in stored for name in _foreign(part)}
    if not isinstance(stored, Mapping):
        return set()
    found = {name for part in stored.values() for name in _foreign(part)}
    if stored.get("class_name") in FOREIGN_CODE:
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
        return Tensor(tuple(shape), str(dtype or "float32"))
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

    if isinstance(value, keras.KerasTensor):
        return Tensor(tuple(value.shape), str(value.dtype))
    array = np.asarray(
        value if isinstance(value, (list, tuple)) else keras.ops.convert_to_numpy(value)
    )
    dtype = str(array.dtype)
    if array.dtype == np.float64 and not hasattr(value, "dtype"):
        dtype = "float32"  # numbers of Python are float32 to Keras
    return Tensor(array.shape, "string" if array.dtype.kind in "USO" else dtype, array)
