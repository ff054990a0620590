"""Lists of arrays without names, as `get_weights()` gives them: which of them are one layer's.

Keras lists layer after layer: a kernel, for recurrent layers the second kernel, and the bias; of a normalization the vectors.
What is read here is a proposal only: a group fills a module if its shapes do, and the user's table has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converters.checkpoint import ArrayInfo, LayerArrays

_GATES = (3, 4)
_BIASED = (1, 3, 5)
"""Numbers of vectors behind a kernel of which the first is its bias: alone, or before the 2 or 4 of a normalization."""


def are_nameless(layers: Sequence[LayerArrays]) -> bool:
    """Return whether all arrays have numbers for names."""
    roles = [role for entry in layers for role in entry.arrays]
    return bool(roles) and all(role.isdigit() for role in roles) and not any(e.path for e in layers)


def group_nameless(arrays: Sequence[ArrayInfo]) -> Iterator[Sequence[ArrayInfo]]:
    """Yield the arrays of each layer."""
    rest = list(arrays)
    while rest:
        group = [rest.pop(0)]
        if len(group[0].shape) > 1:
            if rest and _is_recurrent(group[0], rest[0]):
                group.append(rest.pop(0))
            if rest and _is_bias(group, rest):
                group.append(rest.pop(0))
        else:
            group += rest[: (count := min(_run(rest, group[0].shape), 3))]
            del rest[:count]
        yield group


def _is_recurrent(kernel: ArrayInfo, following: ArrayInfo) -> bool:
    """Return whether arrays are (in, gates * units) and (units, gates * units)."""
    features = kernel.shape[-1]
    shapes = [(features // gates, features) for gates in _GATES if features % gates == 0]
    return len(kernel.shape) == 2 and following.shape in shapes


def _is_bias(group: Sequence[ArrayInfo], rest: Sequence[ArrayInfo]) -> bool:
    """Return whether the next array is the bias of a kernel; a GRU with `reset_after` has two rows of it."""
    features = group[0].shape[-1]
    if len(group) > 1:
        return rest[0].shape in ((features,), (2, features))
    return rest[0].shape == (features,) and _run(rest, (features,)) in _BIASED


def _run(arrays: Sequence[ArrayInfo], shape: tuple[int, ...]) -> int:
    """Return how many of the first arrays have a shape."""
    for index, info in enumerate(arrays):
        if info.shape != shape:
            return index
    return len(arrays)
