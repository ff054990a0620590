from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.figures import draw_learning, standalone
from benchmarks.html_report import render_html, view_curves, view_learning
from benchmarks.learning import (
    final_return,
    format_gains,
    format_table,
    summarize_gains,
    summarize_learning,
)
from benchmarks.learning_page import STORED, compact, learning_tables, main
from benchmarks.results import BenchResult, Curve, read_result
from parity_tests.page_tables import fill_page

ROOT = Path(__file__).parents[3]


def curve(
    framework: str, seed: int, end: float, *, task: str = "Catch", algorithm: str = "DQN"
) -> Curve:
    label = {"legacy": "TensorFlow", "torch": "PyTorch"}[framework]
    steps = (100.0, 200.0, 300.0, 400.0, 500.0)
    returns = (0.0, end, end, end, end)
    return Curve(framework, label, str(seed), steps, returns, task=task, algorithm=algorithm)


def curves(legacy: Sequence[float], torch: Sequence[float], **names: str) -> list[Curve]:
    return [
        curve(framework, seed, end, **names)
        for framework, ends in (("legacy", legacy), ("torch", torch))
        for seed, end in enumerate(ends)
    ]


def test_a_run_counts_with_its_last_four_tests() -> None:
    run = Curve("torch", "PyTorch", "0", (1, 2, 3, 4, 5), (100.0, 1.0, 2.0, 3.0, 4.0))

    assert final_return(run) == 2.5


def test_a_run_with_a_final_evaluation_counts_with_that() -> None:
    run = Curve("torch", "PyTorch", "0", (1,), (1.0,), final=9.0)

    assert final_return(run) == 9.0


@pytest.mark.parametrize(
    ("torch", "verdict"),
    [
        ([97, 99, 100, 101, 103], "equivalent"),
        ([60, 80, 100, 120, 140], "no difference found"),
        ([47, 49, 50, 51, 53], "they differ"),
    ],
)
def test_verdicts_follow_size_and_spread_of_the_difference(
    torch: list[float], verdict: str
) -> None:
    (summary,) = summarize_learning(curves([98, 99, 100, 101, 102], torch))

    assert summary.comparison is not None
    assert summary.comparison.verdict == verdict


def test_the_bound_is_a_share_of_what_was_learnt() -> None:
    (summary,) = summarize_learning(curves([100, 100], [100, 100]))

    assert summary.comparison is not None
    assert summary.comparison.bound == pytest.approx(10)


def test_who_learns_nothing_is_held_to_what_others_learnt_in_the_task() -> None:
    both = [*curves([100, 100], [100, 100]), *curves([1, 0], [0, 1], algorithm="SAC")]

    bounds = {found.algorithm: found.comparison for found in summarize_learning(both)}

    assert bounds["SAC"] is not None
    assert bounds["SAC"].bound == pytest.approx(10)


@pytest.mark.slow
def test_decomposition_is_compared_with_its_basis_on_each_framework() -> None:
    alone = curves([1, 2, 3], [1, 2, 3])
    decomposed = curves([11, 12, 13], [1, 2, 3], algorithm="RRD-DQN")
    elsewhere = curves([5, 6], [5, 6], algorithm="RRD-SAC", task="Pendulum-v1")

    legacy, torch = summarize_gains([*alone, *decomposed, *elsewhere])

    assert (legacy.label, legacy.algorithm, legacy.task) == ("TensorFlow", "RRD-DQN", "Catch")
    assert (legacy.interval.low + legacy.interval.high) / 2 == pytest.approx(10)
    assert legacy.p_value == pytest.approx(2 / 20)
    assert torch.p_value == 1
    assert format_gains([torch])[0].startswith("RRD-DQN against DQN alone, Catch, PyTorch: ")


def test_one_framework_alone_is_not_compared() -> None:
    (summary,) = summarize_learning(curves([], [1, 2]))

    assert summary.comparison is None
    assert list(summary.reached) == ["torch"]


def test_algorithms_of_a_task_are_summarized_apart() -> None:
    both = [*curves([1], [1]), *curves([5], [5], algorithm="RRD-DQN")]

    found = {
        summary.algorithm: summary.reached["torch"].mean for summary in summarize_learning(both)
    }

    assert found == {"DQN": 1, "RRD-DQN": 5}


def test_runs_without_a_task_are_drawn_as_before() -> None:
    unnamed = curves([1], [1], task="", algorithm="")

    assert summarize_learning(unnamed) == []
    assert view_learning(unnamed) == []
    assert view_curves(unnamed) is not None
    assert view_curves(curves([1], [1])) is None


def test_the_table_has_means_intervals_and_verdict() -> None:
    lines = format_table(summarize_learning(curves([-98, -100, -102], [-98, -100, -102])))

    assert lines[2].startswith(
        "| Catch | DQN | 500 | 3 | 0 | \N{MINUS SIGN}100 (\N{MINUS SIGN}102 to "
    )
    assert lines[2].endswith("| 1.00 | \N{MINUS SIGN}3.48 to 3.48 (bound 10.0) | equivalent |")


def test_the_table_says_where_a_framework_has_fewer_seeds() -> None:
    lines = format_table(summarize_learning(curves([1, 2, 3], [1, 2])))

    assert "| 500 | 3 and 2 | 0 |" in lines[2]


def test_panels_show_every_algorithm_and_both_frameworks() -> None:
    pytest.importorskip("matplotlib")
    svg = draw_learning(
        "figure", {"DQN": curves([1, 2], [1, 3]), "RRD-DQN": curves([2, 2], [2, 2])}
    )

    assert all(text in svg for text in ("DQN", "RRD-DQN", "TensorFlow", "PyTorch"))
    assert "#0102" not in svg


def test_a_figure_of_its_own_knows_its_colours_and_names() -> None:
    pytest.importorskip("matplotlib")
    from xml.etree import ElementTree

    svg = standalone(draw_learning("figure", {"DQN": curves([1, 2], [1, 3])}))

    ElementTree.fromstring(svg)  # noqa: S314  drawn here
    used, defined = set(re.findall(r"var\((--\w+)\)", svg)), set(re.findall(r"(--\w+):", svg))
    assert used <= defined


@pytest.mark.slow
def test_the_report_shows_every_task() -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    runs = [*curves([1, 2], [1, 3]), *curves([1, 2], [1, 3], task="Pendulum-v1", algorithm="SAC")]

    page = render_html(BenchResult("torchward bench learning", {}, {}, (), tuple(runs)))

    assert "<h3>Catch</h3>" in page
    assert "<h3>Pendulum-v1</h3>" in page
    assert page.count("<figure") == 2


def stored(path: Path, runs: Sequence[Curve]) -> Path:
    path.write_text(BenchResult("torchward bench", {"cores": "2"}, {}, (), tuple(runs)).to_json())
    return path


def test_what_is_kept_is_the_same_result_with_shorter_numbers(tmp_path: Path) -> None:
    result = BenchResult("torchward bench", {}, {}, (), tuple(curves([1.23456], [2])))

    kept = BenchResult.from_json(compact(result))

    assert kept.curves[0].returns[-1] == 1.23
    assert kept.curves[1] == result.curves[1]
    assert len(compact(result).splitlines()) < 30


def test_a_stored_result_is_drawn_and_put_into_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table learning -->\nold\n<!-- end of learning -->\nafter\n")
    source = stored(tmp_path / "bench.json", curves([1, 2], [1, 3]))

    main(["--store", str(source), "--stored", str(tmp_path / "kept.json"), "--update", str(page)])

    assert json.loads((tmp_path / "kept.json").read_text())["format"] == "torchward-bench"
    text = page.read_text()
    assert "| Catch | DQN | 500 |" in text
    assert "old" not in text
    (image,) = re.findall(r"\]\(results/(.+?)\)", text)
    assert (tmp_path / image).exists()


def test_a_result_that_is_not_stored_is_said() -> None:
    assert learning_tables(None) == {"learning": ["Not stored yet."]}


@pytest.mark.slow
def test_the_page_shows_what_is_stored() -> None:
    page = ROOT / "docs/rrd-training.md"
    result = read_result(STORED)

    assert fill_page(page.read_text("utf-8"), learning_tables(result)) == page.read_text("utf-8")


@pytest.mark.slow
def test_every_image_of_the_page_is_stored() -> None:
    images = re.findall(
        r"\]\((results/.+?)\)", "\n".join(learning_tables(read_result(STORED))["learning"])
    )

    assert images
    assert all(
        (ROOT / "docs" / image).read_text("utf-8").startswith("<svg xmlns=") for image in images
    )


@pytest.mark.slow
def test_return_decomposition_wins_clearly_in_the_stored_runs() -> None:
    gains = [
        gain for gain in summarize_gains(read_result(STORED).curves) if gain.algorithm == "RRD-SAC"
    ]

    assert len(gains) == 2
    assert all(gain.interval.low > 0 for gain in gains)


@pytest.mark.slow
def test_frameworks_do_not_differ_in_the_stored_runs() -> None:
    verdicts = [
        found.comparison.verdict
        for found in summarize_learning(read_result(STORED).curves)
        if found.comparison is not None
    ]

    # At a level of 5 % one of ten groups may differ by chance; two do in one table of twelve.
    assert verdicts.count("they differ") <= 1
    assert verdicts.count("equivalent") > len(verdicts) / 3
