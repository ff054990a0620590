"""Image layers: resizing and cropping, and augmentations, which change nothing at inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.lowering.masking import masks_of
from converters.registry import Example, Lowered, Plain, Shape, TorchStep, layer
from converters.rule_parts.windows import Frame, extents
from converters.settings import flag, integer, number, text, unsupported

KERNELS = ("bilinear", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic", "area")
"""Interpolations besides "nearest". Keras 3 has the first four, Keras 2 all."""


def resize_step(
    layer: Layer, frame: Frame, size: tuple[int, int], *, antialias: bool = False
) -> TorchStep:
    """Return the step that resizes (batch, channels, height, width) with the layer's interpolation.

    Raises:
        UnsupportedError: No Keras has such an interpolation.
    """
    kernel = text(layer, "interpolation", "bilinear")
    shape = frame.shape(frame.any_channels, size)
    kwargs: dict[str, Plain] = {"size": size, "mode": "nearest-exact"}
    if kernel == "nearest":  # "nearest-exact" looks at the middles of the cells, as TensorFlow does
        return TorchStep("F.interpolate", kwargs, shape=shape)
    if kernel == "bilinear" and not antialias:
        kwargs |= {"mode": "bilinear", "align_corners": False}
        return TorchStep("F.interpolate", kwargs, shape=shape)
    if kernel not in KERNELS:
        raise unsupported(layer, "interpolation", needed=f"nearest, {', '.join(KERNELS)}")
    kwargs = {"size": size, "kernel": kernel, **({"antialias": True} if antialias else {})}
    return TorchStep("compat.resample", kwargs, shape=shape)


def is_whole(layer: Layer) -> bool:
    """Return whether a rule of `numbers="kept"` gets whole numbers."""
    return layer.config.get("whole") is True


def with_type_back(
    layer: Layer, steps: Sequence[TorchStep], op: str = "compat.round_as"
) -> list[TorchStep]:
    """Return the steps computed with floating numbers; Keras 3 gives whole numbers back as such, Keras 2 does not.

    Source: keras 3.15.1, ops/image.py, `_resize`; tf.keras 2.15, layers/preprocessing/image_preprocessing.py.
    """
    if not is_whole(layer) or not steps:
        return list(steps)
    floats = [TorchStep("compat.cast", {"dtype": "float32"}), *steps]
    if masks_of(layer).generation < 3:
        return floats
    floats[-1] = replace(floats[-1], results=("floats",))
    return [*floats, TorchStep(op, shape=floats[-1].shape, inputs=("floats", "input_0"))]


def _single_images_too(
    rule: Callable[..., list[TorchStep]],
) -> Callable[..., list[TorchStep]]:
    """Return the rule for one image without a batch, too, of which it makes a batch of one."""

    @wraps(rule)
    def of_any_rank(layer: Layer, *shapes: Shape) -> list[TorchStep]:
        _check_alone(layer, shapes)
        if len(shapes[0]) != 3:
            return rule(layer, *shapes)
        batch = (1, *shapes[0])
        steps = rule(layer, batch)
        after = next((step.shape for step in reversed(steps) if step.shape), batch)
        return [
            TorchStep("torch.unsqueeze", {"dim": 0}, shape=batch),
            *steps,
            TorchStep("torch.squeeze", {"dim": 0}, shape=after[1:]),
        ]

    return of_any_rank


def _check_alone(layer: Layer, shapes: Sequence[Shape]) -> None:
    """Raise UnsupportedError if a layer that moves pixels gets a dictionary: labels and boxes beside the images."""
    if len(shapes) > 1:
        msg = (
            f"layer '{layer.name}' ({layer.class_name}) is called with a dictionary of {len(shapes)} tensors; images "
            "alone are converted, not the boxes and masks that move with them"
        )
        raise UnsupportedError(msg)


def _ratio_step(layer: Layer, frame: Frame, size: tuple[int, int], op: str) -> TorchStep:
    kwargs: dict[str, Plain] = {"size": size}
    if op == "compat.pad_to_ratio" and (value := number(layer, "fill_value", 0.0)):
        kwargs["value"] = value
    return TorchStep(op, kwargs, shape=frame.shape(frame.any_channels, (None, None)))


def _size(layer: Layer) -> tuple[int, int]:
    size = integer(layer, "height"), integer(layer, "width")
    if min(size) < 1:
        raise unsupported(layer, "height", needed="height and width of 1 or more")
    return size


@layer(
    "Resizing",
    examples=(
        Example({"height": 7, "width": 4}, ((5, 6, 3),)),
        Example({"height": 3, "width": 8, "interpolation": "nearest"}, ((5, 6, 3),)),
        Example({"height": 9, "width": 4, "interpolation": "bicubic"}, ((5, 6, 3),)),
        Example(
            {"height": 3, "width": 2, "interpolation": "lanczos3", "antialias": True}, ((7, 6, 3),)
        ),
        Example({"height": 4, "width": 3, "crop_to_aspect_ratio": True}, ((5, 6, 2),)),
        Example(
            {"height": 4, "width": 4, "pad_to_aspect_ratio": True, "fill_value": 2.5}, ((5, 8, 2),)
        ),
        Example({"height": 3, "width": 8, "data_format": "channels_first"}, ((3, 5, 6),)),
        Example({"height": 7, "width": 4, "interpolation": "bicubic"}, ((5, 6, 3),), below=256),
    ),
    numbers="kept",
)
@_single_images_too
def resizing(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return images of a fixed size."""
    frame, size = Frame.of(layer, shapes[0], 2), _size(layer)
    steps = []
    if flag(layer, "crop_to_aspect_ratio", default=False):
        steps.append(_ratio_step(layer, frame, size, "compat.crop_to_ratio"))
    elif flag(layer, "pad_to_aspect_ratio", default=False):
        if text(layer, "fill_mode", "constant") != "constant":
            raise unsupported(layer, "fill_mode", needed="constant")
        steps.append(_ratio_step(layer, frame, size, "compat.pad_to_ratio"))
    antialias = flag(layer, "antialias", default=False)
    steps.append(resize_step(layer, frame, size, antialias=antialias))
    steps = [*frame.enter(), *steps, *frame.leave(frame.any_channels, size)]
    return with_type_back(layer, steps)


@layer(
    "CenterCrop",
    examples=(
        Example({"height": 3, "width": 4}, ((6, 7, 2),)),
        Example({"height": 3, "width": 3, "data_format": "channels_first"}, ((2, 5, 6),)),
        Example({"height": 6, "width": 4}, ((5, 7, 2),)),
        Example({"height": 3, "width": 4}, ((6, 7, 2),), below=256),
    ),
    numbers="floats",
)
@_single_images_too
def center_crop(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the middle of the images; smaller images are cut to the ratio and enlarged."""
    frame, size = Frame.of(layer, shapes[0], 2), _size(layer)
    if None in frame.sizes:
        step = TorchStep(
            "compat.crop_middle", {"size": size}, shape=frame.shape(frame.any_channels, size)
        )
        return [*frame.enter(), step, *frame.leave(frame.any_channels, size)]
    spare = [(found or 0) - wanted for found, wanted in zip(frame.sizes, size, strict=True)]
    if min(spare) < 0:
        return _fitted(layer, frame, size)
    starts = [cells // 2 for cells in spare]
    axes = frame.spatial_axes
    cuts: list[Plain] = [("slice", None, None, None)] * (axes[1] + 1)
    for axis, start, count in zip(axes, starts, size, strict=True):
        cuts[axis] = ("slice", start, start + count, None)
    shape = list(shapes[0])
    shape[axes[0]], shape[axes[1]] = size
    return [TorchStep("operator.getitem", {"index": tuple(cuts)}, shape=tuple(shape))]


def _fitted(layer: Layer, frame: Frame, size: tuple[int, int]) -> list[TorchStep]:
    steps = [
        _ratio_step(layer, frame, size, "compat.crop_to_ratio"),
        resize_step(layer, frame, size),
    ]
    return [*frame.enter(), *steps, *frame.leave(frame.any_channels, size)]


@layer(
    "RandomCrop",
    idle_in_training=True,
    examples=(Example({"height": 3, "width": 4}, ((3, 4, 2),)),),
)
def random_crop(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return what Keras gives at inference: Keras 2 resizes the middle, Keras 3 leaves images as they are.

    Source: tf.keras 2.15, layers/preprocessing/image_preprocessing.py; keras 3.15.1,
    layers/preprocessing/image_preprocessing/random_crop.py, `transform_images`.
    """
    if "data_format" in layer.config:  # Keras 2 has no such setting
        return []
    frame, size = Frame.of(layer, shapes[0], 2), _size(layer)
    return [] if frame.sizes == size else _fitted(layer, frame, size)


def _value_range(layer: Layer) -> tuple[float, float]:
    value = layer.config.get("value_range", (0, 255))
    numbers = value if isinstance(value, (list, tuple)) else ()
    first, last = [float(item) for item in numbers if isinstance(item, (int, float))] or [0.0, 0.0]
    if first >= last:
        raise unsupported(layer, "value_range", needed="two numbers, the smaller first")
    return first, last


@layer(
    "AutoContrast",
    examples=(Example({"value_range": [0, 1]}, ((5, 4, 3),)),),
    numbers="floats",
)
def auto_contrast(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return images stretched over the whole range, channel by channel."""
    return [TorchStep("compat.stretch_contrast", {"value_range": _value_range(layer)})]


@layer(
    "ContrastLimitedAdaptiveHistogramEqualization",
    examples=(
        Example({"tile_grid_size": [2, 3], "value_range": [-4, 4]}, ((7, 8, 2),)),
        Example(
            {"tile_grid_size": [2, 2], "clip_limit": 0.0, "value_range": [-4, 4]}, ((6, 4, 1),)
        ),
    ),
    numbers="kept",
)
def equalization_of_tiles(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return images where each pixel goes by the histograms of the tiles around it."""
    frame = Frame.of(layer, shapes[0], 2)
    kwargs: dict[str, Plain] = {
        "value_range": _value_range(layer),
        "clip_limit": number(layer, "clip_limit", 4.0),
        "grid": extents(layer, "tile_grid_size", 2, 8),
    }
    step = TorchStep("compat.equalize_tiles", kwargs)
    steps = [step]
    if not frame.channels_last:
        last = (frame.batch, *frame.sizes, frame.any_channels)
        steps = [
            TorchStep("torch.permute", {"dims": (0, 2, 3, 1)}, shape=last),
            step,
            TorchStep("torch.permute", {"dims": (0, 3, 1, 2)}, shape=shapes[0]),
        ]
    return with_type_back(layer, steps, "compat.cast_as")


_OF_COLOURS = (
    *("RandomBrightness", "RandomContrast", "RandomColorDegeneration", "RandomHue", "RandomInvert"),
    *("RandomSaturation", "RandomSharpness", "RandomGrayscale", "RandomGaussianBlur"),
    *("RandomErasing", "RandomColorJitter", "RandomPosterization", "Solarization", "Equalization"),
)
"""Augmentations that move no pixel: labels, masks and boxes beside the images stay as they are."""


def _idle(**kwargs: object) -> tuple[Example, ...]:
    return (Example(kwargs, ((5, 4, 3),)),)


@layer(
    *("RandomFlip", "RandomGaussianBlur", "RandomErasing", "RandomShear", "RandomPerspective"),
    *("RandomElasticTransform", "Solarization", "AugMix", "CutMix", "RandAugment"),
    idle_in_training=True,
    examples=_idle(),
    numbers="floats",
)
@layer(
    *("RandomRotation", "RandomSharpness"),
    idle_in_training=True,
    examples=_idle(factor=0.25),
    numbers="floats",
)
@layer(*("RandomGrayscale", "RandomColorJitter", "MixUp"), idle_in_training=True, examples=_idle())
@layer(
    *("RandomBrightness", "RandomContrast", "RandomColorDegeneration", "RandomHue"),
    *("RandomInvert", "RandomSaturation"),
    idle_in_training=True,
    examples=_idle(factor=0.25),
)
@layer("RandomPosterization", idle_in_training=True, examples=_idle(factor=4))
@layer("RandomHeight", "RandomWidth", idle_in_training=True)
@layer(
    "RandomZoom",
    idle_in_training=True,
    examples=_idle(height_factor=0.25),
    numbers="floats",
)
@layer(
    "RandomTranslation",
    idle_in_training=True,
    examples=_idle(height_factor=0.25, width_factor=0.25),
    numbers="floats",
)
@layer("Equalization", idle_in_training=True)
@layer("MaxNumBoundingBoxes", idle_in_training=True, examples=_idle(max_number=3))
def augmentation(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return nothing: at inference images stay as they are, some as floating numbers."""
    if layer.class_name not in _OF_COLOURS:
        _check_alone(layer, shapes)
    return Lowered((), tuple(f"input_{index}" for index in range(len(shapes))))
