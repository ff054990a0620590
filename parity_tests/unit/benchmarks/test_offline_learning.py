from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.offline_learning import RESULTS, Study, collect, format_rows, run_all, run_one
from parity_tests.unit.docs.pages import DOCS

pytest.importorskip("torch")
pytest.importorskip("gymnasium")


def result(algorithm: str, framework: str, value: float) -> dict[str, object]:
    return {"environment": "CartPole-v1", "data": "mixed", "algorithm": algorithm,
            "framework": framework, "mean_return": value}  # fmt: skip


def test_table_has_means_and_intervals_by_framework() -> None:
    results = [result("DiscreteBC", "torch", value) for value in (10.0, 20.0, 30.0)]
    results.append(result("DiscreteCQL", "tensorflow", 400.0))

    rows = format_rows(results)

    assert rows[2].startswith("| CartPole-v1 | mixed | DiscreteBC | - | 20.0 [")
    assert rows[2].endswith("3 seeds |")
    assert rows[3] == "| CartPole-v1 | mixed | DiscreteCQL | 400.0 [400.0, 400.0], 1 seeds | - |"


def test_finished_runs_are_kept(tmp_path: Path) -> None:
    names = [f"CartPole-v1-mixed-DiscreteBC-torch-{seed}" for seed in range(2)]
    for name in names:
        (tmp_path / f"{name}.json").write_text(json.dumps({"mean_return": 1.0}))

    run_all(tmp_path, frameworks=["torch"], only="mixed-DiscreteBC", seeds=2)

    assert len(collect(tmp_path)) == 2


@pytest.mark.slow
def test_a_run_gives_what_the_table_needs(tmp_path: Path) -> None:
    study = Study("Pendulum-v1", "random", ("BC",), 5, {"hidden_sizes": [4], "batch_size": 8}, 2)

    found = run_one(study, "BC", "torch", 0, tmp_path)

    assert len(found["returns"]) == 2
    assert found["mean_return"] == pytest.approx(np.mean(found["returns"]))
    assert found["updates"] == 5


def test_the_page_shows_the_stored_results() -> None:
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))

    assert "\n".join(format_rows(stored)) in (DOCS / "offline-algorithms.md").read_text("utf-8")


def test_conservative_learning_beats_cloning_on_mixed_data_in_the_stored_results() -> None:
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))

    def returns(algorithm: str, framework: str) -> list[float]:
        return [r["mean_return"] for r in stored if (r["environment"], r["data"], r["algorithm"],
                r["framework"]) == ("CartPole-v1", "mixed", algorithm, framework)]  # fmt: skip

    for framework in ("torch", "tensorflow"):
        cloned, learnt = (returns(name, framework) for name in ("DiscreteBC", "DiscreteCQL"))
        assert len(cloned) == len(learnt) >= 5
        assert min(learnt) > max(cloned)
