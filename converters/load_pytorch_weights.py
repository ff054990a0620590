"""`python -m converters.load_pytorch_weights in.json [out.json] [--test]`: the guide's command, with kernels turned.

The original's script of this name copied the lists unchanged, so that the game read every kernel scrambled. This one
writes them in the layout that the game reads. `--test` computes values and policies from both files and says how far
they are apart, and how far they would be with the lists unchanged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experience.ur_inference import UrInference
from experience.ur_networks import FEATURES
from experience.ur_weights import (
    GAME_LAYOUT,
    LAYOUTS,
    TORCH_LAYOUT,
    UrWeights,
    UrWeightsError,
    read_ur_weights,
    write_ur_weights,
)

EXIT_UNREADABLE, EXIT_DIFFERENT, EXIT_OUTPUT = 3, 5, 6
TEST_POSITIONS = 256
TOLERANCE = 1e-6
"""Of `--test`, in float32: both sides compute the same sums in the same order, so that 0 is usual."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 2 wrong usage, 3 unreadable, 5 not equal, 6 not written."""
    options = _parse(arguments)
    target = options.output or options.input.with_name(f"{options.input.stem}_rust.json")
    try:
        found = read_ur_weights(options.input, layout=options.layout)
        _check_target(options.input, target, force=options.force)
        write_ur_weights(target, found.weights, layout=GAME_LAYOUT, metadata=found.metadata)
        _say(f"{options.input.name}: {_describe(found)}, {found.layout}")
        _say(f"wrote {target}: {GAME_LAYOUT}")
        return _test(found, target) if options.test else 0
    except UrWeightsError as error:
        return _fail(str(error), EXIT_UNREADABLE)
    except OSError as error:
        return _fail(f"{target}: cannot be written: {error.strerror or error}", EXIT_OUTPUT)


def compare_layouts(found: UrWeights, target: Path) -> tuple[float, float]:
    """Return the largest difference of any output between the two files, and with the lists read in the wrong layout.

    Args:
        found: the input.
        target: the output, read again.
    """
    features = np.random.default_rng(0).normal(size=(TEST_POSITIONS, FEATURES)).astype(np.float32)
    before = UrInference.from_weights(found.weights)(features)
    after = UrInference.load(target)(features)
    other = next(layout for layout in LAYOUTS if layout != GAME_LAYOUT)
    scrambled = UrInference.load(target, layout=other)(features)
    return _largest(before, after), _largest(before, scrambled)


Outputs = tuple[NDArray[np.floating], NDArray[np.floating]]


def _largest(left: Outputs, right: Outputs) -> float:
    return max(float(np.abs(one - two).max()) for one, two in zip(left, right, strict=True))


def _test(found: UrWeights, target: Path) -> int:
    same, scrambled = compare_layouts(found, target)
    _say(f"test: {TEST_POSITIONS} random positions, values and policies")
    _say(f"  input and output file   largest difference {same:.1e}, allowed {TOLERANCE:.0e}")
    _say(f"  lists left unchanged    largest difference {scrambled:.1e}")
    if same > TOLERANCE:
        return _fail(f"{target}: does not compute what the input computes", EXIT_DIFFERENT)
    _say("PASS")
    return 0


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    if target.exists() and (target.samefile(source) or not force):
        reason = "is the input" if target.samefile(source) else "exists already; add --force"
        raise OSError(None, reason)


def _describe(found: UrWeights) -> str:
    sizes = "-".join(map(str, (FEATURES, *found.hidden_sizes)))
    count = sum(array.size for array in found.weights.values())
    return f"value and policy network {sizes}-1 and -7, {count:,} weights"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m converters.load_pytorch_weights",
        description="Write weights of the Ur networks in the layout that the game reads.",
    )
    parser.add_argument("input", type=Path, help="JSON of the trainer")
    parser.add_argument(
        "output", type=Path, nargs="?", help="by default <input>_rust.json beside the input"
    )
    parser.add_argument("--test", action="store_true", help="compare the outputs of both files")
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        help=f"of the input, where the file does not say it or says it wrong; torch's is {TORCH_LAYOUT}",
    )
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
