from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import offline_updates
from benchmarks.offline_updates import Measured, format_rows, main, measure

# Answers as d3rlpy_updates.py does: 100 updates for every second asked for.
FAKE = """
import json, sys
print("chatter of a library")
print(json.dumps({"d3rlpy": "2.8.1"}), flush=True)
for line in sys.stdin:
    answer = {"updates": 100 * float(line), "seconds": float(line), "peak_bytes": 7}
    print(json.dumps(answer), flush=True)
"""


def test_without_an_interpreter_d3rlpy_is_said_to_be_missing() -> None:
    [found] = measure("DQN", [], d3rlpy_python=None, rounds=1, seconds=0.1)

    assert (found.missing, found.rates) == ("not installed", ())


def test_every_round_asks_the_other_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = tmp_path / "fake.py"
    subject.write_text(FAKE)
    monkeypatch.setattr(offline_updates, "D3RLPY_SUBJECT", subject)

    [found] = measure("DQN", [], d3rlpy_python=sys.executable, rounds=3, seconds=0.5)

    assert (found.rates, found.peak) == ((100.0, 100.0, 100.0), 7)
    assert found.versions == {"d3rlpy": "2.8.1"}


def test_an_interpreter_that_cannot_run_it_is_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_updates, "D3RLPY_SUBJECT", tmp_path / "missing.py")

    [found] = measure("DQN", [], d3rlpy_python=sys.executable, rounds=2, seconds=0.1)

    assert (found.missing, found.rates) == ("did not run", ())


def test_table_has_ratios_to_d3rlpy() -> None:
    rows = format_rows(
        [
            Measured("DQN", "torch-compiled", (5_000.0, 6_000.0, 9_000.0), {}, "", 412_600_000),
            Measured("DQN", "d3rlpy", (500.0,), {}),
            Measured("DiscreteCQL", "torch-compiled", (100.0,), {}),
            Measured("DiscreteCQL", "d3rlpy", (), {}, "not installed"),
        ]
    )

    assert rows[2] == "| DQN | torch-compiled | 6,000 | 12.0 | 413 |"
    assert rows[4] == "| DiscreteCQL | torch-compiled | 100 | - | - |"
    assert rows[5] == "| DiscreteCQL | d3rlpy | not installed | - | - |"


@pytest.mark.parametrize(("rate", "code"), [(600.0, 0), (400.0, 1)], ids=["enough", "less"])
def test_exit_status_says_whether_the_promise_holds(
    rate: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(algorithm: str, *_: object, **__: object) -> list[Measured]:
        return [
            Measured(algorithm, "torch-compiled", (rate,), {}),
            Measured(algorithm, "d3rlpy", (100.0,), {}),
        ]

    monkeypatch.setattr(offline_updates, "measure", measured)

    assert main([]) == code
    assert "DiscreteCQL" in capsys.readouterr().out
