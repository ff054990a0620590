"""The tables of docs/coverage.md, from the registries and the stored results: `python -m parity_tests.coverage`.

What converts is listed from the registries themselves; what was measured comes from docs/results, where the commands
of the page store it. `--update docs/coverage.md` puts the tables into the page, a test compares them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from converters.optimizers.rules import RULES, WITHOUT_COUNTERPART
from converters.refusals import NOT_LAYERS, REFUSED
from converters.registry import LAYERS
from converters.support import OPERATION
from parity_tests.completeness.applications import format_networks, read_networks
from parity_tests.completeness.report import MAX_REASON
from parity_tests.layer_results import Difference, LayerResults, read_layer_results
from parity_tests.page_tables import NOT_STORED, fill_page

RESULTS = Path(__file__).parents[1] / "docs" / "results"
UNIT_TESTS = "parity_tests/unit/converters/layers"
COMPARED_IN = {
    **dict.fromkeys(
        ("RNN", "StackedRNNCells", "LSTMCell", "GRUCell", "SimpleRNNCell"), "test_cells.py"
    ),
    **dict.fromkeys(("Sequential", "Functional", "Model"), "test_wrappers.py"),
    **dict.fromkeys(("IndexLookup", "StringLookup", "TextVectorization"), "test_text.py"),
    **dict.fromkeys(("TFDConcat", "TFDIdentity"), "test_text.py"),
    "Variable": "test_variables.py",
    **dict.fromkeys(
        (
            *("QuantizedDense", "QuantizedEinsumDense"),
            *("QuantizedEmbedding", "QuantizedReversibleEmbedding"),
            *("Float8Dense", "Float8EinsumDense"),
            *("CalibratedDense", "CalibratedEinsumDense"),
        ),
        "test_quantized.py",
    ),
    **dict.fromkeys(
        ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"),
        "operators/test_tensorflow_functions.py",
    ),
    **dict.fromkeys(
        ("ThresholdedReLU", "RandomHeight", "RandomWidth", "Equalization"), "../test_registry.py"
    ),
    **dict.fromkeys(
        (
            *("MaxoutDense", "Highway", "SReLU", "ParametricSoftplus", "Merge"),
            *("LocallyConnected1D", "LocallyConnected2D"),
        ),
        "test_keras1_layers.py",
    ),
}
"""Rules whose arguments or calls are more than an example can say, and the test of each."""


def layer_table(results: LayerResults) -> list[str]:
    """Return a row for every class of keras.layers and for every other class with a rule."""
    rules = {name for name in LAYERS if not name.startswith(OPERATION)}
    lines = ["| class | examples | float64 | float32 | |", "|---|---|---|---|---|"]
    names = sorted({*results.classes, *rules})
    for name in names:
        note = "" if name in results.classes else "not in keras.layers of this version"
        note = ", ".join(part for part in (note, _where(name)) if part)
        if name in NOT_LAYERS or name in REFUSED:
            reason = NOT_LAYERS.get(name) or f"**not converted**: {REFUSED[name]}"
            lines.append(f"| {name} | | | | {reason} |")
        elif name in rules:
            cells = _parity_cells(name, results.rules.get(name, {}))
            lines.append(f"| {name} | {cells} | {note} |")
        else:
            lines.append(f"| {name} | | | | **no rule** |")
    inside = [name for name in results.classes if name in rules]
    refused = [name for name in results.classes if name in REFUSED]
    summary = (
        f"{len(results.classes)} classes in keras.layers {results.versions['keras']}: {len(inside)} with a rule, "
        f"{len(refused)} not converted, {len(results.classes) - len(inside) - len(refused)} need none; "
        f"{len(rules - set(results.classes))} rules for other classes. {_totals(results, rules)}"
    )
    return [*lines, "", summary]


def _where(name: str) -> str:
    place = COMPARED_IN.get(name)
    return f"compared in `{(UNIT_TESTS + '/' + place).replace('layers/../', '')}`" if place else ""


def _parity_cells(name: str, found: Mapping[str, Difference]) -> str:
    examples = len(LAYERS[name].examples)
    cells = [str(examples) if examples else ""]
    for dtype in ("float64", "float32"):
        seen = found.get(dtype)
        cells.append("" if seen is None else _difference(seen))
    return " | ".join(cells)


def _difference(seen: Difference) -> str:
    failed = f", **{seen.failed} of {seen.cases} failed**" if seen.failed else ""
    return ("0" if seen.worst == 0 else f"{seen.worst:.1e}") + failed


def _totals(results: LayerResults, rules: Iterable[str]) -> str:
    said = []
    for dtype in ("float64", "float32"):
        found = [
            results.rules[name][dtype] for name in rules if dtype in results.rules.get(name, {})
        ]
        worst = max((each.worst for each in found), default=0.0)
        cases, failed = sum(each.cases for each in found), sum(each.failed for each in found)
        said.append(
            f"{dtype}: {cases - failed} of {cases} comparisons within the limit, worst {worst:.1e}"
        )
    return "; ".join(said) + "."


def operation_list(results: LayerResults) -> list[str]:
    """Return all operations; those that a network compares with the largest difference."""
    names = sorted(name for name in LAYERS if name.startswith(OPERATION))
    compared = [name for name in names if "float64" in results.rules.get(name, {})]
    others = [name for name in names if name not in compared]
    measured = (
        f"`{name.removeprefix(OPERATION)}` {_difference(results.rules[name]['float64'])}"
        for name in compared
    )
    summary = (
        f"{len(names)} operations have a rule. {len(compared)} are compared with Keras in networks, with the largest "
        "difference in float64 of the networks that hold them:"
    )
    lines = [summary, "", ", ".join(measured) + "."]
    if others:
        lines += ["", "The others:", "", ", ".join(n.removeprefix(OPERATION) for n in others) + "."]
    return lines


def optimizer_table() -> list[str]:
    """Return a row for every optimizer."""
    lines = ["| Keras | torch class | options of the configuration |", "|---|---|---|"]
    lines += [
        f"| {rule.kind} | `torch_impl.{rule.target}` | {', '.join(rule.options)} |"
        for rule in sorted(RULES, key=lambda rule: rule.kind)
    ]
    refused = (f"{name}: {reason}." for name, reason in sorted(WITHOUT_COUNTERPART.items()))
    return [*lines, "", f"Not converted: {' '.join(refused)}"]


def loss_table() -> list[str]:
    """Return a row for every loss and metric."""
    from converters.loss_names import LOSSES, METRICS, METRICS_WITH_MEMORY

    lines = ["| function | | options |", "|---|---|---|"]
    memory = "metric with a memory"
    for kind, table in (("loss", LOSSES), ("metric", METRICS), (memory, METRICS_WITH_MEMORY)):
        lines += [f"| {name} | {kind} | {', '.join(table[name])} |" for name in sorted(table)]
    return lines


def format_table() -> list[str]:
    """Return a row for every format that is read or written."""
    import converters.writers.formats  # noqa: F401  # fills the registry
    from converters.legacy_files.record import SUFFIXES
    from converters.readers import readers
    from converters.writers.registry import WRITERS

    lines = ["| read by | what |", "|---|---|"]
    for reader in readers():
        module = sys.modules[type(reader).__module__]
        described = (module.__doc__ or "").strip().splitlines()[0].rstrip(".:")
        lines.append(f"| {module.__name__.rpartition('.')[2]} | {described} |")
    lines += ["", "| `convert --format` | ending | |", "|---|---|---|"]
    for name, each in sorted(WRITERS.items()):
        lines.append(
            f"| {name} | `{each.suffix}` | {'goes on training' if each.trains else 'inference'} |"
        )
    lines += ["", "| `export` | of |", "|---|---|"]
    lines += [f"| `{suffix}` | {kind} |" for kind, suffix in sorted(SUFFIXES.items())]
    return lines


def completeness_table(path: Path) -> list[str]:
    """Return passes by group of the stored run of Keras's own layer tests, and what fails."""
    if not path.exists():
        return NOT_STORED
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    lines = ["| group | pass | of | % | say nothing |", "|---|---|---|---|---|"]
    for group, counts in content["totals"].items():
        passed, failed = counts.get("pass", 0), counts.get("fail", 0)
        share = 100 * passed / (passed + failed) if passed + failed else 100.0
        lines.append(
            f"| {group} | {passed} | {passed + failed} | {share:.1f} | {counts.get('excluded', 0)} |"
        )
    failing: dict[str, list[Mapping[str, Any]]] = {}
    for case in content["cases"]:
        if case["outcome"] == "fail":
            failing.setdefault(case["class_name"], []).append(case)
    if failing:
        lines += ["", "| class | cases that fail | the first, and its reason |", "|---|---|---|"]
    for name, cases in sorted(failing.items()):
        first = f"{cases[0]['case']}: {' '.join(cases[0]['reason'].split())}".replace("|", "\\|")
        lines.append(f"| {name} | {len(cases)} | {first[:MAX_REASON]} |")
    return lines


def application_table(path: Path) -> list[str]:
    """Return a row for every network of keras.applications."""
    return format_networks(read_networks(path)).splitlines() if path.exists() else NOT_STORED


def tables(results: Path = RESULTS) -> dict[str, list[str]]:
    """Return the lines of every table by its name on the page."""
    import converters.layers  # noqa: F401  # fills the registry

    layers = read_layer_results(results / "layers.json")
    made: dict[str, Callable[[], list[str]]] = {
        "layers": lambda: layer_table(layers),
        "operations": lambda: operation_list(layers),
        "optimizers": optimizer_table,
        "losses": loss_table,
        "formats": format_table,
        "completeness": lambda: completeness_table(results / "completeness.json"),
        "applications": lambda: application_table(results / "applications.json"),
    }
    return {name: make() for name, make in made.items()}


def main(arguments: list[str] | None = None) -> int:
    """Print the tables, or put them into the page; return 0."""
    parser = argparse.ArgumentParser(prog="python -m parity_tests.coverage")
    parser.add_argument("names", nargs="*", help="tables; none: all")
    parser.add_argument("--update", type=Path, help="put all tables into this page")
    chosen = parser.parse_args(arguments)
    made = tables()
    unknown = sorted(set(chosen.names) - set(made))
    if unknown:
        parser.error(f"no table {', '.join(unknown)}; there are {', '.join(made)}")
    if chosen.update:
        page = chosen.update.read_text(encoding="utf-8")
        chosen.update.write_text(fill_page(page, made), encoding="utf-8")
        return 0
    for name in chosen.names or made:
        sys.stdout.write("\n".join([*made[name], "", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
