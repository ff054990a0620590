"""What a verification consists of: its checks and their report, and arrays that the original framework recorded."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnreadableFileError

OUTPUT_TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest difference to a recorded output, relative to the largest output. A float32 forward pass in another order
of summation differs by a few 1e-7; 1e-5 is what the recordings themselves promise."""
NOTHING_RECORDED = "the recorded arrays hold no x0, ... with y0, ..."

Arrays = Mapping[str, NDArray]  # type: ignore[type-arg]  # recorded arrays of any dtype


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a verification.

    Attributes:
        name: what was compared: "values", "outputs", ...
        compared: how much, in words.
        worst: largest difference, relative to the largest value; 0 for bit-identical.
        tolerance: what was allowed.
        problem: what is wrong, or None.
        skipped: nothing was compared; `compared` says why.
        absolute: largest difference as such, where it was measured.
    """

    name: str
    compared: str
    worst: float
    tolerance: float
    problem: str | None = None
    skipped: bool = False
    absolute: float | None = None

    @property
    def passed(self) -> bool:
        """True if nothing is wrong."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """All checks of one verification.

    Attributes:
        source: the legacy file.
        converted: the file or module that was compared with it.
        first_difference: of a module of the user's: the layer after which it departs.
        likely: what explains that, if something does.
        hints: what to do about it, one for each of `likely`.
        notes: what a user should know.
        verdict: what it means that all checks passed.
    """

    source: str
    converted: str
    checks: tuple[Check, ...]
    first_difference: str = ""
    likely: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verdict: str = "the two files hold the same model"

    @property
    def passed(self) -> bool:
        """True if every check passed."""
        return all(check.passed for check in self.checks)

    def to_data(self) -> dict[str, object]:
        """Return plain data for --json."""
        return {
            "source": self.source,
            "converted": self.converted,
            "passed": self.passed,
            "checks": [
                {
                    "name": check.name,
                    "compared": check.compared,
                    "worst": check.worst if math.isfinite(check.worst) else None,
                    "tolerance": check.tolerance,
                    "passed": check.passed,
                    "skipped": check.skipped,
                    "problem": check.problem,
                    **(
                        {}
                        if check.absolute is None
                        else {
                            "max_difference": check.absolute
                            if math.isfinite(check.absolute)
                            else None
                        }
                    ),
                }
                for check in self.checks
            ],
            **({"first_difference": self.first_difference} if self.first_difference else {}),
            **({"likely": list(self.likely), "hints": list(self.hints)} if self.likely else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
        }


def read_recorded(path: Path) -> Arrays:
    """Return the arrays of an .npz. Raises UnreadableFileError if it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise UnreadableFileError(msg) from error
    except (ValueError, TypeError, EOFError, NotImplementedError, BadZipFile, zlib.error) as error:
        # numpy takes what is no archive for one array or a pickle, and says how to run the pickle.
        msg = f"{path}: is no .npz of recorded arrays"
        raise UnreadableFileError(msg) from error


def numbered(recorded: Arrays, letter: str) -> list[NDArray]:  # type: ignore[type-arg]
    """Return the arrays `x0`, `x1`, ... of a letter in order."""
    names = [name for name in recorded if name.startswith(letter) and name[len(letter) :].isdigit()]
    return [recorded[name] for name in sorted(names, key=lambda name: int(name[len(letter) :]))]


def relative_difference(found: NDArray[np.generic], wanted: NDArray[np.generic]) -> float:
    """Return the largest difference of two arrays of one shape, relative to the largest value wanted or 1; NaN if one is."""
    if not wanted.size:
        return 0.0
    wide = np.asarray(wanted, np.float64)
    return float(np.abs(np.asarray(found, np.float64) - wide).max() / max(1.0, np.abs(wide).max()))


def largest(differences: Sequence[float]) -> float:
    """Return the largest difference; NaN if one is, which `max` passes over."""
    return float(np.max(differences, initial=0.0))


def tolerance_of(dtype: str, stated: float | None) -> float:
    """Return what outputs of a type may differ by: what the user says, 0 included, else the table's."""
    return OUTPUT_TOLERANCE.get(dtype, 1e-5) if stated is None else stated
