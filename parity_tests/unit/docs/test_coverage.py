"""The tables of docs/coverage.md and docs/converted-modules.md are what the code prints from the stored results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.ratio_table import STORED, converted_tables
from converters.registry import LAYERS
from parity_tests.completeness.applications import NetworkResult, write_networks
from parity_tests.coverage import (
    COMPARED_IN,
    RESULTS,
    application_table,
    completeness_table,
    layer_table,
    main,
    operation_list,
    tables,
)
from parity_tests.layer_results import Difference, LayerResults, Recorder, read_layer_results
from parity_tests.page_tables import NOT_STORED, fill_page
from parity_tests.unit.docs.pages import DOCS, ROOT

RENEW = "python -m parity_tests.coverage --update docs/coverage.md"


def row_of(lines: Sequence[str], name: str) -> str:
    [row] = [line for line in lines if line.startswith(f"| {name} |")]
    return row


def results(**rules: dict[str, Difference]) -> LayerResults:
    return LayerResults({"keras": "3.15.1"}, ("Dense", "InputLayer", "Lambda", "NewLayer"), rules)


def test_the_page_shows_what_the_code_prints() -> None:
    page = (DOCS / "coverage.md").read_text(encoding="utf-8")

    assert fill_page(page, tables()) == page, RENEW


def test_the_page_of_converted_modules_shows_what_the_code_prints() -> None:
    page = (DOCS / "converted-modules.md").read_text(encoding="utf-8")

    assert fill_page(page, converted_tables(STORED)) == page


def test_every_rule_with_examples_has_stored_differences_within_the_limits() -> None:
    stored = read_layer_results(RESULTS / "layers.json").rules
    with_examples = {name for name, rule in LAYERS.items() if rule.examples}
    seen = [difference for of_rule in stored.values() for difference in of_rule.values()]

    assert sorted(with_examples - set(stored)) == [], "make layer-parity"
    assert all(each.failed == 0 and each.worst <= each.allowed for each in seen)


def test_every_rule_without_examples_has_a_test_of_its_own() -> None:
    without = {name for name, rule in LAYERS.items() if not rule.examples}

    assert {name for name in without if not name.startswith("ops.")} == set(COMPARED_IN)
    for place in COMPARED_IN.values():
        assert (ROOT / "parity_tests/unit/converters/layers" / place).is_file()


def test_layers_are_listed_with_their_difference_or_the_reason() -> None:
    lines = layer_table(results(Dense={"float64": Difference(3, 0, 2e-16, 1e-12)}))

    assert row_of(lines, "Dense") == f"| Dense | {len(LAYERS['Dense'].examples)} | 2.0e-16 |  |  |"
    assert "**not converted**: holds or names code" in row_of(lines, "Lambda")
    assert row_of(lines, "InputLayer").endswith("| an input of the graph |")
    assert "**no rule**" in row_of(lines, "NewLayer")
    assert "4 classes in keras.layers 3.15.1: 1 with a rule" in lines[-1]


def test_a_failed_comparison_is_shown() -> None:
    lines = layer_table(results(Dense={"float32": Difference(4, 1, 1e-7, 5e-6)}))

    assert "**1 of 4 failed**" in row_of(lines, "Dense")
    assert "float32: 3 of 4 comparisons" in lines[-1]


def test_operations_are_listed_whether_compared_or_not() -> None:
    text = "\n".join(operation_list(results(**{"ops.Add": {"float64": Difference(1, 0, 3e-16)}})))

    assert "`Add` 3.0e-16." in text
    assert "Subtract" in text.partition("The others:")[2]


def test_completeness_counts_by_group_and_lists_what_fails(tmp_path: Path) -> None:
    path = tmp_path / "completeness.json"
    case = {"case": "dense 0", "class_name": "Dense", "outcome": "fail", "reason": "off | by 1"}
    totals = {"float32": {"pass": 3, "fail": 1, "excluded": 2}}
    path.write_text(json.dumps({"totals": totals, "cases": [case]}), encoding="utf-8")

    lines = completeness_table(path)

    assert "| float32 | 3 | 4 | 75.0 | 2 |" in lines
    assert lines[-1] == "| Dense | 1 | dense 0: off \\| by 1 |"


@pytest.mark.skipif(find_spec("keras") is None, reason="its version is stored with the results")
def test_networks_are_listed_by_name_with_what_fails(tmp_path: Path) -> None:
    path = tmp_path / "applications.json"
    passing = NetworkResult("ResNet", 10, 1e-7, 1.0, 0.25, 3.0)
    failing = NetworkResult("Inception", 20, 0.5, 1.0, 0.25, 3.0, "off by 5.0e-01")
    write_networks(path, [passing, failing])

    lines = application_table(path)

    assert lines[2:4] == [
        "| Inception | 20 | 5.0e-01 | 1.00 | 0.25 | 3.00 | off by 5.0e-01 |",
        "| ResNet | 10 | 1.0e-07 | 1.00 | 0.25 | 3.00 | pass |",
    ]
    assert lines[-1].startswith("1 of 2 pass; 1 converted and loaded in less time")


def test_what_is_not_stored_is_said(tmp_path: Path) -> None:
    path = tmp_path / "none.json"

    assert completeness_table(path) == application_table(path) == NOT_STORED
    assert converted_tables(path) == {"converted": NOT_STORED}


def test_tables_are_printed_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimizers"]) == 0

    assert "| Adam | `torch_impl.keras_compat.Adam` |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "page",
    ["<!-- table b -->\n<!-- end of b -->", "<!-- table a -->\n"],
    ids=["other table", "no end"],
)
def test_page_without_a_place_for_a_table_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="the page has"):
        fill_page(page, {"a": ["x"]})


def test_recorder_keeps_the_worst_and_what_is_stored_of_other_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parity_tests.layer_results.keras_layer_names", lambda: ("Dense",))
    monkeypatch.setattr("parity_tests.layer_results.version", lambda name: "1")
    path = tmp_path / "layers.json"
    first, second = Recorder(path), Recorder(path)
    first.add(
        {"rules": ["Add"], "dtype": "float64", "difference": 0.25, "allowed": 1.0}, failed=False
    )
    first.pytest_sessionfinish()
    for difference in (0.5, 0.125):
        properties = {"rules": ["Dense"], "dtype": "float32", "difference": difference}
        second.add(properties, failed=False)
    second.add({"rules": ["Dense"], "dtype": "float32"}, failed=True)
    second.pytest_sessionfinish()

    stored = read_layer_results(path).rules

    assert stored["Add"] == {"float64": Difference(1, 0, 0.25, 1.0)}
    assert stored["Dense"] == {"float32": Difference(3, 1, 0.5, 0.0)}
