"""The table of variants: one line each, with size, time, difference and matches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.ur_variants import Variant, format_table, main
from experience.environments.royal_ur.data_files import write_samples
from experience.environments.royal_ur.matches import MatchResult
from experience.environments.royal_ur.samples import Samples
from experience.ur_weights import write_ur_weights
from torch_impl.ur import UrTrainer


def test_table_shows_wins_with_their_intervals() -> None:
    variant = Variant("torch", 1_234, 5_600, 7.25, 0.001, {"random": MatchResult(50, 100)})

    lines = format_table([variant], ["random"])

    assert lines[2] == "| torch | 1,234 | 6 | 7.2 | 1.0e-03 | 50.0 (40.4 to 59.6) |"


@pytest.mark.slow
def test_command_compares_all_variants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        weights = UrTrainer(hidden_sizes=(8, 4), seed=seed, device="cpu").get_weights()
        write_ur_weights(tmp_path / f"{seed}.json", weights)
    rng = np.random.default_rng(0)
    data = Samples(
        rng.uniform(-1, 1, (40, 150)).astype(np.float32),
        np.zeros(40, np.float32),
        np.eye(7, dtype=np.float32)[rng.integers(7, size=40)],
        np.repeat(np.arange(4), 10).astype(np.int32),
    )
    write_samples(data, tmp_path / "s.npz")
    files = [str(tmp_path / f"{seed}.json") for seed in range(2)]

    code = main(["--weights", *files, "--data", str(tmp_path / "s.npz"), "--games", "2",
                 "--against", "random", "--epochs", "1", "--student", "4"])  # fmt: skip

    names = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[2:]]
    assert code == 0
    assert names == ["| NumPy", "| torch", "| torch, int8 weights", "| student 4", "| mean of 2"]


def test_unreadable_weights_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text("{}")

    code = main(["--weights", str(tmp_path / "bad.json"), "--data", str(tmp_path / "none.npz")])

    assert code == 3
    assert capsys.readouterr().err.count("\n") == 1
