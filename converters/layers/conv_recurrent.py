"""Convolutional LSTMs over one to three spatial axes.

As with convolutions, the channels are moved in front for torch and back behind it; `converters.passes.channels` takes
out the moves that cancel.
"""

from __future__ import annotations

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.activations import activation_argument
from converters.layers.recurrent import mask_of
from converters.lowering.masking import masks_of
from converters.matching.stored_forms import kernel_param
from converters.registry import Example, Lowered, Param, Plain, Shape, TorchStep, Weight, layer
from converters.rule_parts.windows import (
    SPATIAL_AXES,
    Frame,
    dilated,
    extents,
    output_sizes,
    pad_argument,
    same_padding,
)
from converters.settings import flag, integer, number, text, unsupported

_WEIGHTS = (Weight("kernel"), Weight("recurrent_kernel"), Weight("bias", when="use_bias"))
_LINE = ((4, 6, 2),)
_IMAGES = ((3, 5, 4, 2),)


def _pads(
    layer: Layer, frame: Frame, windows: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the zeros around x; Keras wants the sizes of ConvLSTM's inputs to be known."""
    padding = text(layer, "padding", "valid")
    if padding == "valid":
        return ()
    if padding != "same" or (None in frame.sizes and max(strides) > 1):
        raise unsupported(layer, "padding", needed="valid, or same with spatial axes of known size")
    odd = all(window % 2 for window in windows)
    if layer.config.get("theano_windows") is True and not (odd and max(strides) == 1):
        raise unsupported(layer, "padding", needed="valid: Theano laid its windows otherwise")
    pads = [
        # With a stride of 1 the zeros do not depend on the size.
        same_padding(size or window, window, stride)
        for size, window, stride in zip(frame.sizes, windows, strides, strict=True)
    ]
    return pad_argument(pads)


def _settings(layer: Layer, frame: Frame) -> dict[str, Plain]:
    """Return the arguments of `compat.ConvLSTM` besides the sizes, without those that are its defaults."""
    rank = frame.rank
    strides, dilation = extents(layer, "strides", rank, 1), extents(layer, "dilation_rate", rank, 1)
    windows = dilated(extents(layer, "kernel_size", rank), dilation)
    pads = _pads(layer, frame, windows, strides)
    kwargs: dict[str, Plain] = {}
    if max(strides) > 1:
        kwargs["stride"] = strides
    if max(dilation) > 1:
        kwargs["dilation"] = dilation
    if any(pads):
        kwargs["pad"] = pads
    last = 1 if frame.channels_last else -1  # torch has the channels there
    kwargs |= activation_argument(layer, "activation", "tanh", last=last)
    kwargs |= activation_argument(layer, "recurrent_activation", "sigmoid", last=last)
    if not flag(layer, "use_bias", default=True):
        kwargs["use_bias"] = False
    for name in ("return_sequences", "return_state", "go_backwards", "stateful"):
        if flag(layer, name, default=False):
            kwargs[name] = True
    for name in ("dropout", "recurrent_dropout"):
        if 0.0 < number(layer, name, 0.0) < 1.0:  # Keras drops nothing at a rate of 1
            kwargs[name] = number(layer, name)
    return kwargs


def _conv_lstm(layer: Layer, shapes: tuple[Shape, ...], rank: int) -> Lowered:
    if len(shapes) not in (1, 3) or len(shapes[0]) != rank + 3:
        found = ", ".join(str(shape) for shape in shapes)
        msg = (
            f"layer '{layer.name}' ({layer.class_name}): needed is one input (batch, time, {rank} axes of space and "
            f"channels), alone or with 2 initial states; found {found}"
        )
        raise UnsupportedError(msg)
    batch, time = shapes[0][:2]
    frame = Frame.of(layer, (batch, *shapes[0][2:]), rank)
    filters, kwargs = integer(layer, "filters"), _settings(layer, frame)
    kernel = extents(layer, "kernel_size", rank)
    strides, dilation = extents(layer, "strides", rank, 1), extents(layer, "dilation_rate", rank, 1)
    sizes = output_sizes(
        frame.sizes, dilated(kernel, dilation), strides, padding=text(layer, "padding", "valid")
    )
    state = frame.shape(filters, sizes)
    states = ("h", "cell") if "return_state" in kwargs else ()
    taken, steps = _entered(shapes, frame, rank)
    # A mask of every cell lies along the spatial axes where these are the first behind the time.
    mask = mask_of(layer, shapes, rank=2 + rank if frame.channels_last else 2)
    _check_cells(layer, mask, sizes)
    behind = masks_of(layer).of_input() if "return_sequences" in kwargs else None
    axes = SPATIAL_AXES[rank]
    params = [
        kernel_param(
            layer,
            role,
            ("in", "out"),
            (channels, 4 * filters),
            kernel,
            axes=axes,
            given="out in",
            name=name,
        )
        for name, role, channels in (
            ("weight_ih", "kernel", frame.channels),
            ("weight_hh", "recurrent_kernel", filters),
        )
    ]
    if "use_bias" not in kwargs:
        params.append(Param("bias", "bias", "out -> out", (4 * filters,)))
    output = (batch, time, *state[1:]) if "return_sequences" in kwargs else state
    results = ("output", *states)
    steps.append(
        TorchStep(
            "compat.ConvLSTM" if mask is None else "compat.MaskedConvLSTM",
            {"in_channels": frame.channels, "filters": filters, "kernel_size": kernel, **kwargs},
            tuple(params),
            shape=output,
            inputs=taken if mask is None else (taken[0], mask, *taken[1:]),
            results=results,
            further_shapes=(state,) * len(states),
        )
    )
    if not frame.channels_last:
        return Lowered(tuple(steps), results, masks=(behind,))
    shapes_out = (output, *(state,) * len(states))
    pairs = zip(results, shapes_out, strict=True)
    leaving = [_moved_back(name, shape, rank) for name, shape in pairs]
    outputs = tuple(step.results[0] for step in leaving)
    return Lowered((*steps, *leaving), outputs, masks=(behind,))


def _check_cells(layer: Layer, mask: str | None, sizes: Shape) -> None:
    """Raise UnsupportedError for a mask of every cell of x where the state has others; Keras cannot compute it."""
    masked = masks_of(layer).shapes[mask][2:] if mask is not None else ()
    if any(None not in pair and pair[0] != pair[1] for pair in zip(masked, sizes, strict=False)):
        msg = f"layer '{layer.name}' ({layer.class_name}): its mask has cells {masked}, its state {sizes}"
        raise UnsupportedError(msg)


def _entered(
    shapes: tuple[Shape, ...], frame: Frame, rank: int
) -> tuple[tuple[str, ...], list[TorchStep]]:
    """Return the names of the inputs as torch wants them, and the steps that move the channels there."""
    names = [f"input_{index}" for index in range(len(shapes))]
    if not frame.channels_last:
        return tuple(names), []
    steps = []
    for index, shape in enumerate(shapes):
        leading = len(shape) - rank - 1  # batch and time, or batch
        order = (*range(leading), len(shape) - 1, *range(leading, len(shape) - 1))
        steps.append(
            TorchStep(
                "torch.permute",
                {"dims": order},
                shape=tuple(shape[axis] for axis in order),
                inputs=(names[index],),
                results=(f"moved_{index}",),
            )
        )
    return tuple(step.results[0] for step in steps), steps


def _moved_back(name: str, shape: Shape, rank: int) -> TorchStep:
    """Return the step that moves the channels of a result behind its spatial axes."""
    leading = len(shape) - rank - 1
    order = (*range(leading), *range(leading + 1, len(shape)), leading)
    moved = tuple(shape[axis] for axis in order)
    return TorchStep("torch.permute", {"dims": order}, (), moved, "", (name,), (f"{name}_back",))


@layer(
    "ConvLSTM1D",
    weights=_WEIGHTS,
    examples=(
        Example({"filters": 3, "kernel_size": 2, "padding": "same", "strides": 2}, _LINE),
        Example({"filters": 3, "kernel_size": 3, "dilation_rate": 2, "return_state": True}, _LINE),
        Example(
            {"filters": 3, "kernel_size": 3, "return_sequences": True}, (*_LINE, (4, 3), (4, 3))
        ),
    ),
    mask="use",
)
def conv_lstm_1d(layer: Layer, *shapes: Shape) -> Lowered:
    """Return `compat.ConvLSTM` over one spatial axis."""
    return _conv_lstm(layer, shapes, 1)


@layer(
    "ConvLSTM2D",
    weights=_WEIGHTS,
    examples=(
        Example({"filters": 3, "kernel_size": 2, "return_sequences": True}, _IMAGES),
        Example(
            {"filters": 3, "kernel_size": [3, 2], "padding": "same", "go_backwards": True}, _IMAGES
        ),
        Example(
            {"filters": 3, "kernel_size": 3, "padding": "same", "return_sequences": True},
            _IMAGES,
            masked=(0,),
        ),
        Example(
            {
                "filters": 3,
                "kernel_size": 2,
                "recurrent_activation": "softmax",
                "activation": "relu",
                "use_bias": False,
                "return_sequences": True,
                "return_state": True,
            },
            _IMAGES,
        ),
    ),
    mask="use",
)
def conv_lstm_2d(layer: Layer, *shapes: Shape) -> Lowered:
    """Return `compat.ConvLSTM` over two spatial axes."""
    return _conv_lstm(layer, shapes, 2)


@layer(
    "ConvLSTM3D",
    weights=_WEIGHTS,
    examples=(Example({"filters": 2, "kernel_size": 2, "padding": "same"}, ((2, 3, 4, 3, 2),)),),
    mask="use",
)
def conv_lstm_3d(layer: Layer, *shapes: Shape) -> Lowered:
    """Return `compat.ConvLSTM` over three spatial axes."""
    return _conv_lstm(layer, shapes, 3)
