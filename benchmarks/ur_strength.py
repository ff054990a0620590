"""How strong the players of the Royal Game of Ur are, beside the same matches with the original engine.

    python -m benchmarks.ur_strength
    python -m benchmarks.ur_strength --search corrected --share 0.1

The faithful table plays what the recorded one played, and has to agree with it; the corrected one says what the
corrected search gains.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from experience.environments.royal_ur.matches import MatchResult, play_match
from experience.environments.royal_ur.network_players import network_player
from experience.environments.royal_ur.players import Player, make_player
from experience.environments.royal_ur.search import MODES, Mode
from experience.environments.royal_ur.workers import count_workers

BONUSES = "bonuses"
NORMAL = 3.0
"""Standard errors of the difference that two samples of the same odds may be apart."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A match of the original engine: sides alternating, turns passed, an empty cache at every move."""

    player: str
    opponent: str
    games: int
    rate: float


RECORDED = (
    Recorded("heuristic", "random", 2000, 0.895),
    Recorded("expectiminimax-1", "random", 2000, 0.940),
    Recorded("expectiminimax-2", "random", 2000, 0.977),
    Recorded("expectiminimax-3", "random", 400, 0.992),
    Recorded("expectiminimax-1", "heuristic", 2000, 0.647),
    Recorded("expectiminimax-2", "heuristic", 2000, 0.805),
    Recorded("expectiminimax-3", "heuristic", 400, 0.928),
    Recorded("expectiminimax-3", "expectiminimax-1", 400, 0.808),
    Recorded("expectiminimax-3", "expectiminimax-2", 400, 0.630),
    Recorded(BONUSES, "random", 4000, 0.960),
    Recorded(BONUSES, "heuristic", 4000, 0.756),
    Recorded(BONUSES, "expectiminimax-1", 4000, 0.675),
    Recorded(BONUSES, "expectiminimax-2", 2000, 0.495),
    Recorded(BONUSES, "expectiminimax-3", 300, 0.277),
)


DUELS = ((1, 4000), (2, 4000), (3, 1000))
"""Depth and games of the corrected search against the faithful one."""


def agrees(result: MatchResult, recorded: Recorded) -> bool:
    """Return whether both shares can be samples of the same odds, three standard errors apart at most."""
    pooled = (result.wins + recorded.rate * recorded.games) / (result.games + recorded.games)
    spread = pooled * (1 - pooled) * (1 / result.games + 1 / recorded.games)
    return abs(result.rate - recorded.rate) <= NORMAL * math.sqrt(spread)


def make_named(name: str, search: Mode) -> Player:
    """Return a player by name, "bonuses" among them."""
    if name == BONUSES:
        return network_player(None, bonuses="only")
    return make_player(name, mode=search)


def measure_strength(search: Mode, *, share: float, seed: int, workers: int) -> Iterator[str]:
    """Yield the lines of a Markdown table, match by match.

    Args:
        search: of expectiminimax, on either side.
        share: of the games that were recorded.
        seed: of the first match.
        workers: processes.
    """
    compared = search == "faithful"
    yield "| player | opponent | games | won | 95 % interval | original |" + (
        " agrees |" if compared else ""
    )
    yield "|---" * (7 if compared else 6) + "|"
    for number, match in enumerate(RECORDED):
        games = max(int(match.games * share), 1)
        players = [make_named(name, search) for name in (match.player, match.opponent)]
        result = play_match(players[0], players[1], games, seed=seed + number, workers=workers)
        low, high = result.interval
        line = (
            f"| {match.player} | {match.opponent} | {games} | {100 * result.rate:.1f} % "
            f"| {100 * low:.1f} to {100 * high:.1f} % | {100 * match.rate:.1f} % |"
        )
        yield line + (f" {'yes' if agrees(result, match) else 'NO'} |" if compared else "")


def measure_duels(*, share: float, seed: int, workers: int) -> Iterator[str]:
    """Yield the lines of a Markdown table: the corrected search against the faithful one of the same depth."""
    yield "| depth | games | the corrected search won | 95 % interval |"
    yield "|---|---|---|---|"
    for depth, recorded in DUELS:
        games = max(int(recorded * share), 1)
        corrected, faithful = (
            make_named(f"expectiminimax-{depth}", mode) for mode in ("corrected", "faithful")
        )
        result = play_match(corrected, faithful, games, seed=seed + depth, workers=workers)
        low, high = result.interval
        yield f"| {depth} | {games} | {100 * result.rate:.1f} % | {100 * low:.1f} to {100 * high:.1f} % |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the table, print it, and return 1 if a faithful match disagrees with the original."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ur_strength", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--search", default="faithful", choices=MODES)
    parser.add_argument("--share", type=float, default=1.0, help="of the recorded number of games")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args(arguments)
    how: dict[str, Any] = {
        "share": options.share,
        "seed": options.seed,
        "workers": count_workers(options.workers),
    }  # Any: parsed options
    tables = [measure_strength(options.search, **how)]
    if options.search == "corrected":
        tables.append(measure_duels(**how))
    failed = False
    for line in chain.from_iterable(tables):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        failed = failed or line.endswith("NO |")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
