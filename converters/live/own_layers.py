"""Layers and activations whose code is not read from the file, computed by a module or a function of the user's own.

`--layer scale=my_layers.py:Scale` names it for a Lambda or a custom class. The contract is small: `forward` (or the
function) takes the layer's inputs one by one, in Keras's order of axes; the constructor gets those entries of the layer's
configuration that it has parameters for, and `in_features` (the last axis of the first input) if it wants that; parameters and
buffers have the names, shapes and order of the layer's arrays in the file. The user's code runs because the user names
it; that of the file never does. An activation is called by its function's name, or as `layer.activation`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from converters.checkpoint import Checkpoint
from converters.configuration.keras2 import ACTIVATION_SETTINGS
from converters.errors import MismatchError, UnsupportedError
from converters.graph import Graph, Layer
from converters.into.user_module import FILE_MARK, find_named
from converters.layers.activations import activation_names
from converters.matching.model_weights import leaves
from converters.registry import (
    OWN_LAYERS,
    LayerRule,
    Lowered,
    Param,
    Plain,
    Shape,
    TorchStep,
    Weight,
    nearest,
)
from converters.settings import unsupported
from converters.targets import TARGETS, Target

Own = type[nn.Module] | Callable[..., object]
_IN_FEATURES = "in_features"
_AXES = "abcdefghij"
_FREE_SIZES = (5, 7)
"""Stand in for a free axis; what differs between the two is free in the result as well."""


@dataclass(frozen=True, slots=True)
class OwnLayerRule(LayerRule):
    """The rule of a layer that the user's own code computes: what it stores is what the module has."""

    own: Own | None = None

    def stored_weights(self, layer: Layer) -> tuple[Weight, ...]:
        """Return the module's parameters and buffers as the weights of the layer."""
        with torch.device("meta"):
            made = _make(self.own, layer, 1)
        return tuple(
            Weight(name, trainable=isinstance(value, nn.Parameter) and value.requires_grad)
            for name, value in _tensors(made).items()
        )


def register_own_layers(layers: Mapping[str, object]) -> dict[str, str]:
    """Make the user's classes and functions known as operations; returns their keys by the names of `layers`.

    Args:
        layers: layer name, or class name, to "my_module:Scale", "my_file.py:Scale", or a class or function.

    Raises:
        UnsupportedError: There is no such class or function.
    """
    return {name: _register(found) for name, found in layers.items()}


def with_own_layers(checkpoint: Checkpoint, layers: Mapping[str, object]) -> Checkpoint:
    """Return the checkpoint with its layers and activations of these names, or classes, computed by the user's own code.

    A name that nothing has is noted, not refused: one command converts a folder of files.

    Raises:
        UnsupportedError: There is no such class or function.
    """
    keys = register_own_layers(layers)
    if not keys:
        return checkpoint
    if checkpoint.graph is None:
        note = "has no layers of Keras: none of those that are given is in it"
        return replace(checkpoint, notes=(*checkpoint.notes, note))
    layers_inside = [
        each for _, layer in leaves(checkpoint.graph) for each in (layer, *layer.inner.values())
    ]
    known = {name for layer in layers_inside for name in _names(layer) | _activations(layer)}
    notes = [
        f"'{name}' is computed by {key}, which is your own"
        if name in known
        else f"no layer or activation is named '{name}'{nearest(name, known)}"
        for name, key in keys.items()
    ]
    graph = _given_graph(checkpoint.graph, keys)
    return replace(checkpoint, graph=graph, notes=(*checkpoint.notes, *notes))


def _names(layer: Layer) -> set[str]:
    """Return what a layer may be called by: its name, its class, and that without its package."""
    return {layer.name, layer.class_name, layer.class_name.rsplit(">", 1)[-1]}


def _activations(layer: Layer) -> set[str]:
    """Return what the activations of a layer may be called by."""
    return {name for key in ACTIVATION_SETTINGS for name in activation_names(layer, key)}


def _given_graph(graph: Graph, keys: Mapping[str, str]) -> Graph:
    return replace(graph, layers=tuple(_given_layer(layer, keys) for layer in graph.layers))


def _given_layer(layer: Layer, keys: Mapping[str, str]) -> Layer:
    """Return the layer with the key in front of its class, whose last part names its arrays in a .keras."""
    if layer.graph is not None:
        return replace(layer, graph=_given_graph(layer.graph, keys))
    inner = {name: _given_layer(each, keys) for name, each in layer.inner.items()}
    key = next((key for name, key in keys.items() if name in _names(layer)), None)
    if key is None:
        return replace(layer, inner=inner, config={**layer.config, **_own_settings(layer, keys)})
    class_name = f"{key}>{layer.class_name.rsplit('>', 1)[-1]}"
    OWN_LAYERS[class_name] = replace(OWN_LAYERS[key], class_name=class_name)
    return replace(layer, class_name=class_name, inner=inner)


def _own_settings(layer: Layer, keys: Mapping[str, str]) -> dict[str, object]:
    """Return the activations of a layer that the user's own code computes, as the settings of an activation layer."""
    settings: dict[str, object] = {}
    for setting in ACTIVATION_SETTINGS:
        names = activation_names(layer, setting)
        if setting not in layer.config or not names & keys.keys():
            continue
        value = layer.config[setting]
        stated = value.get("config") if isinstance(value, Mapping) else None
        key = next(keys[name] for name in keys if name in names)
        config = stated if isinstance(stated, Mapping) else {}
        settings[setting] = {"class_name": key, "config": config}
    return settings


def _register(named: object) -> str:
    found = find_named(named) if isinstance(named, str) else named
    if not callable(found) or isinstance(found, nn.Module):
        msg = f"{named!r:.200} is no class or function"
        raise UnsupportedError(msg, hint="--layer scale=my_layers.py:Scale")
    module, name = str(found.__module__), str(getattr(found, "__qualname__", ""))
    is_module = isinstance(found, type) and issubclass(found, nn.Module)
    if isinstance(found, type) and not is_module:
        msg = f"{module}.{name} is a class, but no torch.nn.Module"
        raise UnsupportedError(msg, hint="derive it from nn.Module, or give a function of tensors")
    key = f"{module.partition(FILE_MARK)[0]}.{name}"  # what the converted file says
    parameters = tuple(inspect.signature(found).parameters) if is_module else ()
    # Named once more, it may have been edited since: the newest holds.
    TARGETS[key] = Target(f"{module}:{name}", parameters, module=is_module)
    own = cast("Own", found)
    OWN_LAYERS[key] = OwnLayerRule(key, (), (), _rule(own, key), own=own)
    return key


def _rule(own: Own, key: str) -> Callable[..., list[TorchStep] | Lowered]:
    def lower(layer: Layer, /, *shapes: Shape) -> list[TorchStep] | Lowered:
        features = shapes[0][-1] if shapes and shapes[0] else None
        made = _make(own, layer, features)
        params = tuple(
            Param(name, name, _unchanged(value.ndim), tuple(value.shape))
            for name, value in _tensors(made).items()
        )
        results, single = _result_shapes(made, layer, shapes)
        names = tuple(f"result_{index}" for index in range(len(results)))
        step = TorchStep(
            key,
            _arguments(own, layer, features),
            params,
            results[0],
            results=() if single else names,
            further_shapes=tuple(results[1:]),
        )
        return [step] if single else Lowered((step,), names)

    return lower


def _unchanged(rank: int) -> str:
    axes = " ".join(_AXES[:rank])
    return f"{axes} -> {axes}"


def _tensors(made: object) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module, in their order; a function has none."""
    if not isinstance(made, nn.Module):
        return {}
    found = {**dict(made.named_parameters()), **dict(made.named_buffers())}
    nested = [name for name in found if "." in name]
    if nested:
        msg = f"{type(made).__name__} keeps {', '.join(nested[:3])} in modules of its own"
        raise UnsupportedError(
            msg, hint="give it parameters named and shaped as the arrays of the layer in the file"
        )
    return found


def _make(own: Own | None, layer: Layer, features: int | None) -> object:
    """Return the module for a layer; a function as it is."""
    if not isinstance(own, type):
        return own
    arguments = _arguments(own, layer, features)
    try:
        return own(**arguments).eval()
    except (TypeError, ValueError) as error:
        known = ", ".join(name for name in layer.config if name != "name") or "nothing"
        msg = f"layer '{layer.name}': {own.__qualname__} cannot be made with {arguments}: {error}"
        raise UnsupportedError(
            msg, hint=f"its configuration has {known}; {_IN_FEATURES} is given as well"
        ) from error


def _arguments(own: Own, layer: Layer, features: int | None) -> dict[str, Plain]:
    """Return what the constructor wants and the layer's configuration has."""
    if not isinstance(own, type):
        return {}
    wanted = inspect.signature(own).parameters
    given = {
        name: _plain(layer, name, layer.config[name])
        for name in wanted
        if name in layer.config and name != "name"
    }
    if _IN_FEATURES in wanted and _IN_FEATURES not in given:
        given[_IN_FEATURES] = features
    return given


def _plain(layer: Layer, name: str, value: object) -> Plain:
    """Return a setting as it may stand in a .pth and in source. Raises UnsupportedError for dictionaries."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(layer, name, item) for item in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise unsupported(layer, name, needed="a number, text or a list of them")


def _result_shapes(made: object, layer: Layer, shapes: Iterable[Shape]) -> tuple[list[Shape], bool]:
    """Return the shapes that come out, and whether it is one tensor by itself, by running it on zeros of two sizes."""
    shapes = list(shapes)
    run = cast("Callable[..., object]", made)
    found = []
    for size in _FREE_SIZES:
        zeros = [
            torch.zeros([size if axis is None else axis for axis in shape]) for shape in shapes
        ]
        try:
            with torch.no_grad():
                found.append(run(*zeros))
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            listed = ", ".join(str(shape) for shape in shapes)
            msg = f"layer '{layer.name}': your own code fails on inputs of shape {listed}: {error}"
            raise MismatchError(msg, hint="it gets the layer's inputs one by one") from error
    small, large = (_tensor_list(result, layer) for result in found)
    free = [
        tuple(
            one if one == other else None
            for one, other in zip(first.shape, second.shape, strict=True)
        )
        for first, second in zip(small, large, strict=True)
    ]
    return free, isinstance(found[0], Tensor)


def _tensor_list(result: object, layer: Layer) -> list[Tensor]:
    """Return the tensors that came out of the user's code. Raises MismatchError for anything else."""
    results = list(result) if isinstance(result, (list, tuple)) else [result]
    tensors = [each for each in results if isinstance(each, Tensor)]
    if not tensors or len(tensors) < len(results):
        msg = f"layer '{layer.name}': your own code gives a {type(result).__name__}"
        raise MismatchError(msg, hint="it gives a tensor, or a tuple of tensors")
    return tensors
