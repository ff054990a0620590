"""The steps of one layer placed among those of the layer that holds it: cells in a stack, layers in a wrapper.

Within a rule, steps and values have names of their own. Here they get names that do not meet those of a neighbour, and
parameters the path of the layer they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from converters.registry import Lowered, Shape, TorchStep


@dataclass(frozen=True, slots=True)
class Placed:
    """Steps with names of their own, and what the inner layer gives: value names and their shapes."""

    steps: tuple[TorchStep, ...]
    outputs: tuple[str, ...]
    shapes: tuple[Shape, ...]


def place_steps(
    found: Lowered | Sequence[TorchStep],
    inputs: Sequence[str],
    shapes: Sequence[Shape],
    *,
    name: str,
    role: str,
    suffix: str | None = None,
) -> Placed:
    """Return the steps of an inner layer for use inside the rule of another.

    Args:
        found: what the inner layer's rule returned.
        inputs: names of what goes in, as the outer rule knows them.
        shapes: their shapes.
        name: put before the names of values.
        role: path of the inner layer inside the outer one, as in `Layer.inner`: "layer", "cell_0".
        suffix: added to the names of attributes; default: `name`.
    """
    steps = found.steps if isinstance(found, Lowered) else tuple(found)
    suffix = name if suffix is None else suffix
    names = {f"input_{index}": given for index, given in enumerate(inputs)}
    sizes = dict(zip(inputs, shapes, strict=True))
    previous = list(inputs)
    placed = []
    for number, step in enumerate(steps):
        taken = [names.get(value, value) for value in step.inputs] if step.inputs else previous
        own = step.results or (f"step_{number}",)
        previous = [f"{name}_{value}" for value in own]
        names.update(zip(own, previous, strict=True))
        shape = sizes.get(taken[0], ()) if step.shape is None else step.shape
        sizes.update(zip(previous, (shape, *step.further_shapes), strict=True))
        params = tuple(replace(param, source=f"{role}/{param.source}") for param in step.params)
        placed.append(
            replace(
                step,
                params=params,
                shape=shape,
                suffix="_".join(part for part in (suffix, step.suffix) if part),
                inputs=tuple(taken),
                results=tuple(previous),
            )
        )
    outputs = _outputs(found, names, previous)
    return Placed(tuple(placed), outputs, tuple(sizes.get(value, ()) for value in outputs))


def renamed(step: TorchStep, names: Mapping[str, str]) -> TorchStep:
    """Return a step that takes other values, by the names of those that it took."""
    return replace(step, inputs=tuple(names.get(value, value) for value in step.inputs))


def _outputs(
    found: Lowered | Sequence[TorchStep], names: Mapping[str, str], previous: Sequence[str]
) -> tuple[str, ...]:
    if isinstance(found, Lowered):
        return tuple(names.get(value, value) for value in found.outputs)
    return tuple(previous[:1])
