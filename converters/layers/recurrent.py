"""Recurrent layers, and the wrappers around them.

Gates are stored as i, f, c, o (LSTM; torch's order, with g for c) and z, r, h (GRU; torch has r, z, n).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.masking import masks_of
from converters.registry import (
    Example,
    Lowered,
    Masks,
    Param,
    Plain,
    Shape,
    TorchStep,
    Weight,
    find_layer_rule,
    layer,
)
from converters.settings import flag, integer, number, text, unsupported

_WEIGHTS = (Weight("kernel"), Weight("recurrent_kernel"), Weight("bias", when="use_bias"))
_SEQUENCE = ((5, 4),)
_STATES = {"LSTM": ("h", "cell"), "GRU": ("h",), "SimpleRNN": ("h",)}


def _activation(layer: Layer, key: str, default: str) -> dict[str, Plain]:
    """Return the argument for an activation: nothing for the default, else the name of an operation."""
    setting = layer.config.get(key, default)
    if setting == default:
        return {}
    steps = activation_steps(layer, setting)
    if not steps:
        return {key: "compat.linear_activation"}
    if len(steps) > 1 or steps[0].params:
        raise unsupported(layer, key, needed="an activation of one step")
    (step,) = steps
    return {key: (step.op, *step.kwargs.items()) if step.kwargs else step.op}


def _recurrent_step(layer: Layer, shapes: Sequence[Shape], params: Sequence[Param]) -> TorchStep:
    """Return the step of a layer; its results are named "output" and by the states it returns."""
    kind, mask = layer.class_name, _mask(layer, shapes)
    _check_recurrent(layer, shapes)
    units = integer(layer, "units")
    kwargs: dict[str, Plain] = {"input_size": shapes[0][2] or 0, "units": units}
    kwargs |= _activation(layer, "activation", "tanh")
    if kind != "SimpleRNN":
        kwargs |= _activation(layer, "recurrent_activation", "sigmoid")
    if kind == "GRU" and not flag(layer, "reset_after", default=True):
        kwargs["reset_after"] = False
    if not flag(layer, "use_bias", default=True):
        kwargs["use_bias"] = False
    for name in ("return_sequences", "return_state", "go_backwards", "stateful"):
        if flag(layer, name, default=False):
            kwargs[name] = True
    for name in ("dropout", "recurrent_dropout"):
        if number(layer, name, 0.0):
            kwargs[name] = number(layer, name)
    batch, time, _ = shapes[0]
    states = _STATES[kind] if "return_state" in kwargs else ()
    first, *others = (f"input_{index}" for index in range(len(shapes)))
    return TorchStep(
        f"compat.{kind}" if mask is None else f"compat.Masked{kind}",
        kwargs,
        tuple(params),
        shape=(batch, time, units) if "return_sequences" in kwargs else (batch, units),
        inputs=(first, *others) if mask is None else (first, mask, *others),
        results=("output", *states),
        further_shapes=((batch, units),) * len(states),
    )


def _check_recurrent(layer: Layer, shapes: Sequence[Shape]) -> None:
    if flag(layer, "time_major", default=False):
        raise unsupported(layer, "time_major", needed="false")
    states = len(_STATES[layer.class_name])
    if len(shapes) not in (1, 1 + states) or len(shapes[0]) != 3:
        found = ", ".join(str(shape) for shape in shapes)
        msg = (
            f"layer '{layer.name}' ({layer.class_name}): needed is one input (batch, time, features), alone or "
            f"with {states} initial states; found {found}"
        )
        raise UnsupportedError(msg)


def _mask(layer: Layer, shapes: Sequence[Shape]) -> str | None:
    """Return the name of the mask that the layer goes by; Keras 3 gives it none of its own accord beside initial states."""
    masks = masks_of(layer)
    given, carried = masks.of_input(), len(shapes) > 1 and masks.generation >= 3
    if given is None or (carried and given == "mask_0"):
        return None
    if len(masks.shapes[given]) != 2:
        msg = f"layer '{layer.name}' ({layer.class_name}): its mask {masks.shapes[given]} is not (batch, time)"
        raise UnsupportedError(msg)
    return given


def _lowered(layer: Layer, step: TorchStep, shapes: Sequence[Shape]) -> Lowered:
    """Return the layer's step, and the mask of its sequence. Source: keras 3.15.1, layers/rnn/rnn.py."""
    returns_sequences = flag(layer, "return_sequences", default=False)
    behind = masks_of(layer).of_input() if returns_sequences else None
    mask = _mask(layer, shapes)
    if mask is None or not flag(layer, "zero_output_for_mask", default=False):
        return Lowered((step,), step.results, masks=(behind,))
    steps, output, *states = [step], *step.results
    if flag(layer, "go_backwards", default=False):  # so runs the output
        shape = masks_of(layer).shapes[mask]
        steps.append(TorchStep("torch.flip", {"dims": (1,)}, (), shape, "", (mask,), ("turned",)))
        mask = "turned"
    steps.append(_zeroed(output, mask, step.shape or ()))
    return Lowered(tuple(steps), ("zeroed", *states), masks=(behind,))


def _zeroed(output: str, mask: str, shape: Shape, name: str = "zeroed") -> TorchStep:
    return TorchStep("compat.zero_masked", {}, (), shape, "", (output, mask), (name,))


def _params(
    layer: Layer, shapes: Sequence[Shape], gates: int, axis: str, bias: tuple[str, Shape]
) -> list[Param]:
    units = integer(layer, "units")
    size = shapes[0][-1]
    found = [
        Param("weight_ih", "kernel", f"in {axis}", (size, gates * units)),
        Param("weight_hh", "recurrent_kernel", f"in {axis}", (units, gates * units)),
    ]
    if flag(layer, "use_bias", default=True):
        found.append(Param("bias", "bias", *bias))
    return found


@layer(
    "LSTM",
    weights=_WEIGHTS,
    examples=(
        Example({"units": 3}, _SEQUENCE),
        Example({"units": 3, "return_sequences": True, "use_bias": False}, _SEQUENCE),
        Example({"units": 3, "return_state": True, "go_backwards": True}, _SEQUENCE),
        Example({"units": 3, "return_sequences": True, "return_state": True}, _SEQUENCE),
        Example({"units": 3, "activation": "relu", "unroll": True}, _SEQUENCE),
        Example({"units": 3, "recurrent_activation": "softmax", "activation": None}, _SEQUENCE),
        Example({"units": 3, "activation": "softsign", "use_bias": False}, _SEQUENCE),
        Example({"units": 3, "return_sequences": True}, ((5, 4), (3,), (3,))),
        Example({"units": 3}, _SEQUENCE, masked=(0,)),
        Example({"units": 3, "return_sequences": True}, _SEQUENCE, masked=(0,), pooled=True),
        Example({"units": 3, "return_state": True, "go_backwards": True}, _SEQUENCE, masked=(0,)),
        Example({"units": 3}, ((5, 4), (3,), (3,)), masked=(0,)),
    ),
    mask="use",
)
def lstm(layer: Layer, *shapes: Shape) -> Lowered:
    """Return `compat.LSTM`: the kernel of `nn.LSTM` with Keras's one bias."""
    units = integer(layer, "units")
    params = _params(layer, shapes, 4, "gates -> gates in", ("gates -> gates", (4 * units,)))
    return _lowered(layer, _recurrent_step(layer, shapes, params), shapes)


@layer(
    "GRU",
    weights=_WEIGHTS,
    examples=(
        Example({"units": 3}, _SEQUENCE),
        Example({"units": 3, "return_sequences": True, "use_bias": False}, _SEQUENCE),
        Example({"units": 3, "reset_after": False}, _SEQUENCE),
        Example({"units": 3, "reset_after": False, "use_bias": False}, _SEQUENCE),
        Example({"units": 3, "return_state": True, "go_backwards": True}, _SEQUENCE),
        Example({"units": 3, "activation": "elu", "return_sequences": True}, _SEQUENCE),
        Example({"units": 3, "recurrent_activation": "softsign"}, ((5, 4), (3,))),
        Example({"units": 3, "reset_after": False, "return_state": True}, _SEQUENCE, masked=(0,)),
        Example(
            {
                "units": 3,
                "return_sequences": True,
                "go_backwards": True,
                "zero_output_for_mask": True,
            },
            _SEQUENCE,
            masked=(0,),
        ),
    ),
    mask="use",
)
def gru(layer: Layer, *shapes: Shape) -> Lowered:
    """Return `compat.GRU`: `nn.GRU` for `reset_after`, a loop for the formula of Keras 1."""
    units = integer(layer, "units")
    if flag(layer, "reset_after", default=True):
        bias: tuple[str, Shape] = ("row [z r h] -> row [r z h]", (2, 3 * units))
    else:
        bias = ("[z r h] -> [r z h]", (3 * units,))
    params = _params(layer, shapes, 3, "[z r h] -> [r z h] in", bias)
    return _lowered(layer, _recurrent_step(layer, shapes, params), shapes)


@layer(
    "SimpleRNN",
    weights=_WEIGHTS,
    examples=(
        Example({"units": 3}, _SEQUENCE),
        Example({"units": 3, "return_sequences": True, "go_backwards": True}, _SEQUENCE),
        Example({"units": 3, "activation": "relu", "use_bias": False}, _SEQUENCE),
        Example({"units": 3, "activation": "linear", "return_state": True}, _SEQUENCE),
        Example({"units": 3}, ((5, 4), (3,))),
        Example({"units": 3, "return_state": True}, _SEQUENCE, masked=(0,)),
    ),
    mask="use",
)
def simple_rnn(layer: Layer, *shapes: Shape) -> Lowered:
    """Return `compat.SimpleRNN`: the kernel of `nn.RNN` with Keras's one bias."""
    units = integer(layer, "units")
    params = _params(layer, shapes, 1, "units -> units in", ("units -> units", (units,)))
    return _lowered(layer, _recurrent_step(layer, shapes, params), shapes)


_DIRECTIONS = ("forward", "backward")
_MERGES = {
    "sum": "operator.add",
    "mul": "operator.mul",
    "ave": "compat.average",
    "concat": "torch.cat",
}


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
    """Return one module per direction, the backward one's sequence turned round, and what joins them."""
    states: list[str] = []
    steps: list[TorchStep] = []
    half = (len(shapes) - 1) // 2
    for index, direction in enumerate(_DIRECTIONS):
        inner = _with_masks_of(layer, layer.inner[f"{direction}_layer"])
        given = [0, *range(1 + index * half, 1 + (index + 1) * half)]
        step = _inner_step(layer, inner, [shapes[position] for position in given])
        names = [f"{direction}_{result}" for result in step.results]
        places = {f"input_{new}": f"input_{old}" for new, old in enumerate(given)}
        steps.append(
            replace(
                step,
                params=_renamed(step.params, f"{direction}_layer"),
                suffix=direction,
                inputs=tuple(places.get(name, name) for name in step.inputs),
                results=tuple(names),
            )
        )
        states += names[1:]
    forward, backward = steps[0].shape or (), steps[1].shape or ()
    if len(backward) == 3:
        last = steps[1].results[0]
        steps.append(
            TorchStep("torch.flip", {"dims": (1,)}, (), backward, "", (last,), ("turned",))
        )
    pair = (steps[0].results[0], steps[-1].results[0])
    mask = _mask(layer, shapes)
    behind = masks_of(layer).of_input() if len(forward) == 3 else None
    if layer.config.get("merge_mode", "concat") is None:
        if mask is not None and len(forward) == 3:
            steps.append(_zeroed(pair[0], mask, forward, "forward_zeroed"))
            steps.append(_zeroed(pair[1], mask, backward, "backward_zeroed"))
            pair = (steps[-2].results[0], steps[-1].results[0])
        return Lowered(tuple(steps), (*pair, *states), masks=(behind, behind))
    mode = text(layer, "merge_mode", "concat")
    if mode not in _MERGES:
        raise unsupported(layer, "merge_mode", needed=f"one of {', '.join(_MERGES)} or null")
    both = (forward[-1], backward[-1])
    features = None if None in both else sum(size or 0 for size in both)
    joins = mode == "concat"
    kwargs: dict[str, Plain] = {"dim": -1} if joins else {}
    shape = (*forward[:-1], features) if joins else forward
    steps.append(TorchStep(_MERGES[mode], kwargs, (), shape, "", pair, ("merged",)))
    output = "merged"
    if mask is not None and len(shape) == 3:
        # Bidirectional sets zero_output_for_mask in what it wraps (keras 3.15.1, layers/rnn/bidirectional.py).
        steps.append(_zeroed(output, mask, shape))
        output = "zeroed"
    return Lowered(tuple(steps), (output, *states), masks=(behind,))


def _with_masks_of(layer: Layer, inner: Layer) -> Layer:
    """Return a wrapped layer that gets the masks of its wrapper."""
    return replace(inner, config={**inner.config, "masks": masks_of(layer)})


def _inner_step(layer: Layer, inner: Layer, shapes: Sequence[Shape]) -> TorchStep:
    if inner.class_name not in _STATES:
        msg = (
            f"layer '{layer.name}' ({layer.class_name}): no rule for '{inner.class_name}' inside it"
        )
        raise UnsupportedError(msg, hint=f"inside it: {', '.join(_STATES)}")
    found = find_layer_rule(inner.class_name).lower(inner, *shapes)
    steps = found.steps if isinstance(found, Lowered) else found
    return steps[0]


_ON_LAST_AXIS = ("Dense",)
"""Their torch modules take any number of axes before the last: time needs no treatment."""


def _renamed(params: Sequence[Param], prefix: str) -> tuple[Param, ...]:
    return tuple(replace(param, source=f"{prefix}/{param.source}") for param in params)


@layer(
    "TimeDistributed",
    examples=(
        Example({"layer": _wrapped("Dense", activation="relu")}, _SEQUENCE),
        Example({"layer": _wrapped("LSTM")}, ((2, 5, 4),)),
        Example({"layer": {"class_name": "Flatten", "config": {}}}, ((2, 5, 4),)),
        Example(
            {"layer": {"class_name": "Activation", "config": {"activation": "linear"}}}, _SEQUENCE
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
    rule = find_layer_rule(inner.class_name)
    if inner.trainable and layer.trainable and any(not w.trainable for w in rule.weights):
        # Keras 3 moves the statistics once for every time step.
        msg = (
            f"layer '{layer.name}' (TimeDistributed): '{inner.class_name}' inside it moves statistics while it "
            "trains; no rule for that"
        )
        raise UnsupportedError(msg, hint="freeze it before saving")
    before, behind, mask = _frame_masks(layer, inner)
    if inner.class_name in _ON_LAST_AXIS:
        steps, output = _inside(rule.lower(inner, shapes[0]), "input_0")
        return Lowered((*before, *steps), (output,), masks=(mask,))
    shape: Shape = (None, *shapes[0][2:])
    found = rule.lower(_with_frame_mask(layer, inner, before), shape)
    steps, output = _inside(found, "frames")
    if not steps:
        return Lowered(tuple(behind), ("input_0",), masks=(mask,))
    flat = {"start_dim": 0, "end_dim": 1}
    frames = TorchStep("torch.flatten", flat, (), shape, "", ("input_0",), ("frames",))
    for step in steps:
        shape = shape if step.shape is None else step.shape
    split = TorchStep(
        "compat.split_time",
        shape=(*shapes[0][:2], *shape[1:]),
        inputs=(output, "input_0"),
        results=("split",),
    )
    return Lowered((*before, frames, *steps, split, *behind), ("split",), masks=(mask,))


def _inside(found: list[TorchStep] | Lowered, given: str) -> tuple[list[TorchStep], str]:
    """Return the steps of a wrapped layer under names of their own, and the name of its output.

    Raises:
        UnsupportedError: It has several outputs.
    """
    steps = found.steps if isinstance(found, Lowered) else found
    outputs = found.outputs if isinstance(found, Lowered) else ("last",)
    if len(outputs) != 1:
        msg = f"TimeDistributed: the layer inside it has {len(outputs)} outputs, needed is one"
        raise UnsupportedError(msg)
    names = {"input_0": given, "mask_0": "frames_mask"}
    renamed = []
    for index, step in enumerate(steps):
        results = step.results
        if index == len(steps) - 1 and not isinstance(found, Lowered):
            results = ("last",)
        inputs = step.inputs or ((given,) if index == 0 else ())
        renamed.append(
            replace(
                step,
                params=_renamed(step.params, "layer"),
                inputs=tuple(names.get(name, name) for name in inputs),
                results=tuple(f"inner_{name}" for name in results),
            )
        )
        names |= {name: f"inner_{name}" for name in results}
    return renamed, names.get(outputs[0], outputs[0]) if steps else given


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
    skips = inner.class_name in (*_STATES, "Bidirectional", "GlobalAveragePooling1D", "Softmax")
    if len(shape) == 2:
        if skips:
            msg = (
                f"layer '{layer.name}' (TimeDistributed): '{inner.class_name}' inside it would get the mask {shape}, "
                "one number for each sample"
            )
            raise UnsupportedError(msg)
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
    return replace(inner, config={**inner.config, "masks": masks})
