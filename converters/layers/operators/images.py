"""Colors, blurs and projections of images."""

from __future__ import annotations

from converters.graph import Layer
from converters.registry import Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import Operation, plain_numbers, refused
from converters.rule_parts.windows import extents
from converters.settings import integer, number, text, unsupported

_FILLS = ("constant", "nearest", "reflect", "wrap")


def _channels(operation: Operation, name: str, ranks: tuple[int, ...] = (3, 4)) -> dict[str, Plain]:
    """Return the argument that says where the channels are, unless they are last."""
    shape, given = operation.shape(name), operation.settings.get("data_format")
    if given not in (None, "channels_last", "channels_first") or len(shape) not in ranks:
        raise refused(operation.layer, f"images {shape}, data format {given!r:.40}")
    return {"channels_last": False} if given == "channels_first" else {}


@layer("ops.RGBToHSV", "ops.HSVToRGB", takes_call=True)
def colors(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return images with their three channels in another system of colors."""
    operation = Operation.of(layer, shapes, "images")
    operation.only("images")
    kwargs = _channels(operation, "images")
    if shapes[0][-3 if kwargs else -1] != 3:
        raise refused(layer, f"images {shapes[0]}, three channels are needed")
    op = "compat.rgb_to_hsv" if layer.class_name == "ops.RGBToHSV" else "compat.hsv_to_rgb"
    return [TorchStep(op, kwargs)]


@layer("ops.RGBToGrayscale", takes_call=True)
def to_gray(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return images with one channel of three; those that have one stay."""
    operation = Operation.of(layer, shapes, "images")
    operation.only("images")
    kwargs = _channels(operation, "images")
    axis = len(shapes[0]) - (3 if kwargs else 1)
    if shapes[0][axis] not in (1, 3):
        raise refused(layer, f"images {shapes[0]}, one or three channels are needed")
    shape = (*shapes[0][:axis], 1, *shapes[0][axis + 1 :])
    return [] if shapes[0] == shape else [TorchStep("compat.to_gray", kwargs, shape=shape)]


@layer("ops.GaussianBlur", takes_call=True)
def gaussian_blur(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return images of which every cell is a mean of its surroundings."""
    operation = Operation.of(layer, shapes, "images")
    operation.only("images")
    kwargs = _channels(operation, "images")
    size = extents(operation.layer, "kernel_size", 2, 3)
    sigma = plain_numbers(layer, operation.settings.get("sigma", (1.0, 1.0)))
    if size[0] != size[1]:
        raise unsupported(
            operation.layer, "kernel_size", needed="a square: Keras tears others apart"
        )
    if not isinstance(sigma, tuple) or len(sigma) != 2:
        raise unsupported(operation.layer, "sigma", needed="two numbers")
    return [TorchStep("compat.gaussian_blur", {"size": size[0], "sigma": sigma, **kwargs})]


@layer("ops.SobelEdges", takes_call=True)
def sobel_edges(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the slopes of images downwards and to the right."""
    operation = Operation.of(layer, shapes, "images")
    operation.only("images")
    kwargs = _channels(operation, "images", (4,))
    return [TorchStep("compat.sobel_edges", kwargs, shape=(*shapes[0], 2))]


@layer("ops.SSIM", takes_call=True)
def structural_similarity(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return how alike two images are."""
    operation = Operation.of(layer, shapes, "image1", "image2")
    operation.only("image1", "image2")
    bound = operation.layer
    kwargs: dict[str, Plain] = {
        "largest": number(bound, "max_val", 1.0),
        "size": integer(bound, "filter_size", 11),
        "sigma": number(bound, "filter_sigma", 1.5),
        "k1": number(bound, "k1", 0.01),
        "k2": number(bound, "k2", 0.03),
        **_channels(operation, "image1"),
    }
    names = [operation.value("image1"), operation.value("image2")]
    shape = operation.shape("image1")[:-3]
    operation.result("compat.structural_similarity", kwargs, of=names, shape=shape)
    return operation.steps


@layer("ops.AffineTransform", "ops.PerspectiveTransform", takes_call=True)
def projection(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return images of which every cell shows what lies at a projected place."""
    affine = layer.class_name == "ops.AffineTransform"
    names = ("images", "transform") if affine else ("images", "start_points", "end_points")
    operation = Operation.of(layer, shapes, *names)
    operation.only(*names)
    bound = operation.layer
    kind, fill = text(bound, "interpolation", "bilinear"), text(bound, "fill_mode", "constant")
    if kind not in ("bilinear", "nearest") or fill not in _FILLS:
        raise refused(layer, f"interpolation {kind!r:.20}, fill {fill!r:.20}")
    kwargs: dict[str, Plain] = {"nearest": True} if kind == "nearest" else {}
    kwargs |= {} if fill == "constant" else {"fill": fill}
    value = number(bound, "fill_value", 0)
    kwargs |= {"value": value} if value else {}
    kwargs |= _channels(operation, "images")
    if affine:
        transform = operation.value("transform")
    else:
        points = [operation.value(key) for key in names[1:]]
        count = operation.shape(names[1])[:-2] or (1,)
        transform = operation.result("compat.homography", of=points, shape=(*count, 8))
    of = [operation.value("images"), transform]
    operation.result("compat.project_images", kwargs, of=of, shape=operation.shape("images"))
    return operation.steps


@layer("ops.MapCoordinates", takes_call=True)
def read_places(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return what lies at places of a tensor."""
    operation = Operation.of(layer, shapes, "inputs", "coordinates")
    operation.only("inputs", "coordinates")
    bound = operation.layer
    order, fill = integer(bound, "order"), text(bound, "fill_mode", "constant")
    if order not in (0, 1) or fill not in (*_FILLS, "mirror"):
        raise refused(layer, f"order {order}, fill {fill!r:.20}")
    kwargs: dict[str, Plain] = {"order": order, "fill": fill}
    value = number(bound, "fill_value", 0)
    kwargs |= {"value": value} if value else {}
    names = [operation.value("inputs"), operation.value("coordinates")]
    shape = operation.shape("coordinates")[1:]
    operation.result("compat.read_places", kwargs, of=names, shape=shape)
    return operation.steps
