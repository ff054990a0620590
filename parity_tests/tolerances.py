"""How much the two frameworks may differ: one table, each line with its reason. Nowhere else is there a limit.

"Relative" means relative to the scale of the whole tensor, max|legacy|, not element by element: the rounding error
of a sum is proportional to the size of its terms, so an element in which large terms cancel may be off by any factor
of itself although both frameworks did everything right. The losses of a float64 trajectory are independent numbers:
each is compared relative to itself.

The formula is tested in float64 with tight limits. float32 is then judged twice: the frameworks against each other
with the limits below, and the torch side against the float64 result, where it must be about as near as the legacy
side (`rounding_tolerance`). A wide fixed limit alone would hide errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FLOAT32_EPSILON = 2.0**-23
"""Distance from 1 to the next float32."""

ROUNDING_FACTOR = 4.0
"""How many times legacy's rounding error torch's may be. Both sum the same terms in another order, so the errors have
the same law; for the largest of some thousand elements factors up to about 2 were seen."""

ROUNDING_FLOOR = 8.0
"""Float32 steps of the tensor's scale that are always allowed: legacy's error is 0 by luck where numbers are few."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is allowed: |legacy - torch| <= absolute + relative * max|legacy|.

    Attributes:
        absolute: in the unit of the array.
        relative: to the largest magnitude of the legacy array, or of each element.
        reason: why this much and no less.
        elementwise: relative to each element by itself.
    """

    absolute: float
    relative: float
    reason: str
    elementwise: bool = False

    def __str__(self) -> str:
        """Return the limits as they are shown in a report."""
        return f"{_short(self.absolute)} absolute, {_short(self.relative)} relative"


EXACT = Tolerance(
    0.0, 0.0, "a copy, a file or a choice: nothing is computed, so every bit is equal"
)

_LIMITS = {
    ("forward", "float64"): Tolerance(
        0.0,
        1e-13,
        "some hundred terms in another order: 1e-15 was measured; a wrong formula gives 1e-8 and more",
    ),
    ("loss", "float64"): Tolerance(0.0, 1e-13, "a mean over the batch of outputs within 1e-15"),
    ("gradient", "float64"): Tolerance(
        0.0,
        1e-13,
        "sums over batch and units; the smallest known mistake (an epsilon in a clip) gives 1e-7",
    ),
    ("update", "float64"): Tolerance(
        0.0,
        1e-13,
        "an Adam step divides by the root of g**2, which keeps relative errors; unrounded betas give 1e-8",
    ),
    ("trajectory", "float64"): Tolerance(
        0.0,
        1e-11,
        "10,000 updates: rounding adds up, 8e-15 was measured; the project promises 1e-11",
    ),
    ("trajectory_loss", "float64"): Tolerance(
        0.0, 1e-11, "the losses of these 10,000 updates, each relative to itself", elementwise=True
    ),
    ("forward", "float32"): Tolerance(
        0.0, 2e-6, "16 float32 steps: other order of summation in the matrix products"
    ),
    ("deep_forward", "float32"): Tolerance(
        0.0,
        1.3e-5,
        "a float32 step for each of the 107 convolutions, normalizations and dense layers of ResNet50; 10 steps were measured "
        "in PyTorch, 16 in Keras on torch",
    ),
    ("loss", "float32"): Tolerance(0.0, 2e-6, "a mean over the batch of outputs within 1e-6"),
    ("gradient", "float32"): Tolerance(
        0.0, 1e-5, "sums over batch and units of both signs: terms are larger than their sum"
    ),
    ("update", "float32"): Tolerance(
        0.0,
        1e-4,
        "Adam's first steps are lr * g / (|g| + eps): where g is rounding noise the step is, too, up to lr",
    ),
    ("trajectory", "float32"): Tolerance(
        0.0,
        2e-2,
        "a unit whose input is within rounding of 0 is on in one framework and off in the other (plain, seed 0, update 575: "
        "-5.8e-8 and +7.5e-8, of terms whose sizes add up to 3.1); from then on Adam moves its weights apart by up to lr an update, 8e-3 after 1,000",
    ),
    ("trajectory_loss", "float32"): Tolerance(
        0.0,
        1e-4,
        "1,000 updates, as promised; relative to the largest, because after such a unit small losses differ by "
        "3e-3 of themselves. Without one, 3e-6 of themselves was measured",
    ),
}

TOLERANCES: Mapping[tuple[str, str], Tolerance] = MappingProxyType(_LIMITS)
"""Limits by (quantity, dtype)."""


def find_tolerance(quantity: str, dtype: str) -> Tolerance:
    """Return the limit of a quantity in a dtype.

    Raises:
        ValueError: There is none; the message lists what there is.
    """
    try:
        return TOLERANCES[quantity, dtype]
    except KeyError:
        known = ", ".join(f"{name}/{kind}" for name, kind in TOLERANCES)
        message = f"no tolerance for {quantity}/{dtype}; there are: {known}"
        raise ValueError(message) from None


def rounding_tolerance(legacy_error: float, scale: float) -> Tolerance:
    """Return how far torch's float32 result may be from the float64 one.

        limit = max(ROUNDING_FACTOR * legacy_error, ROUNDING_FLOOR * 2**-23 * scale)

    Args:
        legacy_error: max|legacy in float32 - legacy in float64| of the same tensor.
        scale: max|legacy in float64| of this tensor.
    """
    reason = "as near to float64 as legacy is, times a factor"
    limit = max(ROUNDING_FACTOR * legacy_error, ROUNDING_FLOOR * FLOAT32_EPSILON * scale)
    return Tolerance(0.0, limit / scale, reason) if scale > 0 else Tolerance(limit, 0.0, reason)


def _short(value: float) -> str:
    """Return 1e-13 as "1e-13", 0 as "0", others with two digits."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{exponent}"
