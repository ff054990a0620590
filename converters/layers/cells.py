"""Cells of recurrent layers: several over each other under one RNN, and cells called by themselves.

A stack of cells that runs over time computes what a stack of layers computes: each layer hands its whole sequence to
the next. A cell called once is its layer over a sequence of one time step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.recurrent import STATES, mask_of, turned
from converters.lowering.masking import masks_of
from converters.registry import (
    Lowered,
    Shape,
    TorchStep,
    Weight,
    find_layer_rule,
    layer,
)
from converters.rule_parts.nested_steps import place_steps, renamed
from converters.settings import flag

CELL_LAYERS = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
"""The layer that repeats a cell over time."""
_WEIGHTS = (Weight("kernel"), Weight("recurrent_kernel"), Weight("bias", when="use_bias"))


def _stack(
    layer: Layer, names: Sequence[str], shapes: Sequence[Shape], **settings: bool
) -> Lowered:
    """Return one recurrent layer for every cell, each over the sequence that the one before it gives.

    `names` are those of the sequence and, where they are given, of the states of all cells one after another; `settings`
    are those of the last layer: all others return sequences, and only the first may go backwards.
    """
    cells = [cell for cell in layer.inner.values() if cell.class_name in STATES]
    count = sum(len(STATES[cell.class_name]) for cell in cells)
    if not cells or len(cells) != len(layer.inner) or len(shapes) not in (1, 1 + count):
        msg = (
            f"layer '{layer.name}' ({layer.class_name}): needed are cells of Keras's own "
            f"({', '.join(CELL_LAYERS)}), with all states or none"
        )
        raise UnsupportedError(msg)
    masks = masks_of(layer)
    sequence, shape = names[0], shapes[0]
    given = list(zip(names[1:], shapes[1:], strict=True))
    mask = mask_of(layer, shapes)
    turns = mask is not None and settings.get("go_backwards", False) and len(cells) > 1
    steps: list[TorchStep] = [turned(mask, masks.shapes[mask])] if mask and turns else []
    states: list[str] = []
    for index, (role, cell) in enumerate(layer.inner.items()):
        own = [given.pop(0) for _ in range(len(STATES[cell.class_name]))] if given else []
        last = index == len(cells) - 1
        config = {**cell.config, **settings, "unroll": False, "masks": masks}
        if not last:
            config["return_sequences"] = True
        if index:
            config["go_backwards"] = False
        inputs = [(sequence, shape), *own]
        found = find_layer_rule(cell.class_name).lower(
            replace(cell, config=config), *(size for _, size in inputs)
        )
        placed = place_steps(
            found, [name for name, _ in inputs], [size for _, size in inputs], name=role, role=role
        )
        # The first cell goes backwards, the others over what it gives.
        other = {mask or "": "turned"} if index and turns else {}
        steps += [renamed(step, other) for step in placed.steps]
        sequence, *further = placed.outputs
        shape = placed.shapes[0]
        states += further
    behind = masks.of_input() if settings.get("return_sequences") else None
    return Lowered(tuple(steps), (sequence, *states), masks=(behind,))


@layer("RNN", mask="use")
def rnn(layer: Layer, *shapes: Shape) -> Lowered:
    """Return a layer for every cell of a stack; RNN over a single cell is read as the layer that the two are."""
    names = (
        *("return_sequences", "return_state", "go_backwards", "stateful"),
        "zero_output_for_mask",
    )
    settings = {name: flag(layer, name, default=False) for name in names}
    settings["zero_output_for_mask"] = flag(layer, "zero_output_for_mask", default=False)
    return _stack(layer, [f"input_{index}" for index in range(len(shapes))], shapes, **settings)


def _one_time_step(layer: Layer, shapes: Sequence[Shape]) -> tuple[TorchStep, Shape]:
    if len(shapes[0]) != 2:
        msg = f"layer '{layer.name}' ({layer.class_name}): needed is an input (batch, features); found {shapes[0]}"
        raise UnsupportedError(msg)
    batch, features = shapes[0]
    shape = (batch, 1, features)
    return TorchStep("torch.unsqueeze", {"dim": 1}, (), shape, "", ("input_0",), ("step",)), shape


@layer("StackedRNNCells")
def stacked_rnn_cells(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the layers of the cells over a sequence of one time step; outputs are the last h and all states."""
    step, shape = _one_time_step(layer, shapes)
    names = ["step", *(f"input_{index}" for index in range(1, len(shapes)))]
    found = _stack(layer, names, (shape, *shapes[1:]), return_state=True)
    return Lowered((step, *found.steps), found.outputs)


def _cell(layer: Layer, shapes: Sequence[Shape]) -> Lowered:
    step, shape = _one_time_step(layer, shapes)
    class_name = CELL_LAYERS[layer.class_name]
    whole = replace(layer, class_name=class_name, config={**layer.config, "return_state": True})
    found = find_layer_rule(class_name).lower(whole, shape, *shapes[1:])
    if not isinstance(found, Lowered):
        msg = f"the rule of {class_name} names no states"
        raise TypeError(msg)
    steps = [renamed(inner, {"input_0": "step"}) for inner in found.steps]
    return Lowered((step, *steps), found.outputs)


@layer("LSTMCell", weights=_WEIGHTS)
def lstm_cell(layer: Layer, *shapes: Shape) -> Lowered:
    """Return h, and h and cell again as the states, of one time step."""
    return _cell(layer, shapes)


@layer("GRUCell", weights=_WEIGHTS)
def gru_cell(layer: Layer, *shapes: Shape) -> Lowered:
    """Return h, and h again as the state, of one time step."""
    return _cell(layer, shapes)


@layer("SimpleRNNCell", weights=_WEIGHTS)
def simple_rnn_cell(layer: Layer, *shapes: Shape) -> Lowered:
    """Return h, and h again as the state, of one time step."""
    return _cell(layer, shapes)
