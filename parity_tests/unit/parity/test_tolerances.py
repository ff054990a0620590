from __future__ import annotations

import pytest

from parity_tests.tolerances import TOLERANCES, find_tolerance, rounding_tolerance


@pytest.mark.parametrize(
    ("quantity", "dtype", "asked_for"),
    [
        ("forward", "float64", 1e-13),
        ("gradient", "float64", 1e-13),
        ("trajectory", "float64", 1e-11),
        ("forward", "float32", 2e-6),
        ("trajectory_loss", "float32", 1e-4),
    ],
)
def test_no_limit_is_wider_than_the_project_promises(
    quantity: str, dtype: str, asked_for: float
) -> None:
    tolerance = find_tolerance(quantity, dtype)
    assert tolerance.relative <= asked_for
    assert tolerance.absolute == 0


@pytest.mark.parametrize("key", TOLERANCES, ids="/".join)
def test_every_limit_has_a_reason(key: tuple[str, str]) -> None:
    assert len(TOLERANCES[key].reason) > 20


def test_an_unknown_quantity_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no tolerance for hessian/float64.*gradient/float64"):
        find_tolerance("hessian", "float64")


def test_rounding_of_a_tensor_of_zeros_has_an_absolute_limit() -> None:
    assert rounding_tolerance(0.5, 0.0).absolute == 2.0
    assert rounding_tolerance(0.5, 10.0).relative == pytest.approx(0.2)


def test_limits_are_shown_short() -> None:
    assert str(find_tolerance("forward", "float64")) == "0 absolute, 1e-13 relative"
