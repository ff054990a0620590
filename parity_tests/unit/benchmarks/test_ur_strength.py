from __future__ import annotations

import pytest

from benchmarks import ur_strength
from benchmarks.ur_strength import Recorded, agrees, main
from experience.environments.royal_ur.matches import MatchResult


@pytest.mark.parametrize(
    ("wins", "fits"), [(1800, True), (1845, True), (1865, False), (1700, False), (0, False)]
)
def test_shares_agree_within_three_standard_errors_of_their_difference(
    wins: int, fits: bool
) -> None:
    # 90 % of 2000 games each: a standard error of 0.95 points, so three are 57 games.
    assert agrees(MatchResult(wins, 2000), Recorded("a", "b", 2000, 0.9)) == fits


@pytest.mark.slow
def test_the_faithful_table_says_what_agrees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    matches = (Recorded("heuristic", "random", 200, 0.895), Recorded("random", "bonuses", 200, 0.9))
    monkeypatch.setattr(ur_strength, "RECORDED", matches)

    assert main(["--workers", "1"]) == 1
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.rsplit(" | ", 1)[1] for row in rows] == ["yes |", "NO |"]


@pytest.mark.slow
def test_the_corrected_table_has_the_duels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ur_strength, "RECORDED", ())
    monkeypatch.setattr(ur_strength, "DUELS", ((1, 40),))

    assert main(["--workers", "1", "--search", "corrected", "--share", "0.5"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("| 1 | 20 | ")
