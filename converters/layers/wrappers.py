"""Layers around other layers: both directions of a recurrent layer, and a layer for every time step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.recurrent import STATES, mask_of, zeroed
from converters.lowering.masking import mask_use, masks_of
from converters.registry import (
    Example,
    Lowered,
    Masks,
    Plain,
    Shape,
    TorchStep,
    find_layer_rule,
    layer,
)
from converters.rule_parts.nested_steps import Placed, place_steps, renamed
from converters.settings import flag, text, unsupported
from converters.targets import TARGETS

_SEQUENCE = ((5, 4),)
_DIRECTIONS = ("forward", "backward")
_MERGES = {
    "sum": "operator.add",
    "mul": "operator.mul",
    "ave": "compat.average",
    "concat": "torch.cat",
}
_REPEATING = (*STATES, "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
"""Layers that run over time."""
_SKIPPING = (*STATES, "RNN", "Bidirectional", "GlobalAveragePooling1D", "Softmax")
"""Layers that leave out what a mask says."""
_MERGING = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
"""Layers that hand the masks of their inputs on together; those of one time step are all the same."""
MOVING = ("BatchNormalization", "SpectralNormalization")
"""Layers that change weights in the forward pass of a training."""
_MOVERS = ("BatchNorm", "BatchRenorm", "SpectralNorm")
"""What the classes of the modules that move weights are called, or end with."""
MAX_TIME_STEPS = 64
"""That are written out one by one; a network of thousands of lines helps nobody."""


def _wrapped(name: str, **config: object) -> dict[str, object]:
    return {"class_name": name, "config": {"units": 3, **config}}


@layer(
    "Bidirectional",
    examples=(
        Example({"layer": _wrapped("LSTM")}, _SEQUENCE),
        Example({"layer": _wrapped("GRU", return_sequences=True)}, _SEQUENCE),
        Example({"layer": _wrapped("GRU", return_sequences=True), "merge_mode": "sum"}, _SEQUENCE),
        Example({"layer": _wrapped("SimpleRNN"), "merge_mode": "mul"}, _SEQUENCE),
        Example({"layer": _wrapped("LSTM", return_sequences=True), "merge_mode": "ave"}, _SEQUENCE),
        Example({"layer": _wrapped("LSTM", return_sequences=True), "merge_mode": None}, _SEQUENCE),
        Example({"layer": _wrapped("LSTM", return_state=True)}, _SEQUENCE),
        Example({"layer": _wrapped("GRU", return_state=True), "merge_mode": None}, _SEQUENCE),
        Example(
            {
                "layer": _wrapped("GRU"),
                "backward_layer": _wrapped("LSTM", units=2, go_backwards=True),
            },
            _SEQUENCE,
        ),
        Example(
            {
                "layer": {
                    "class_name": "ConvLSTM1D",
                    "config": {"filters": 3, "kernel_size": 2, "return_sequences": True},
                }
            },
            ((4, 5, 2),),
        ),
        Example({"layer": _wrapped("LSTM", return_sequences=True)}, _SEQUENCE, masked=(0,)),
        Example({"layer": _wrapped("GRU", return_state=True)}, _SEQUENCE, masked=(0,)),
        Example(
            {"layer": _wrapped("GRU", return_sequences=True), "merge_mode": None},
            _SEQUENCE,
            masked=(0,),
        ),
    ),
    mask="use",
)
def bidirectional(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the steps of each direction, the backward one's sequence turned round, and what joins them."""
    half = (len(shapes) - 1) // 2
    placed = []
    for index, direction in enumerate(_DIRECTIONS):
        given = [0, *range(1 + index * half, 1 + (index + 1) * half)]
        placed.append(_direction(layer, direction, given, [shapes[place] for place in given]))
    forward, backward = placed
    steps = [*forward.steps, *backward.steps]
    states = [*forward.outputs[1:], *backward.outputs[1:]]
    pair = [forward.outputs[0], backward.outputs[0]]
    sequences = flag(layer.inner["forward_layer"], "return_sequences", default=False)
    if sequences:
        shape = backward.shapes[0]
        steps.append(
            TorchStep("torch.flip", {"dims": (1,)}, (), shape, "", (pair[1],), ("turned",))
        )
        pair[1] = "turned"
    # Bidirectional sets zero_output_for_mask in what it wraps (keras 3.15.1, layers/rnn/bidirectional.py).
    mask = mask_of(layer, shapes) if sequences else None
    behind = masks_of(layer).of_input() if sequences else None
    if layer.config.get("merge_mode", "concat") is None:
        for index, part in enumerate(placed if mask is not None else ()):
            name = f"{_DIRECTIONS[index]}_zeroed"
            steps.append(zeroed(pair[index], mask or "", part.shapes[0], name))
            pair[index] = name
        return Lowered(tuple(steps), (*pair, *states), masks=(behind, behind))
    merged = _merged(layer, pair, forward.shapes[0], backward.shapes[0])
    steps.append(merged)
    if mask is not None:
        steps.append(zeroed("merged", mask, merged.shape or ()))
    return Lowered(tuple(steps), (steps[-1].results[0], *states), masks=(behind,))


def _direction(
    layer: Layer, direction: str, given: Sequence[int], shapes: Sequence[Shape]
) -> Placed:
    """Return the steps of one direction over these of the wrapper's inputs."""
    inner = layer.inner[f"{direction}_layer"]
    if inner.class_name not in _REPEATING:
        msg = (
            f"layer '{layer.name}' ({layer.class_name}): no rule for '{inner.class_name}' inside it"
        )
        raise UnsupportedError(msg, hint=f"inside it: {', '.join(_REPEATING)}")
    config = {**inner.config, "masks": masks_of(layer), "zero_output_for_mask": False}
    found = find_layer_rule(inner.class_name).lower(replace(inner, config=config), *shapes)
    names = [f"input_{place}" for place in given]
    return place_steps(found, names, shapes, name=direction, role=f"{direction}_layer")


def _merged(layer: Layer, pair: Sequence[str], forward: Shape, backward: Shape) -> TorchStep:
    mode = text(layer, "merge_mode", "concat")
    if mode not in _MERGES:
        raise unsupported(layer, "merge_mode", needed=f"one of {', '.join(_MERGES)} or null")
    joins = mode == "concat"
    both = (forward[-1], backward[-1])
    features = None if None in both else sum(size or 0 for size in both)
    kwargs: dict[str, Plain] = {"dim": -1} if joins else {}
    shape = (*forward[:-1], features) if joins else forward
    return TorchStep(_MERGES[mode], kwargs, (), shape, "", tuple(pair), ("merged",))


_ON_LAST_AXIS = ("Dense",)
"""Their torch modules take any number of axes before the last: time needs no treatment."""


@layer(
    "TimeDistributed",
    examples=(
        Example({"layer": _wrapped("Dense", activation="relu")}, _SEQUENCE),
        Example({"layer": _wrapped("LSTM")}, ((2, 5, 4),)),
        Example({"layer": {"class_name": "Flatten", "config": {}}}, ((2, 5, 4),)),
        Example(
            {"layer": {"class_name": "Activation", "config": {"activation": "linear"}}}, _SEQUENCE
        ),
        Example({"layer": {"class_name": "BatchNormalization", "config": {}}}, ((3, 4),)),
        Example(
            {"layer": {"class_name": "Conv2D", "config": {"filters": 2, "kernel_size": 2}}},
            ((3, 5, 4, 2),),
        ),
        Example({"layer": _wrapped("Dense")}, _SEQUENCE, masked=(0,), pooled=True),
    ),
    mask="use",
)
def time_distributed(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the layer's own steps, with every time step as a sample of a larger batch."""
    inner = layer.inner["layer"]
    if len(shapes) != 1 or len(shapes[0]) < 3:
        msg = f"layer '{layer.name}' (TimeDistributed): needed is one input (batch, time, ...)"
        raise UnsupportedError(msg)
    _check_stateless(layer, inner)
    before, behind, mask = _frame_masks(layer, inner)
    rule, shape = find_layer_rule(inner.class_name), (None, *shapes[0][2:])
    each_moves = layer.trainable and _moves(inner) and not _is_joint(layer, shapes[0])
    if inner.class_name in _ON_LAST_AXIS:
        placed = _placed(layer, rule.lower(inner, shapes[0]), "input_0", shapes[0])
        return Lowered((*before, *placed.steps), placed.outputs, masks=(mask,))
    found = rule.lower(_with_frame_mask(layer, inner, before), shape)
    placed = _placed(layer, found, "frames", shape)
    if each_moves:
        stepped = _step_by_step(placed)
        if stepped is None:
            steps, output = _one_by_one(layer, inner, shapes[0])
            return Lowered((*before, *steps, *behind), (output,), masks=(mask,))
        placed = stepped
    if not placed.steps:
        return Lowered(tuple(behind), ("input_0",), masks=(mask,))
    flat = {"start_dim": 0, "end_dim": 1}
    frames = TorchStep("torch.flatten", flat, (), shape, "", ("input_0",), ("frames",))
    split = TorchStep(
        "compat.split_time",
        shape=(*shapes[0][:2], *placed.shapes[0][1:]),
        inputs=(placed.outputs[0], "input_0"),
        results=("split",),
    )
    return Lowered((*before, frames, *placed.steps, split, *behind), ("split",), masks=(mask,))


def _placed(
    layer: Layer,
    found: list[TorchStep] | Lowered,
    given: str,
    shape: Shape,
    *,
    name: str = "inner",
) -> Placed:
    """Return the steps of the wrapped layer; it must have one output. Attributes are named after the wrapper alone."""
    placed = place_steps(found, [given], [shape], name=name, role="layer", suffix="")
    if len(placed.outputs) != 1:
        msg = f"layer '{layer.name}' (TimeDistributed): the layer inside it has {len(placed.outputs)} outputs, needed is one"
        raise UnsupportedError(msg)
    names = {f"{name}_mask_0": "frames_mask", "mask_0": "frames_mask"}
    return replace(placed, steps=tuple(renamed(step, names) for step in placed.steps))


def _check_stateless(layer: Layer, inner: Layer) -> None:
    """Raise UnsupportedError for a layer inside that hands its state from time step to time step."""
    if inner.config.get("stateful") is True:
        msg = f"layer '{layer.name}' (TimeDistributed): '{inner.class_name}' inside it is stateful; no rule for that"
        raise UnsupportedError(msg)
    for part in inner.inner.values():
        _check_stateless(layer, part)


def _moves(inner: Layer) -> bool:
    """Return whether a training forward pass changes weights of the wrapped layer."""
    own = inner.class_name in MOVING and inner.trainable
    return own or (inner.trainable and any(_moves(part) for part in inner.inner.values()))


def _is_joint(layer: Layer, shape: Shape) -> bool:
    """Return whether statistics are those of all time steps together: so in Keras 2 where the batch is free."""
    return layer.config.get("statistics") == "joint" and shape[0] is None


def _step_by_step(placed: Placed) -> Placed | None:
    """Return the steps with statistics of each time step by itself, or None if other weights move or one moves twice."""
    moving = [step for step in placed.steps if TARGETS[step.op].path.endswith(_MOVERS)]
    used = [param.source for step in moving for param in step.params]
    if len(set(used)) < len(used) or any(step.op != "compat.BatchNorm" for step in moving):
        return None
    steps = tuple(
        replace(step, op="compat.SteppedBatchNorm", inputs=(*step.inputs, "input_0"))
        if step.op == "compat.BatchNorm"
        else step
        for step in placed.steps
    )
    return replace(placed, steps=steps)


def _one_by_one(layer: Layer, inner: Layer, shape: Shape) -> tuple[list[TorchStep], str]:
    """Return the wrapped layer's steps for every time step by itself: each has statistics of its own, and moves them.

    Source: keras 3.15.1, layers/rnn/time_distributed.py.
    """
    time = shape[1]
    if time is None or time > MAX_TIME_STEPS:
        msg = (
            f"layer '{layer.name}' (TimeDistributed): '{inner.class_name}' inside it moves statistics at each of "
            f"{'a free number of' if time is None else time} time steps; needed are at most {MAX_TIME_STEPS}"
        )
        raise UnsupportedError(msg, hint="freeze it before saving")
    frame = (shape[0], *shape[2:])
    rule = find_layer_rule(inner.class_name)
    steps: list[TorchStep] = []
    outputs = []
    result: Shape = frame
    for index in range(time):
        name = f"time_{index}"
        chosen: Plain = (("slice", None, None, None), index)
        steps.append(
            TorchStep("operator.getitem", {"index": chosen}, (), frame, "", ("input_0",), (name,))
        )
        placed = _placed(layer, rule.lower(inner, frame), name, frame, name=f"inner_{index}")
        steps += placed.steps
        outputs.append(placed.outputs[0])
        result = placed.shapes[0]
    whole = (result[0], time, *result[1:])
    steps.append(TorchStep("torch.stack", {"dim": 1}, (), whole, "", tuple(outputs), ("stacked",)))
    return steps, "stacked"


def _goes_by_masks(inner: Layer, generation: int) -> bool:
    """Return whether a wrapped layer computes something else with a mask; a model does if any of its layers might."""
    if inner.graph is None:
        return inner.class_name in _SKIPPING
    harmless = _MERGING if generation == 3 else (*_MERGING, "BatchNormalization")
    return any(
        _goes_by_masks(part, generation)
        if part.graph is not None
        else part.class_name not in harmless
        and mask_use(find_layer_rule(part.class_name)) not in ("pass", "drop")
        for part in inner.graph.layers
        if part.class_name != "InputLayer"
    )


def _frame_masks(layer: Layer, inner: Layer) -> tuple[list[TorchStep], list[TorchStep], str | None]:
    """Return steps that make the wrapped layer's mask, steps that make the wrapper's, and the name of the latter.

    A mask (batch, time) goes through; from one with more axes every time step gets its own, and behind the wrapper a
    time step counts if any of its parts did (keras 2.15, layers/rnn/time_distributed.py; Keras 3 hands on the whole).

    Raises:
        UnsupportedError: The wrapped layer goes by masks, and a time step has none of its own.
    """
    masks = masks_of(layer)
    mask = masks.of_input()
    if mask is None:
        return [], [], None
    shape = masks.shapes[mask]
    skips = _goes_by_masks(inner, masks.generation)
    if len(shape) == 2:
        if skips:
            msg = (
                f"layer '{layer.name}' (TimeDistributed): '{inner.class_name}' inside it would get the mask {shape}, "
                "one number for each sample"
            )
            raise UnsupportedError(msg)
        return [], [], mask
    if masks.generation >= 3 and not skips:
        return [], [], mask
    behind = TorchStep("torch.any", {"dim": -1}, (), shape[:-1], "", (mask,), ("mask",))
    if len(shape) != 3 or not skips:
        msg = f"layer '{layer.name}' (TimeDistributed): no rule for a mask {shape} around '{inner.class_name}'"
        raise UnsupportedError(msg)
    flat = {"start_dim": 0, "end_dim": 1}
    before = TorchStep("torch.flatten", flat, (), (None, shape[2]), "", (mask,), ("frames_mask",))
    return [before], [behind], "mask"


def _with_frame_mask(layer: Layer, inner: Layer, before: Sequence[TorchStep]) -> Layer:
    shapes = {"mask_0": before[0].shape or ()} if before else {}
    masks = Masks(shapes, masks_of(layer).generation)
    whole = layer.config.get("whole") is True
    return replace(inner, config={**inner.config, "masks": masks, "whole": whole})
