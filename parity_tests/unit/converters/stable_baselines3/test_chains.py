from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.stable_baselines3.chains import Chain, Clip, Dense, clipped, dueling, late_action

LIMIT = 1e-12  # float64 sums of a few dozen terms


def layer(inputs: int, units: int, seed: int) -> Dense:
    rng = np.random.default_rng(seed)
    return Dense(rng.standard_normal((units, inputs)), rng.standard_normal(units))


def apply(chain: Chain, x: NDArray[Any]) -> NDArray[Any]:
    for number, each in enumerate(chain):
        x = x @ each.weight.T + each.bias
        x = x if number == len(chain) - 1 else np.maximum(x, 0)
    return x


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_dueling_is_one_chain(hidden: int) -> None:
    sizes = [5, 6, 7][: hidden + 1]
    streams = [
        tuple(
            layer(one, other, 10 * results + number)
            for number, (one, other) in enumerate(zip(sizes, [*sizes[1:], results], strict=True))
        )
        for results in (3, 1)
    ]
    x = np.random.default_rng(1).standard_normal((9, 5))
    scores, value = apply(streams[0], x), apply(streams[1], x)
    expected = value + scores - scores.mean(1, keepdims=True)
    np.testing.assert_allclose(apply(dueling(*streams), x), expected, atol=LIMIT * 100)


CLIP = Clip(np.array([1.0, 0.0, -2.0]), np.array([0.5, 2.0, 1.0]), -1.5, 2.0)


def test_clipping_is_a_layer() -> None:
    chain = (layer(3, 4, 1), layer(4, 2, 2))
    x = 5 * np.random.default_rng(3).standard_normal((50, 3))
    seen = np.clip((x - CLIP.mean) / CLIP.deviation, -1.5, 2.0)
    assert (seen == 2.0).any()
    np.testing.assert_allclose(apply(clipped(chain, CLIP), x), apply(chain, seen), atol=LIMIT * 100)
    assert clipped(chain, None) == chain


@pytest.mark.parametrize("clip", [None, CLIP], ids=["as-it-is", "clipped"])
@pytest.mark.parametrize("further", [0, 1], ids=["one-more", "two-more"])
def test_actions_go_past_the_first_layer(clip: Clip | None, further: int) -> None:
    first, second = layer(3, 4, 1), layer(4 + 2, 5, 2)
    rest = tuple(layer(5, 5, 5) for _ in range(further))
    last = layer(5, 1, 3)
    rng = np.random.default_rng(4)
    x, action = 4 * rng.standard_normal((30, 3)), rng.standard_normal((30, 2))
    seen = x if clip is None else np.clip((x - CLIP.mean) / CLIP.deviation, -1.5, 2.0)
    features = np.maximum(seen @ first.weight.T + first.bias, 0)
    expected = apply((second, *rest, last), np.concatenate([features, action], axis=1))
    found = late_action((first, second, *rest, last), 2, clip)
    joined = np.concatenate([x, action], axis=1)
    np.testing.assert_allclose(apply(found, joined), expected, atol=LIMIT * 100)
    swapped = apply(found, np.concatenate([x, -action], axis=1))
    assert not np.allclose(swapped, expected)
