"""The layer `Merge` of Keras 1, as the layers that later ones made of it.

At the start of a Sequential it holds the models that it joins: then their layers become layers of the whole, as they are
in the file's weights (keras 1.2.2, models.py, `Sequential.flattened_layers`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Call, Graph, Input, Layer, Operand, TensorRef

MERGE_MODES = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
    "dot": "Dot",
}
"""What the one layer `Merge` of Keras 1 became in later ones, by its mode."""
COSINE = "cos"
"""The mode that no later layer computes alike: `Dot` with `normalize` bounds each length, and has another shape."""


def settle_merge(class_name: str, config: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    """Return the layer of Keras 2 and 3 that computes what a `Merge` of Keras 1 does; other layers as they are.

    Raises:
        UnsupportedError: Its mode is a function, or none of Keras's.
    """
    if class_name != "Merge":
        return class_name, config
    name, mode = config.get("name"), config.get("mode")
    if mode == COSINE:
        return class_name, config
    if config.get("mode_type", "raw") != "raw" or mode not in MERGE_MODES:
        msg = f"layer '{name}' (Merge) has mode {mode!r:.40}; known: {', '.join((*MERGE_MODES, COSINE))}"
        raise UnsupportedError(msg)
    settings = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
    if mode == "concat":
        settings["axis"] = config.get("concat_axis", -1)
    elif mode == "dot":
        settings |= {"axes": config.get("dot_axes", -1), "normalize": False}
    return MERGE_MODES[str(mode)], settings


def joined_models(entries: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
    """Return the configurations of the models that the first layer of a Sequential joins; none where it is no `Merge`."""
    config = entries[0].get("config") if entries else None
    if not isinstance(config, Mapping) or entries[0].get("class_name") != "Merge":
        return []
    joined = config.get("layers")
    return joined if isinstance(joined, (list, tuple)) else []


def join_models(name: str, branches: Sequence[Graph], chain: Sequence[Layer]) -> Graph:
    """Return one graph of models side by side, and a chain of layers behind them; the first of the chain joins them.

    Args:
        name: of the whole.
        branches: the models, in the order of the inputs.
        chain: the layers behind them.

    Raises:
        UnsupportedError: A model has several outputs.
    """
    layers: list[Layer] = []
    calls: list[Call] = []
    inputs: list[Input] = []
    outputs: list[TensorRef] = []
    for branch in branches:
        if len(branch.outputs) != 1:
            msg = f"layer '{chain[0].name}' (Merge) joins a model with {len(branch.outputs)} outputs; needed is one"
            raise UnsupportedError(msg)
        own = _with_own_inputs(branch, {layer.name for layer in layers})
        layers += own.layers
        calls += own.calls
        inputs += own.inputs
        outputs += own.outputs
    first = chain[0].name
    calls.append(
        Call(first, 0, tuple(outputs), {}, tuple(Operand(index) for index in range(len(outputs))))
    )
    calls += [
        Call(layer.name, 0, (TensorRef(before.name),), {}, (Operand(0),))
        for before, layer in itertools.pairwise(chain)
    ]
    return Graph(
        name=name,
        class_name="Functional",
        generation=branches[0].generation,
        layers=(*layers, *chain),
        calls=tuple(calls),
        inputs=tuple(inputs),
        outputs=(TensorRef(chain[-1].name),),
    )


def _with_own_inputs(branch: Graph, taken: set[str]) -> Graph:
    """Return a model whose input layers have no name that is taken: those of a Sequential are ours, not the file's."""
    known = taken | {layer.name for layer in branch.layers}
    names: dict[str, str] = {}
    for layer in branch.layers:
        if layer.class_name == "InputLayer" and layer.name in taken:
            free = (f"{layer.name}_{number}" for number in itertools.count(2))
            names[layer.name] = next(name for name in free if name not in known)
            known.add(names[layer.name])

    def renamed(ref: TensorRef) -> TensorRef:
        return replace(ref, layer=names.get(ref.layer, ref.layer))

    return replace(
        branch,
        layers=tuple(replace(one, name=names.get(one.name, one.name)) for one in branch.layers),
        calls=tuple(
            replace(call, inputs=tuple(renamed(ref) for ref in call.inputs))
            for call in branch.calls
        ),
        inputs=tuple(replace(entry, tensor=renamed(entry.tensor)) for entry in branch.inputs),
        outputs=tuple(renamed(ref) for ref in branch.outputs),
    )
