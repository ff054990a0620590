"""`python -m benchmarks.ur_variants --weights a.json b.json --data samples.npz`: size, speed and strength in one table.

Rows: the networks of the first file in NumPy and in torch, with int8 weights, a student that learned from them, and
the mean of all files that are given. All play without hand-written bonuses, with the corrected scoring.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from experience.environments.royal_ur.data_files import SampleFileError, read_samples
from experience.environments.royal_ur.matches import MatchResult, play_match
from experience.environments.royal_ur.network_players import network_player
from experience.environments.royal_ur.players import make_player
from experience.ur_inference import UrInference
from experience.ur_weights import UrWeightsError
from torch_impl.ur_variants import (
    Ensemble,
    Outputs,
    TorchScore,
    distill,
    load_networks,
    quantize,
)

ROWS = 256
"""Positions of a call, which is about what a turn of a batch of matches asks for."""
TIMED_CALLS = 30
FLOAT_BYTES = 4

Score = Callable[[NDArray[np.float32]], Outputs]


@dataclass(frozen=True, slots=True)
class Variant:
    """A line of the table.

    Attributes:
        name: what it is.
        parameters: numbers in both networks, of all members.
        size: bytes of its weights.
        microseconds: for one position, asked for with `ROWS` together; the fastest of `TIMED_CALLS`.
        difference: largest one of a value from the first line's.
        results: by opponent.
    """

    name: str
    parameters: int
    size: int
    microseconds: float
    difference: float
    results: dict[str, MatchResult]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code: 0, 2 for wrong usage, 3 for unreadable files."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    try:
        files = [UrInference.load(path) for path in options.weights]
        features = read_samples(options.data).features
    except (UrWeightsError, SampleFileError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    found = []
    for name, score, parameters, size in make_variants(files, features, options):
        variant = measure(name, score, parameters, size, features, files[0], options)
        sys.stderr.write(f"{name}: done\n")
        found.append(variant)
    sys.stdout.write("\n".join(format_table(found, options.against)) + "\n")
    return 0


def make_variants(
    files: Sequence[UrInference], features: NDArray[np.float32], options: argparse.Namespace
) -> Iterator[tuple[str, Score, int, int]]:
    """Yield name, score, parameters and bytes of every variant."""
    first = files[0]
    count = _count(first)
    networks = load_networks(first)
    plain, small = TorchScore(networks), TorchScore(quantize(networks))
    yield "NumPy", first, count, count * FLOAT_BYTES
    yield "torch", plain, count, plain.count_bytes()
    yield "torch, int8 weights", small, count, small.count_bytes()
    taught = distill(
        plain, features[: options.positions], hidden_sizes=options.student, epochs=options.epochs
    )
    student = TorchScore(taught)
    name = f"student {'-'.join(map(str, options.student))}"
    own = sum(parameter.numel() for parameter in taught.parameters())
    yield name, student, own, student.count_bytes()
    if len(files) > 1:
        total = sum(_count(each) for each in files)
        yield f"mean of {len(files)}", Ensemble(files), total, total * FLOAT_BYTES


def measure(
    name: str,
    score: Score,
    parameters: int,
    size: int,
    features: NDArray[np.float32],
    first: UrInference,
    options: argparse.Namespace,
) -> Variant:
    """Return a variant with its time and its matches."""
    rows = features[:ROWS]
    times = []
    for _ in range(TIMED_CALLS):
        start = time.perf_counter()
        score(rows)
        times.append(time.perf_counter() - start)
    difference = float(np.abs(score(rows)[0] - first(rows)[0]).max())
    player = network_player(score)
    results = {
        opponent: play_match(player, make_player(opponent), options.games, seed=options.seed)
        for opponent in options.against
    }
    return Variant(name, parameters, size, 1e6 * min(times) / len(rows), difference, results)


def format_table(variants: Sequence[Variant], opponents: Sequence[str]) -> list[str]:
    """Return a Markdown table; wins in percent with their 95 % intervals."""
    heads = ["networks", "parameters", "KB", "us/position", "largest difference", *opponents]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for variant in variants:
        wins = [
            f"{100 * result.rate:.1f} ({100 * result.interval[0]:.1f} to {100 * result.interval[1]:.1f})"
            for result in variant.results.values()
        ]
        cells = [
            variant.name,
            f"{variant.parameters:,}",
            f"{variant.size / 1000:,.0f}",
            f"{variant.microseconds:.1f}",
            f"{variant.difference:.1e}",
            *wins,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _count(inference: UrInference) -> int:
    return sum(array.size for array in inference.weights.values())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ur_variants", description=__doc__)
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="JSON files")
    parser.add_argument("--data", type=Path, required=True, help="samples: the student's positions")
    parser.add_argument("--games", type=int, default=500, help="against each opponent; 500")
    parser.add_argument(
        "--against", nargs="+", default=["heuristic", "expectiminimax-1"], help="opponents"
    )
    parser.add_argument("--student", type=int, nargs="+", default=[32, 16], help="hidden sizes")
    parser.add_argument("--epochs", type=int, default=10, help="of the student; 10")
    parser.add_argument("--positions", type=int, default=100_000, help="for the student; 100000")
    parser.add_argument("--seed", type=int, default=0, help="of the matches; 0")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
