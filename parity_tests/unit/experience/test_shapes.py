from __future__ import annotations

import numpy as np
import pytest

from experience.shapes import check_rows, check_shapes


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 4), (0, 4)], ids=str)
def test_one_or_several_observations_become_rows(shape: tuple[int, ...]) -> None:
    rows = check_rows(np.ones(shape, np.int64), 4, "float32")

    assert rows.shape == (shape[0] if len(shape) == 2 else 1, 4)
    assert rows.dtype == np.float32


@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (2, 3, 4)], ids=str)
def test_an_observation_of_another_length_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needed \(4,\) or \(batch, 4\)"):
        check_rows(np.ones(shape), 4, "float32")


def test_every_shape_that_does_not_fit_is_named() -> None:
    found = {"a": np.ones((2, 3)), "c": np.ones(1)}

    with pytest.raises(
        ValueError, match=r"^masks do not fit: a found \(2, 3\), needed \(3, 2\); b found nothing"
    ):
        check_shapes("masks", found, {"a": (3, 2), "b": (1,)})
