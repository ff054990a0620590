from __future__ import annotations

import numpy as np

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.matching.assignment import assign_by_order
from converters.registry import Weight

FIRST, SECOND = ("net", "first"), ("net", "second")


def entry(*names: str) -> LayerArrays:
    value = np.zeros(1, np.float32)
    arrays = {name: ArrayInfo(name, (1,), value.dtype, lambda: value) for name in names}
    return LayerArrays("net", "net", arrays)


def assigned(*names: str) -> tuple[dict[str, str], list[str]]:
    # In the order of Keras's `weights` where both layers were quantized later.
    needed = [(path, Weight(role)) for path in (FIRST, SECOND) for role in ("kernel", "scale")]
    found: dict[tuple[str, ...], dict[str, ArrayInfo]] = {}
    problems: list[str] = []
    assign_by_order(entry(*names), needed, found, problems)
    names_found = {
        f"{path[-1]}:{role}": info.name
        for path, roles in found.items()
        for role, info in roles.items()
    }
    return names_found, problems


def test_layers_in_a_group_may_have_their_weights_in_another_order() -> None:
    found, problems = assigned("a/scale", "a/kernel", "b/scale", "b/kernel")

    assert not problems
    assert found == {
        "first:kernel": "a/kernel",
        "first:scale": "a/scale",
        "second:kernel": "b/kernel",
        "second:scale": "b/scale",
    }


def test_weights_that_do_not_lie_together_are_not_guessed() -> None:
    found, problems = assigned("a/scale", "b/scale", "a/kernel", "b/kernel")

    assert not found
    assert len(problems) == 1
    assert "found 4 arrays (scale, scale, kernel, kernel)" in problems[0]
