"""In which order an optimizer had the weights of a model without architecture, worked out from shapes alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converters.checkpoint import ArrayInfo

MAX_TRIES = 10_000
"""Places tried before the order counts as uncertain: a chain of layers needs one for each."""


def trainable_order(
    layers: Sequence[Sequence[ArrayInfo]], variables: Sequence[ArrayInfo]
) -> list[ArrayInfo] | None:
    """Return the weights in the order of the optimizer's slots; None if there is none, or more than one.

    The file has the layers in the order of their names, the optimizer in that of their creation. Inside a layer the
    order is the same. Slots are interleaved (all of the first weight, all of the second) or one kind after the other.

    Args:
        layers: the trained arrays of each layer.
        variables: of the optimizer, in stored order.
    """
    weights = [info for layer in layers for info in layer]
    slots = [variable.shape for variable in variables if variable.shape]
    if not weights or not slots or len(slots) % len(weights):
        return weights if not slots else None
    count = len(slots) // len(weights)
    sequences = {tuple(slots[::count]), tuple(slots[: len(weights)])}
    found = [
        order
        for sequence in sorted(sequences)
        if _repeats(sequence, slots, count)
        for order in _orders(list(layers), sequence)
    ]
    return found[0] if len(found) == 1 else None


def _repeats(
    sequence: tuple[tuple[int, ...], ...], slots: Sequence[tuple[int, ...]], count: int
) -> bool:
    interleaved = [shape for shape in sequence for _ in range(count)]
    return list(slots) in (interleaved, list(sequence) * count)


def _orders(
    layers: list[Sequence[ArrayInfo]], sequence: Sequence[tuple[int, ...]]
) -> list[list[ArrayInfo]]:
    """Return up to two orders of the layers in which their shapes are the sequence."""
    result: list[list[ArrayInfo]] = []
    for tries, order in enumerate(_extend([], layers, sequence)):
        if order is not None:
            result.append(order)
        if len(result) > 1 or tries > MAX_TRIES:
            return result * 2  # not certain
    return result


def _extend(
    done: list[ArrayInfo],
    rest: list[Sequence[ArrayInfo]],
    sequence: Sequence[tuple[int, ...]],
) -> Iterator[list[ArrayInfo] | None]:
    """Yield complete orders, and None for each place tried."""
    if not rest:
        yield done
        return
    for index, layer in enumerate(rest):
        yield None
        ahead = sequence[len(done) : len(done) + len(layer)]
        if [info.shape for info in layer] == list(ahead):
            yield from _extend([*done, *layer], rest[:index] + rest[index + 1 :], sequence)
