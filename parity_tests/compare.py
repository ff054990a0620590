"""Compares what the two frameworks computed, array by array, with numpy alone.

A comparison says where, how much and how much was allowed. Shapes and dtypes come first, NaN is never equal to
anything, a missing output is a failure. Limits come from `tolerances.py`; the probes call this, the report prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parity_tests.tolerances import EXACT, Tolerance, rounding_tolerance

MAX_DIGITS = 17
"""Significant digits that tell any two float64 numbers apart."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One array of the legacy side against the same array of the torch side.

    Attributes:
        name: what was compared, "q_network/fc1/kernel".
        in_parity: every element is within the limit, and shape and dtype are equal.
        problem: why the values could not be compared at all, None if they were.
        size: number of elements.
        over: number of elements over the limit.
        worst_absolute: |legacy - torch| where it is largest relative to the scale.
        worst_relative: `worst_absolute` divided by the scale of `compare`.
        index: where the largest difference is.
        legacy: value of the legacy side there.
        torch: value of the torch side there.
        tolerance: what was allowed.
        sides: what the two values are called in the text.
    """

    name: str
    in_parity: bool
    tolerance: Tolerance
    problem: str | None = None
    size: int = 0
    over: int = 0
    worst_absolute: float = 0.0
    worst_relative: float = 0.0
    index: tuple[int, ...] = ()
    legacy: float = 0.0
    torch: float = 0.0
    sides: tuple[str, str] = ("legacy", "torch")

    def lines(self) -> list[str]:
        """Return the text for people: one line if in parity, otherwise two (see the style guide)."""
        if self.problem is not None:
            return [self.problem]
        if self.in_parity:
            return [f"equal within limits; worst {self.worst_relative:.1e} relative"]
        legacy, torch = format_apart(self.legacy, self.torch)
        worst = f"worst {self.worst_absolute:.1e} absolute, {self.worst_relative:.1e} relative"
        values = f"{self.sides[0]} {legacy}, {self.sides[1]} {torch}"
        return [
            f"{worst}, at {self.index}: {values}",
            f"{self.over:,} of {self.size:,} elements over the limit ({self.tolerance})",
        ]


def compare(
    name: str,
    legacy: NDArray[np.generic] | float,
    torch: NDArray[np.generic] | float,
    tolerance: Tolerance,
    *,
    sides: tuple[str, str] = ("legacy", "torch"),
) -> Comparison:
    """Return how `torch` differs from `legacy`.

        an element is within the limit if  |legacy - torch| <= absolute + relative * scale,  scale = max|legacy|

    The scale is that of the whole tensor: rounding of a sum is proportional to its terms, so an element in which
    terms cancel has a large error relative to itself and a normal one relative to its tensor. A tolerance may ask for
    the scale of each element instead. Integers and booleans
    must be equal. Infinities are equal if they have the same sign; NaN is not equal to NaN.

    Args:
        name: of the array, as it is shown.
        legacy: any shape; numpy, or a number.
        torch: the shape and dtype of `legacy`.
        tolerance: applies to floating dtypes.
        sides: names of the two values in the text.
    """
    left, right = np.asarray(legacy), np.asarray(torch)
    problem = _difference_of_kind(left, right, sides)
    if problem is not None:
        return Comparison(name, in_parity=False, tolerance=tolerance, problem=problem, sides=sides)
    if left.size == 0:
        return Comparison(name, in_parity=True, tolerance=tolerance, sides=sides)
    exact = not np.issubdtype(left.dtype, np.floating)
    difference = _absolute_difference(left, right)
    magnitude = np.abs(np.asarray(left, dtype=np.float64))
    scale = magnitude if tolerance.elementwise else np.full_like(magnitude, _scale(left))
    limit = 0.0 if exact else tolerance.absolute + tolerance.relative * scale
    relative = _ratio(difference, scale)
    over = int(np.count_nonzero(~(difference <= limit)))
    position = np.unravel_index(int(np.argmax(relative)), left.shape)
    return Comparison(
        name,
        in_parity=over == 0,
        tolerance=tolerance,
        size=left.size,
        over=over,
        worst_absolute=float(difference[position]),
        worst_relative=float(relative[position]),
        index=tuple(int(axis) for axis in position),
        legacy=float(left[position]),
        torch=float(right[position]),
        sides=sides,
    )


def compare_all(
    legacy: Mapping[str, NDArray[np.generic]],
    torch: Mapping[str, NDArray[np.generic]],
    tolerance: Tolerance,
    *,
    prefix: str = "",
    sides: tuple[str, str] = ("legacy", "torch"),
) -> list[Comparison]:
    """Return one comparison for every name of either side; a name that one side lacks is a failure.

    Args:
        legacy: arrays by name.
        torch: arrays by name.
        tolerance: for all of them.
        prefix: put before every name.
        sides: names of the two values in the text.
    """
    if not legacy and not torch:
        problem = "nothing to compare: both sides returned no arrays"
        return [Comparison(prefix or "arrays", False, tolerance, problem=problem, sides=sides)]
    found: list[Comparison] = []
    for name in [*legacy, *(name for name in torch if name not in legacy)]:
        if name in legacy and name in torch:
            found.append(compare(prefix + name, legacy[name], torch[name], tolerance, sides=sides))
            continue
        lacking, other = (sides[1], sides[0]) if name in legacy else (sides[0], sides[1])
        problem = f"missing on the {lacking} side, the {other} side has it"
        found.append(Comparison(prefix + name, False, tolerance, problem=problem, sides=sides))
    return found


def compare_rounding(
    name: str,
    legacy: NDArray[np.floating],
    torch: NDArray[np.floating],
    reference: NDArray[np.floating],
) -> Comparison:
    """Return whether torch's float32 result is as near to the float64 reference as legacy's is.

    The limit follows from the data (see `tolerances.rounding_tolerance`): a problem in which rounding grows gets
    room, one in which it does not gets none.

    Args:
        name: of the array, as it is shown.
        legacy: float32, any shape.
        torch: float32, the same shape.
        reference: float64, the same shape: the legacy side computed in float64.
    """
    sides = ("float64", "torch")
    wide = np.asarray(torch, dtype=np.float64)
    if np.shape(legacy) != np.shape(reference):
        return compare(name, reference, wide, rounding_tolerance(0.0, 0.0), sides=sides)
    legacy_error = _absolute_difference(np.asarray(legacy, dtype=np.float64), reference)
    worst = float(legacy_error.max(initial=0.0))
    return compare(name, reference, wide, rounding_tolerance(worst, _scale(reference)), sides=sides)


def fail(name: str, problem: str) -> Comparison:
    """Return a failed comparison for something that no array shows."""
    return Comparison(name, in_parity=False, tolerance=EXACT, problem=problem)


def format_apart(legacy: float, torch: float) -> tuple[str, str]:
    """Return both numbers with as many digits as it takes to see that they differ, two at least."""
    for digits in range(1, MAX_DIGITS):
        texts = (f"{legacy:.{digits}e}", f"{torch:.{digits}e}")
        if texts[0] != texts[1]:
            return texts
    return texts


def _difference_of_kind(
    legacy: NDArray[np.generic], torch: NDArray[np.generic], sides: tuple[str, str]
) -> str | None:
    if legacy.shape != torch.shape:
        return f"shapes differ: {sides[0]} {legacy.shape}, {sides[1]} {torch.shape}"
    if legacy.dtype != torch.dtype:
        return f"dtypes differ: {sides[0]} {legacy.dtype}, {sides[1]} {torch.dtype}"
    if legacy.dtype.kind not in "fiub":
        return f"not numbers: dtype {legacy.dtype}"
    return None


def _absolute_difference(
    legacy: NDArray[np.generic], torch: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Return |legacy - torch|; 0 where the values are the same, infinity where a NaN is on either side."""
    same = np.asarray(legacy == torch)
    with np.errstate(invalid="ignore", over="ignore"):
        left = np.asarray(legacy, dtype=np.float64)
        difference = np.abs(left - np.asarray(torch, dtype=np.float64))
    # Integers beyond 2**53 may differ and still have the same float64: any difference counts as at least 1.
    if np.asarray(legacy).dtype.kind in "iub":
        difference = np.maximum(difference, 1.0)
    difference = np.where(np.isnan(difference), np.inf, difference)
    return np.where(same, 0.0, difference)


def _scale(values: NDArray[np.generic]) -> float:
    finite = np.abs(np.asarray(values, dtype=np.float64))
    return float(finite[np.isfinite(finite)].max(initial=0.0))


def _ratio(difference: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return difference / scale; 0 where nothing differs, infinity where only the scale is 0 or NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(difference == 0, 0.0, difference / scale)
    return np.where(np.isnan(ratio), np.inf, ratio)
