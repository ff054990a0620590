from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from parity_tests.compare import Comparison, compare, fail
from parity_tests.report import (
    ParityReport,
    ProbeResult,
    format_failure,
    format_json,
    format_junit,
    format_markdown,
    format_text,
    result_from_plain,
    result_to_plain,
)
from parity_tests.tolerances import EXACT, Tolerance

TOLERANCE = Tolerance(1e-12, 1e-10, "a test")
ENVIRONMENT = {"machine": "Linux <x86_64>", "torch": "2.13.0"}


def make_result(*comparisons: Comparison, **fields: object) -> ProbeResult:
    values: dict[str, object] = {
        "pair": "dqn",
        "config": "plain",
        "default_config": True,
        "probe": "gradient",
        "dtype": "float64",
        "seed": 0,
        "updates": 100,
        "recipe": "transitions",
        "inputs_sha256": "9f0c" * 16,
        "comparisons": comparisons,
        "seconds": 1.5,
        **fields,
    }
    return ProbeResult(**values)  # type: ignore[arg-type]


def make_comparison(torch: float = 1.0, name: str = "q_network.hidden.weight") -> Comparison:
    legacy = np.full((20, 4), 0.5)
    changed = legacy.copy()
    changed[17, 3] = torch * 0.5
    return compare(name, legacy, changed, TOLERANCE)


GOOD = make_result(make_comparison())
BAD = make_result(make_comparison(1.5), make_comparison(name="loss"))
ERROR = make_result(error="RuntimeError: <no> optimizer & more", details="Traceback ...")
SKIPPED = make_result(probe="target_sync", skipped="no target network")


def test_a_failure_says_what_where_how_much_how_much_was_allowed_and_how_to_repeat() -> None:
    values = "at (17, 3): legacy 5.0e-01, torch 7.5e-01"
    assert format_failure(BAD).splitlines() == [
        "dqn / gradient / float64 / seed 0          NOT IN PARITY",
        f"  q_network.hidden.weight  worst 2.5e-01 absolute, 5.0e-01 relative, {values}",
        " " * 27 + "1 of 80 elements over the limit (1e-12 absolute, 1e-10 relative)",
        "  1 other comparison equal within limits",
        "  inputs: inputs.py, recipe 'transitions', sha256 9f0c9f0c9f0c",
        "Repeat with: torchward parity dqn --probe gradient --dtype float64 --seed 0",
    ]


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        (
            {"config": "double", "default_config": False},
            "torchward parity dqn --config double --probe gradient --dtype float64 --seed 0",
        ),
        (
            {"probe": "trajectory", "updates": 10_000, "seed": 3},
            "torchward parity dqn --probe trajectory --dtype float64 --seed 3 --updates 10000",
        ),
        (
            {"pairs_from": "mine:PAIRS"},
            "torchward parity dqn --probe gradient --dtype float64 --seed 0 --pairs mine:PAIRS",
        ),
    ],
    ids=["configuration", "trajectory", "own pairs"],
)
def test_the_command_repeats_exactly_this_run(fields: dict[str, object], command: str) -> None:
    assert make_result(make_comparison(), **fields).command == command


@pytest.mark.parametrize(
    ("result", "expected"),
    [(GOOD, True), (BAD, False), (ERROR, False), (SKIPPED, True), (make_result(), False)],
    ids=["good", "bad", "error", "skipped", "nothing compared"],
)
def test_a_result_is_in_parity_only_if_something_was_compared_and_all_of_it_agrees(
    result: ProbeResult, expected: bool
) -> None:
    assert result.in_parity is expected
    assert ParityReport((result,)).in_parity is expected


def test_a_report_without_results_is_not_in_parity() -> None:
    assert not ParityReport(()).in_parity


def test_the_text_ends_with_machine_versions_and_verdict() -> None:
    lines = format_text(ParityReport((GOOD, BAD, SKIPPED), ENVIRONMENT)).splitlines()
    assert lines[-2] == "machine Linux <x86_64>, torch 2.13.0"
    assert lines[-1] == "NOT IN PARITY   1 of 2 probes failed, 1 not applicable"
    assert any(line.startswith("Repeat with: torchward parity dqn") for line in lines)


def test_a_report_of_what_does_not_apply_claims_no_parity() -> None:
    assert ParityReport((SKIPPED, SKIPPED)).verdict == "NOTHING COMPARED   2 not applicable"


def test_the_text_of_a_good_report_has_no_failures() -> None:
    text = format_text(ParityReport((GOOD,), ENVIRONMENT))
    assert "Repeat with" not in text
    assert text.endswith("IN PARITY   1 of 1 probes")


def test_the_table_shows_the_comparison_nearest_to_its_limit() -> None:
    near = compare("near", np.array([1.0]), np.array([1.0 + 5e-11]), TOLERANCE)
    exact = compare("exact", np.array([1.0]), np.array([1.0]), EXACT)
    assert make_result(exact, near, make_comparison()).worst == near


def test_json_has_results_environment_and_strict_numbers() -> None:
    broken = compare("q", np.array([1.0]), np.array([np.nan]), TOLERANCE)
    content = json.loads(
        format_json(ParityReport((make_result(broken),), ENVIRONMENT)), parse_constant=pytest.fail
    )
    assert content["environment"] == ENVIRONMENT
    assert content["in_parity"] is False
    assert content["results"][0]["comparisons"][0]["torch"] == "nan"
    assert content["results"][0]["seed"] == 0


@pytest.mark.parametrize(
    "result", [GOOD, BAD, ERROR, SKIPPED], ids=["good", "bad", "error", "skipped"]
)
def test_a_result_survives_the_way_through_json(result: ProbeResult) -> None:
    assert result_from_plain(json.loads(json.dumps(result_to_plain(result)))) == result


def test_junit_counts_and_escapes() -> None:
    report = ParityReport((GOOD, BAD, ERROR, SKIPPED), {**ENVIRONMENT, "odd": "a\x00b"})
    suite = ET.fromstring(format_junit(report))  # noqa: S314  our own text
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties == {**ENVIRONMENT, "odd": "a?b"}
    assert [each.get("message") for each in suite.iter("error")] == [ERROR.error]
    assert "Repeat with" in str(next(suite.iter("failure")).text)


def test_markdown_escapes_cells_and_keeps_the_failure_as_it_is() -> None:
    piped = make_result(fail("a|b", "a <b> | c"))
    text = format_markdown(ParityReport((piped,), ENVIRONMENT))
    assert "a\\|b" in text
    assert format_failure(piped) in text
    assert "Linux &lt;x86_64>" in text
