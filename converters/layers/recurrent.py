"""Recurrent layers.

Gates are stored as i, f, c, o (LSTM; torch's order, with g for c) and z, r, h (GRU; torch has r, z, n).
"""

from __future__ import annotations

from collections.abc import Sequence

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.activations import activation_argument
from converters.lowering.masking import masks_of
from converters.registry import (
    Example,
    Lowered,
    Param,
    Plain,
    Shape,
    TorchStep,
    Weight,
    layer,
)
from converters.settings import flag, integer, number, unsupported

_WEIGHTS = (Weight("kernel"), Weight("recurrent_kernel"), Weight("bias", when="use_bias"))
_SEQUENCE = ((5, 4),)
STATES = {"LSTM": ("h", "cell"), "GRU": ("h",), "SimpleRNN": ("h",)}
"""Names of the states."""


def _recurrent_step(layer: Layer, shapes: Sequence[Shape], params: Sequence[Param]) -> TorchStep:
    """Return the step of a layer; its results are named "output" and by the states it returns."""
    kind, mask = layer.class_name, mask_of(layer, shapes)
    _check_recurrent(layer, shapes)
    units = integer(layer, "units")
    kwargs: dict[str, Plain] = {"input_size": shapes[0][2] or 0, "units": units}
    kwargs |= activation_argument(layer, "activation", "tanh")
    if kind != "SimpleRNN":
        kwargs |= activation_argument(layer, "recurrent_activation", "sigmoid")
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
    states = STATES[kind] if "return_state" in kwargs else ()
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
    states = len(STATES[layer.class_name])
    if len(shapes) not in (1, 1 + states) or len(shapes[0]) != 3:
        found = ", ".join(str(shape) for shape in shapes)
        msg = (
            f"layer '{layer.name}' ({layer.class_name}): needed is one input (batch, time, features), alone or "
            f"with {states} initial states; found {found}"
        )
        raise UnsupportedError(msg)


def mask_of(layer: Layer, shapes: Sequence[Shape], *, rank: int = 2) -> str | None:
    """Return the name of the mask that the layer goes by; Keras 3 gives it none of its own accord beside initial states.

    The mask is (batch, time), or has `rank` axes.
    """
    masks = masks_of(layer)
    given, carried = masks.of_input(), len(shapes) > 1 and masks.generation >= 3
    if given is None or (carried and given == "mask_0"):
        return None
    if len(masks.shapes[given]) not in (2, rank):
        msg = f"layer '{layer.name}' ({layer.class_name}): its mask {masks.shapes[given]} is not (batch, time)"
        raise UnsupportedError(msg)
    return given


def _lowered(layer: Layer, step: TorchStep, shapes: Sequence[Shape]) -> Lowered:
    """Return the layer's step, and the mask of its sequence. Source: keras 3.15.1, layers/rnn/rnn.py."""
    returns_sequences = flag(layer, "return_sequences", default=False)
    behind = masks_of(layer).of_input() if returns_sequences else None
    mask = mask_of(layer, shapes)
    if mask is None or not flag(layer, "zero_output_for_mask", default=False):
        return Lowered((step,), step.results, masks=(behind,))
    steps, output, *states = [step], *step.results
    if flag(layer, "go_backwards", default=False):  # so runs the output
        shape = masks_of(layer).shapes[mask]
        steps.append(turned(mask, shape))
        mask = "turned"
    steps.append(zeroed(output, mask, step.shape or ()))
    return Lowered(tuple(steps), ("zeroed", *states), masks=(behind,))


def turned(mask: str, shape: Shape) -> TorchStep:
    """Return the step that names the mask of a sequence that goes backwards "turned"."""
    return TorchStep("torch.flip", {"dims": (1,)}, (), shape, "", (mask,), ("turned",))


def zeroed(output: str, mask: str, shape: Shape, name: str = "zeroed") -> TorchStep:
    """Return the step that sets the outputs of masked time steps to 0."""
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
