from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.compare import compare, compare_all, compare_rounding, format_apart
from parity_tests.tolerances import EXACT, Tolerance

LOOSE = Tolerance(0.0, 1e-3, "a test")
EACH = Tolerance(0.0, 1e-3, "a test", elementwise=True)


def test_equal_arrays_are_in_parity() -> None:
    found = compare("weights", np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3), EXACT)
    assert found.in_parity
    assert found.worst_absolute == 0


def test_the_worst_element_is_named_with_place_values_and_count() -> None:
    legacy = np.full((2, 3), 2.0)
    torch = legacy.copy()
    torch[1, 2] += 0.5
    torch[0, 1] -= 0.25
    found = compare("weights", legacy, torch, LOOSE)
    assert not found.in_parity
    assert found.index == (1, 2)
    assert (found.legacy, found.torch) == (2.0, 2.5)
    assert (found.worst_absolute, found.worst_relative) == (0.5, 0.25)
    assert (found.over, found.size) == (2, 6)


@pytest.mark.parametrize(
    ("difference", "within"), [(0.0999, True), (0.1001, False)], ids=["below", "above"]
)
def test_relative_means_relative_to_the_largest_magnitude_of_the_tensor(
    difference: float, within: bool
) -> None:
    legacy = np.array([-100.0, 0.001])
    found = compare("weights", legacy, legacy + np.array([0.0, difference]), LOOSE)
    assert found.in_parity is within


def test_an_elementwise_tolerance_looks_at_every_element_by_itself() -> None:
    legacy = np.array([100.0, 0.001])
    found = compare("losses", legacy, legacy + np.array([0.05, 0.00001]), EACH)
    assert not found.in_parity
    assert found.index == (1,)
    assert found.worst_relative == pytest.approx(0.01)


def test_absolute_and_relative_limits_add_up() -> None:
    tolerance = Tolerance(0.5, 0.1, "a test")
    assert compare("x", np.array([10.0]), np.array([11.4]), tolerance).in_parity
    assert not compare("x", np.array([10.0]), np.array([11.6]), tolerance).in_parity


@pytest.mark.parametrize(
    ("legacy", "torch"),
    [
        (np.array([np.nan]), np.array([np.nan])),
        (np.array([1.0]), np.array([np.nan])),
        (np.array([np.nan]), np.array([1.0])),
        (np.array([np.inf]), np.array([-np.inf])),
        (np.array([np.inf]), np.array([1.0])),
        (np.array([1.0]), np.array([np.inf])),
    ],
    ids=["nan both", "nan torch", "nan legacy", "inf sign", "inf legacy", "inf torch"],
)
def test_values_that_are_not_numbers_are_never_equal(
    legacy: NDArray[np.floating], torch: NDArray[np.floating]
) -> None:
    found = compare("x", legacy, torch, Tolerance(1e300, 1e3, "as wide as can be"))
    assert not found.in_parity
    assert found.over == 1


def test_infinities_of_one_sign_are_equal() -> None:
    assert compare("x", np.array([np.inf, -np.inf]), np.array([np.inf, -np.inf]), EXACT).in_parity


def test_a_transposed_array_differs_in_shape() -> None:
    found = compare("kernel", np.zeros((4, 3)), np.zeros((3, 4)), LOOSE)
    assert found.problem == "shapes differ: legacy (4, 3), torch (3, 4)"


def test_an_axis_of_one_is_not_broadcast() -> None:
    assert not compare("loss", np.zeros(3), np.zeros((3, 1)), LOOSE).in_parity
    assert not compare("loss", np.zeros(()), np.zeros(1), LOOSE).in_parity


def test_another_dtype_is_a_failure() -> None:
    found = compare("kernel", np.zeros(3, np.float64), np.zeros(3, np.float32), LOOSE)
    assert found.problem == "dtypes differ: legacy float64, torch float32"


def test_integers_must_be_equal_whatever_the_tolerance() -> None:
    found = compare("action", np.array([3, 100]), np.array([4, 100]), Tolerance(10.0, 1.0, "wide"))
    assert not found.in_parity
    assert found.over == 1


def test_large_integers_are_not_rounded_to_the_same_float() -> None:
    assert not compare("step", np.array([2**53]), np.array([2**53 + 1]), EXACT).in_parity


def test_text_is_not_compared() -> None:
    assert compare("names", np.array(["a"]), np.array(["a"]), EXACT).problem is not None


def test_an_empty_array_is_equal_to_an_empty_array() -> None:
    assert compare("rows", np.zeros((0, 3)), np.zeros((0, 3)), EXACT).in_parity


def test_a_difference_from_zero_is_over_any_relative_limit() -> None:
    found = compare("gradient", np.zeros(2), np.array([0.0, 1e-300]), LOOSE)
    assert not found.in_parity
    assert found.worst_relative == np.inf


@pytest.mark.parametrize("lacking", ["legacy", "torch"])
def test_an_array_that_one_side_lacks_is_a_failure(lacking: str) -> None:
    sides = {
        "legacy": {"a": np.ones(2), "b": np.ones(2)},
        "torch": {"a": np.ones(2), "b": np.ones(2)},
    }
    del sides[lacking]["b"]
    found = {each.name: each for each in compare_all(sides["legacy"], sides["torch"], LOOSE)}
    assert found["a"].in_parity
    assert not found["b"].in_parity
    assert f"missing on the {lacking} side" in str(found["b"].problem)


def test_two_empty_sides_are_a_failure() -> None:
    assert [each.in_parity for each in compare_all({}, {}, LOOSE)] == [False]


@pytest.mark.parametrize(
    ("torch_error", "within"), [(3.9e-4, True), (4.1e-4, False)], ids=["near", "far"]
)
def test_rounding_is_judged_by_the_error_of_the_legacy_side(
    torch_error: float, within: bool
) -> None:
    reference = np.array([1.0, 0.5])
    legacy = (reference + np.array([1e-4, 0])).astype(np.float32)
    torch = (reference - np.array([torch_error, 0])).astype(np.float32)
    assert compare_rounding("q", legacy, torch, reference).in_parity is within


def test_a_few_float32_steps_are_always_rounding() -> None:
    reference = np.array([1.0, 0.5])
    exact = reference.astype(np.float32)
    assert compare_rounding("q", exact, exact + np.float32(2**-21), reference).in_parity
    assert not compare_rounding("q", exact, exact + np.float32(2**-19), reference).in_parity


def test_rounding_of_another_shape_is_a_failure() -> None:
    found = compare_rounding("q", np.zeros(2, np.float32), np.zeros(2, np.float32), np.zeros(3))
    assert found.problem is not None


def test_numbers_are_shown_with_the_digits_that_tell_them_apart() -> None:
    assert format_apart(7.7e-4, 7.8e-4) == ("7.7e-04", "7.8e-04")
    assert format_apart(1.00001, 1.00002) == ("1.00001e+00", "1.00002e+00")
    assert format_apart(1.0, 1.0)[0].startswith("1.0")
