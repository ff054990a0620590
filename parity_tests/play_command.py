"""`torchward play ur`: a game in the terminal, or matches with a table.

Arguments in, text out; the game and the matches are in `experience.environments.royal_ur`, the networks of a file in
`experience.ur_inference`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from converters.errors import ConversionError, OutputError, UnreadableFileError

if TYPE_CHECKING:
    from experience.environments.royal_ur.players import Player

GAMES = ("ur",)
DEFAULT_OPPONENTS = "random,heuristic,expectiminimax-1,expectiminimax-2,expectiminimax-3"
DEFAULT_OPPONENT = "heuristic"
BONUSES_PLAYER = "bonuses"
MATCH_GAMES = 2_000
COMPARED = {"none": "network", "only": "bonuses", "both": "network + bonuses"}
"""Value of --bonuses to what the table calls the player."""


class PlayUsageError(ConversionError):
    """The command was called with something that does not exist or does not go together."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class MatchRow:
    """A line of the table."""

    player: str
    opponent: str
    games: int
    wins: int
    rate: float
    low: float
    high: float
    seconds: float


def play(
    game: Annotated[str, typer.Argument(help="ur: the Royal Game of Ur.")],
    weights: Annotated[
        Path | None, typer.Option(help="JSON weights of `torchward train ur`; they play.")
    ] = None,
    player: Annotated[
        str | None,
        typer.Option(
            help="In place of --weights: random, heuristic, expectiminimax-1 to -4, bonuses."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Opponents of the matches, comma-separated; in a game: who you play."),
    ] = None,
    games: Annotated[
        int | None, typer.Option(min=1, help="Play matches of so many games; 2000.")
    ] = None,
    bonuses: Annotated[
        str,
        typer.Option(help="The original's hand-written bonuses: none, only, both, or all three."),
    ] = "none",
    scoring: Annotated[
        str, typer.Option(help="How weights choose: corrected, or faithful to the original.")
    ] = "corrected",
    search: Annotated[
        str, typer.Option(help="Search of expectiminimax: faithful to the original, or corrected.")
    ] = "faithful",
    side: Annotated[int, typer.Option(min=1, max=2, help="Your side; player 1 rolls first.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of dice and players.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; RAYON_NUM_THREADS, else all cores.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the table into this .png or .svg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Play the Royal Game of Ur, or let players play matches.

    Examples: torchward play ur | torchward play ur --against expectiminimax-3 --side 2 | torchward play ur --weights
    w.json | torchward play ur --weights w.json --games 2000 --bonuses all --plot table.png | torchward play ur
    --player heuristic --against random --games 2000
    """
    if game not in GAMES:
        msg = f"there is no game {game!r}; there is {', '.join(GAMES)}"
        raise PlayUsageError(msg)
    if weights is not None and player is not None:
        msg = "--weights and --player both name the player; give one"
        raise PlayUsageError(msg)
    matches = games is not None or as_json or plot is not None or player is not None
    with _usage_errors():
        if not matches:
            choices = _Choices(weights, against, bonuses, scoring, search)
            _play_one_game(choices, side=side, seed=seed)
            return
        choices = _Choices(weights, player, bonuses, scoring, search)
        opponents = (against or DEFAULT_OPPONENTS).split(",")
        rows = _play_matches(
            choices, opponents, games or MATCH_GAMES, seed=seed, workers=workers, quiet=as_json
        )
    if plot is not None:
        _write_plot(rows, plot)
    if as_json:
        sys.stdout.write(json.dumps({"rows": [asdict(row) for row in rows]}, indent=2) + "\n")


@dataclass(frozen=True, slots=True)
class _Choices:
    """Which player the options name."""

    weights: Path | None
    name: str | None
    bonuses: str
    scoring: str
    search: str


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn wrong values into one line: files are unreadable, anything else is wrong use."""
    from experience.ur_weights import UrWeightsError

    try:
        yield
    except UrWeightsError as error:
        raise UnreadableFileError(str(error)) from error
    except ValueError as error:
        raise PlayUsageError(str(error)) from error


def _make_named(name: str, search: str) -> Player:
    """Return the player of that name, "bonuses" among them."""
    from experience.environments.royal_ur.network_players import network_player
    from experience.environments.royal_ur.players import PLAYER_NAMES, make_player
    from experience.environments.royal_ur.search import MODES, Mode

    modes: dict[str, Mode] = {mode: mode for mode in MODES}
    if search not in modes:
        msg = f"--search {search}: needed {' or '.join(MODES)}"
        raise PlayUsageError(msg)
    if name == BONUSES_PLAYER:
        return network_player(None, bonuses="only")
    try:
        return make_player(name, mode=modes[search])
    except ValueError as error:
        msg = f"there is no player {name!r}; there are {', '.join((*PLAYER_NAMES, BONUSES_PLAYER))}"
        raise PlayUsageError(msg) from error


def _make_players(choices: _Choices) -> dict[str, Player]:
    """Return the players of the options by what the table calls them; several with --bonuses all."""
    from experience.environments.royal_ur.network_players import BONUSES, network_player
    from experience.environments.royal_ur.search import MODES, Mode

    if choices.bonuses not in (*BONUSES, "all"):
        msg = f"--bonuses {choices.bonuses}: needed {', '.join(BONUSES)} or all"
        raise PlayUsageError(msg)
    modes: dict[str, Mode] = {mode: mode for mode in MODES}
    scoring = modes.get(choices.scoring)
    if scoring is None:
        msg = f"--scoring {choices.scoring}: needed {' or '.join(MODES)}"
        raise PlayUsageError(msg)
    if choices.weights is None:
        name = choices.name or DEFAULT_OPPONENT
        return {name: _make_named(name, choices.search)}
    from experience.ur_inference import UrInference

    network = UrInference.load(choices.weights)
    wanted = [b for b in BONUSES if choices.bonuses in (b, "all")]
    return {COMPARED[b]: network_player(network, bonuses=b, scoring=scoring) for b in wanted}


def _play_one_game(choices: _Choices, *, side: int, seed: int) -> None:
    from experience.environments.royal_ur.terminal import Conversation, play_in_terminal

    if choices.weights is not None and choices.name is not None:
        msg = "--against names opponents of the weights: give --games too; without it you play the weights"
        raise PlayUsageError(msg)
    if choices.bonuses == "all":
        msg = "--bonuses all compares in matches; a game is against one: none, only or both"
        raise PlayUsageError(msg)
    ((name, opponent),) = _make_players(choices).items()
    conversation = Conversation(_ask, lambda line: typer.echo(line))
    play_in_terminal(opponent, conversation, name=f"the {name} player", side=side, seed=seed)


def _ask(prompt: str) -> str | None:
    """Show a prompt and return a line of standard input, None at its end."""
    typer.echo(prompt, nl=False)
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        typer.echo(line.rstrip("\n"))  # as the terminal would have shown it
    return line or None


def _play_matches(
    choices: _Choices,
    opponents: Sequence[str],
    games: int,
    *,
    seed: int,
    workers: int | None,
    quiet: bool,
) -> list[MatchRow]:
    """Play every pair, printing the lines of the table as they come."""
    from experience.environments.royal_ur.matches import play_match
    from experience.environments.royal_ur.workers import count_workers

    players = _make_players(choices)
    others = {name: _make_named(name, choices.search) for name in map(str.strip, opponents)}
    processes = count_workers(workers)
    width = max(map(len, (*players, *others, "opponent")))
    if not quiet:
        typer.echo(
            f"{'player':{width}}  {'opponent':{width}}  games   won    95 % interval  seconds"
        )
    rows = []
    for player_name, player in players.items():
        for other_name, other in others.items():
            start = time.perf_counter()
            result = play_match(player, other, games, seed=seed, workers=processes)
            low, high = result.interval
            rows.append(MatchRow(player_name, other_name, games, result.wins, result.rate, low, high,
                                 time.perf_counter() - start))  # fmt: skip
            if not quiet:
                typer.echo(_format_row(rows[-1], width))
    return rows


def _format_row(row: MatchRow, width: int) -> str:
    interval = f"{100 * row.low:.1f} to {100 * row.high:.1f} %"
    return (
        f"{row.player:{width}}  {row.opponent:{width}}  {row.games:5}  {100 * row.rate:4.1f} %  "
        f"{interval:>15}  {row.seconds:6.1f}"
    )


def _write_plot(rows: Sequence[MatchRow], path: Path) -> None:
    """Draw the shares with their intervals, one group of marks for every player."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        msg = "--plot needs matplotlib; install it with: pip install 'torchward[report]'"
        raise OutputError(msg) from error
    opponents = list(dict.fromkeys(row.opponent for row in rows))
    players = list(dict.fromkeys(row.player for row in rows))
    figure = Figure(figsize=(7, 1.2 + 0.5 * len(opponents)), layout="constrained")
    axes = figure.add_subplot()
    for number, player in enumerate(players):
        own = [row for row in rows if row.player == player]
        shift = 0.2 * (number - (len(players) - 1) / 2)
        places = [opponents.index(row.opponent) + shift for row in own]
        shares = [100 * row.rate for row in own]
        errors = [[100 * (row.rate - row.low) for row in own],
                  [100 * (row.high - row.rate) for row in own]]  # fmt: skip
        axes.errorbar(shares, places, xerr=errors, fmt="o", capsize=3, label=player)
    axes.axvline(50, color="grey", linewidth=0.8)
    axes.set(xlim=(0, 100), xlabel="games won, % with 95 % Wilson interval", ylabel="opponent")
    axes.set_yticks(range(len(opponents)), opponents)
    axes.invert_yaxis()
    axes.legend(loc="lower left")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        msg = f"{path}: the plot cannot be written: {error}"
        raise OutputError(msg) from error
