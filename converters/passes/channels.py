"""Takes out moves of the channels that cancel.

Rules of spatial layers move the channels in front for torch and back behind. Here a moved value is not computed but
noted as a view of the value it is moved from: operations that do not care about the order of axes, or whose axis can
be renamed, are applied to that value instead, and the next rule's move to the front undoes the move to the back.
Whatever needs the order gets it then, once. A convolutional network keeps one move at its start and one before Flatten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.architecture import Step
from converters.registry import Plain

Path = tuple[str, ...]
Order = tuple[int, ...]

ELEMENTWISE = frozenset(
    {
        *("nn.Dropout", "F.relu", "F.relu6", "F.leaky_relu", "F.elu", "F.celu", "F.selu", "F.gelu"),
        *("F.silu", "F.mish", "F.softplus", "F.softsign", "F.hardsigmoid", "F.hardswish"),
        *("F.hardtanh", "F.hardshrink", "F.softshrink", "F.tanhshrink", "F.logsigmoid"),
        *("nn.AlphaDropout", "compat.GaussianNoise", "compat.GaussianDropout"),
        *("torch.tanh", "torch.sigmoid", "torch.exp", "compat.relu", "compat.thresholded_relu"),
        *("torch.abs", "torch.sqrt", "torch.square", "torch.neg", "torch.log", "torch.clamp"),
        *("operator.truediv", "operator.pow"),
        *("compat.hard_sigmoid_keras2", "compat.squareplus", "compat.sparse_plus"),
        *("compat.sparse_sigmoid", "operator.add", "operator.sub", "operator.mul"),
        *("compat.average", "compat.maximum", "compat.minimum"),
    }
)
"""Every element of the result depends on the elements at its own place only."""
ALONG_ONE_AXIS = {
    "F.softmax": "dim",
    "F.log_softmax": "dim",
    "F.glu": "dim",
    "torch.cat": "dim",
    "compat.BatchNorm": "axis",
    "compat.unit_length": "dim",
}
"""The argument that names the axis; it follows the axis to where it lies now."""
ALONG_SEVERAL_AXES = {"compat.SharedDropout": "axes", "compat.SharedAlphaDropout": "axes"}
"""Arguments that name axes, counted from the front."""
REDUCTIONS = frozenset({"torch.mean", "torch.sum", "torch.amax", "torch.amin"})
_WHOLE: Plain = ("slice", None, None, None)  # of an axis


@dataclass(slots=True)
class _Walk:
    """What is known while the steps are walked.

    Attributes:
        views: value to the value that is computed and the order in which its axes make the first.
        made: views that had to be computed after all, to the name of the result.
        shared: attributes of modules that several steps call; their arguments are left alone.
    """

    fresh: Callable[[str], str]
    shared: frozenset[str]
    views: dict[str, tuple[str, Order]] = field(default_factory=dict)
    made: dict[tuple[str, Order], str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    origins: list[Path] = field(default_factory=list)
    computed: set[str] = field(default_factory=set)

    def add(self, step: Step, origin: Path) -> None:
        self.steps.append(step)
        self.origins.append(origin)
        self.computed.update(step.results)

    def in_order(self, value: str, origin: Path, blocks: tuple[tuple[str, int], ...] = ()) -> str:
        """Return the name of a computed value with the axes in the order that was asked for."""
        if value not in self.views:
            return value
        base, order = self.views[value]
        if order == tuple(range(len(order))):
            return base
        if (base, order) not in self.made:
            name = self.fresh(value) if value in self.computed else value
            move = Step("torch.permute", (base,), name, kwargs={"dims": order}, blocks=blocks)
            self.add(move, origin)
            self.made[base, order] = name
        return self.made[base, order]

    def move(self, step: Step) -> None:
        """Note a move of axes instead of computing it."""
        dims = step.kwargs["dims"]
        order = tuple(int(axis) for axis in dims) if isinstance(dims, tuple) else ()  # type: ignore[arg-type]
        base, before = self.views.get(step.inputs[0], (step.inputs[0], tuple(range(len(order)))))
        self.views[step.output] = base, tuple(before[axis] for axis in order)

    def apply(self, step: Step, origin: Path) -> None:
        """Compute a step on the moved values themselves if they all lie the same way, else in order."""
        found = [self.views.get(value) for value in step.inputs]
        first = found[0] if found else None  # a part of the state takes nothing
        changed = None
        if first is not None and all(view and view[1] == first[1] for view in found):
            changed = self.rewritten(step, first[1])
        if first is None or changed is None:
            inputs = tuple(self.in_order(value, origin, step.blocks) for value in step.inputs)
            self.add(replace(step, inputs=inputs), origin)
            return
        kwargs, order = changed
        bases = tuple(view[0] for view in found if view is not None)
        self.add(replace(step, inputs=bases, kwargs=kwargs), origin)
        self.views[step.output] = step.output, order

    def rewritten(self, step: Step, order: Order) -> tuple[Mapping[str, Plain], Order] | None:
        """Return the arguments for moved inputs and how the result lies, or None if the step needs the order."""
        kwargs = step.kwargs
        if step.op in ELEMENTWISE:
            return kwargs, order
        if step.op in ALONG_ONE_AXIS and step.attribute not in self.shared:
            key = ALONG_ONE_AXIS[step.op]
            axis = kwargs.get(key, -1)
            return ({**kwargs, key: order[axis]}, order) if isinstance(axis, int) else None
        if step.op in ALONG_SEVERAL_AXES and step.attribute not in self.shared:
            key = ALONG_SEVERAL_AXES[step.op]
            axes = kwargs[key]
            moved = tuple(sorted(order[int(axis)] for axis in axes))  # type: ignore[arg-type, union-attr]
            return {**kwargs, key: moved}, order
        if step.op == "F.pad" and isinstance(pads := kwargs["pad"], tuple):
            return {**kwargs, "pad": moved_pads(pads, order)}, order
        if step.op == "operator.getitem" and isinstance(index := kwargs["index"], tuple):
            cut = _moved_slices(index, order)
            return None if cut is None else ({**kwargs, "index": cut}, order)
        if step.op in REDUCTIONS and kwargs.get("dim") is not None:
            return _reduced(kwargs, order)
        return None


def moved_pads(pads: tuple[Plain, ...], order: Order) -> tuple[Plain, ...]:
    """Return the argument of `F.pad` for the value that is not moved. Pads are pairs, beginning with the last axis."""
    rank = len(order)
    by_axis: dict[int, tuple[Plain, ...]] = {
        order[rank - 1 - index]: pads[2 * index : 2 * index + 2] for index in range(len(pads) // 2)
    }
    first = min((axis for axis, pair in by_axis.items() if any(pair)), default=rank - 1)
    return tuple(
        size for axis in range(rank - 1, first - 1, -1) for size in by_axis.get(axis, (0, 0))
    )


def _moved_slices(index: tuple[Plain, ...], order: Order) -> tuple[Plain, ...] | None:
    """Return the slices of the value that is not moved; None if the index takes axes away or adds some."""
    if not all(isinstance(item, tuple) for item in index):
        return None
    by_axis = dict(zip(order, index, strict=False))
    return tuple(by_axis.get(axis, _WHOLE) for axis in range(max(by_axis, default=-1) + 1))


def _reduced(kwargs: Mapping[str, Plain], order: Order) -> tuple[Mapping[str, Plain], Order]:
    """Return where the reduced axes lie, and how those that remain lie to each other."""
    dim = kwargs["dim"]
    axes = {int(axis) % len(order) for axis in (dim if isinstance(dim, tuple) else (dim,))}  # type: ignore[arg-type]
    moved = tuple(sorted(order[axis] for axis in axes))
    if not kwargs.get("keepdim", False):
        left = [place for axis, place in enumerate(order) if axis not in axes]
        order = tuple(sorted(left).index(place) for place in left)
    return {**kwargs, "dim": moved if isinstance(dim, tuple) else moved[0]}, order


def settle_channels(
    steps: Sequence[Step],
    origins: Sequence[Path],
    outputs: Sequence[str],
    *,
    fresh: Callable[[str], str],
) -> tuple[list[Step], list[Path], tuple[str, ...]]:
    """Return the steps without the moves that cancel, their origins, and the names of the outputs.

    Args:
        steps: in order of computation.
        origins: the layer each step comes from.
        outputs: values that must have their axes in order.
        fresh: makes an unused name from a name.
    """
    if not any(step.op == "torch.permute" for step in steps):
        return list(steps), list(origins), tuple(outputs)
    calls = Counter(step.attribute for step in steps if step.attribute is not None)
    walk = _Walk(fresh, frozenset(name for name, count in calls.items() if count > 1))
    for step, origin in zip(steps, origins, strict=True):
        if step.op == "torch.permute":
            walk.move(step)
        else:
            walk.apply(step, origin)
    last = origins[-1]
    names = tuple(walk.in_order(value, last) for value in outputs)
    return *_with_kept_axes(walk.steps, walk.origins, names), names


def _with_kept_axes(
    steps: Sequence[Step], origins: Sequence[Path], outputs: Sequence[str]
) -> tuple[list[Step], list[Path]]:
    """Return the steps with reductions that keep their axes where an `unflatten` puts them back at once."""
    uses = Counter([*(value for step in steps for value in step.inputs), *outputs])
    made = {step.output: place for place, step in enumerate(steps) if step.op in REDUCTIONS}
    found: list[Step | None] = list(steps)
    for place, step in enumerate(steps):
        before = made.get(step.inputs[0]) if step.op == "torch.unflatten" else None
        if before is None or uses[step.inputs[0]] > 1:
            continue
        reduced, sizes = steps[before], step.kwargs["sizes"]
        axes = reduced.kwargs.get("dim")
        if (
            isinstance(axes, tuple)
            and isinstance(sizes, tuple)
            and axes == tuple(range(2, 2 + len(axes)))
            and sizes[1:] == (1,) * len(axes)
            and step.kwargs["dim"] == 1
            and not reduced.kwargs.get("keepdim", False)
            and reduced.blocks == step.blocks
        ):
            kwargs = {**reduced.kwargs, "keepdim": True}
            found[before], found[place] = replace(reduced, output=step.output, kwargs=kwargs), None
    kept = [(step, origin) for step, origin in zip(found, origins, strict=True) if step]
    return [step for step, _ in kept], [origin for _, origin in kept]
