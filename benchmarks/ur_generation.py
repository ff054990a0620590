"""How many samples of the Royal Game of Ur are generated in a second: by depth, by mode, by number of processes.

    python -m benchmarks.ur_generation
    python -m benchmarks.ur_generation --depths 3 --processes 1 2 4 --seconds 10

A rate is told by the clock on the wall and, for one process, by the time that the processor spent in it: on a machine
that others use too, only the second says what a core can do. Everything is compiled before anything is measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experience.environments.royal_ur.compilation import is_compiled
from experience.environments.royal_ur.generation import GAMES_PER_TASK, generate_samples
from experience.environments.royal_ur.search import MAX_DEPTH, MODES, Mode
from experience.environments.royal_ur.workers import count_workers

ORIGINAL_RATES = {1: 134_000, 2: 7_800, 3: 700}
"""Samples a second of the original's Rust code on one core of the machine on which it was compiled for comparison."""
PROBE_GAMES = 2
MAX_GAMES = 20_000


@dataclass(frozen=True, slots=True)
class GenerationRate:
    """What one measurement found.

    Attributes:
        mode: of the search and the game.
        depth: of the search.
        processes: that shared the games.
        samples: generated ones.
        wall: seconds by the clock, starting the processes included.
        cpu: seconds of the processor; None with several processes.
    """

    mode: Mode
    depth: int
    processes: int
    samples: int
    wall: float
    cpu: float | None


def measure_rate(mode: Mode, depth: int, *, processes: int, seconds: float) -> GenerationRate:
    """Return how fast samples are generated, from games that take about the given time on one core.

    Args:
        mode: "faithful" or "corrected".
        depth: 0 to 4.
        processes: at least 1.
        seconds: of the processor, per process.
    """
    generate_samples(1, depth=depth, workers=1, mode=mode)
    begun = time.process_time()
    generate_samples(PROBE_GAMES, depth=depth, workers=1, mode=mode)
    game = max((time.process_time() - begun) / PROBE_GAMES, 1e-6)
    wanted = min(max(int(processes * seconds / game), PROBE_GAMES), MAX_GAMES)
    games = max(wanted, processes * GAMES_PER_TASK) if processes > 1 else wanted
    wall, cpu = time.perf_counter(), time.process_time()
    samples = generate_samples(games, depth=depth, workers=processes, mode=mode)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return GenerationRate(
        mode, depth, processes, len(samples), wall, cpu if processes == 1 else None
    )


def format_rates(rates: Sequence[GenerationRate]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| mode | depth | processes | samples | samples/s by the clock | samples/s of processor time | original, one core |"
    yield "|---|---|---|---|---|---|---|"
    for rate in rates:
        by_cpu = "" if rate.cpu is None else f"{rate.samples / rate.cpu:,.0f}"
        original = ORIGINAL_RATES.get(rate.depth)
        yield (
            f"| {rate.mode} | {rate.depth} | {rate.processes} | {rate.samples:,} "
            f"| {rate.samples / rate.wall:,.0f} | {by_cpu} | {f'{original:,}' if original else ''} |"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ur_generation", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3, 4],
                        choices=range(MAX_DEPTH + 1))  # fmt: skip
    parser.add_argument("--modes", nargs="+", default=list(MODES[::-1]), choices=MODES)
    parser.add_argument("--processes", type=int, nargs="+", default=None,
                        help="for the scaling; by default 1 and all cores")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    options = parser.parse_args(arguments)
    processes = options.processes or sorted({1, count_workers()})
    if not is_compiled():
        sys.stderr.write("Numba is not installed: this measures plain Python\n")
    rates = [
        measure_rate(mode, depth, processes=count, seconds=options.seconds)
        for mode in options.modes
        for depth in options.depths
        for count in (processes if mode == "corrected" else (1,))
    ]
    sys.stdout.writelines(f"{line}\n" for line in format_rates(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
