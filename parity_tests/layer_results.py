"""Keeps how far apart both sides of every rule were: a pytest plugin, and the stored results.

Tests of rules record "rules", "dtype", "difference" and "allowed" as properties; this plugin gathers them:

    python -m pytest -p parity_tests.layer_results --layer-results docs/results/layers.json \
        parity_tests/test_layers.py parity_tests/test_operators.py

Rules that a run leaves out keep what is stored of them. `parity_tests.coverage` makes the tables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("numpy", "tensorflow", "keras", "torch")


@dataclass(frozen=True, slots=True)
class Difference:
    """What the comparisons of a rule in one precision showed.

    Attributes:
        cases: that were compared.
        failed: of them.
        worst: largest difference of outputs, gradients and state, relative to the largest value, at least 1.
        allowed: the largest difference that any of the cases allowed.
    """

    cases: int = 0
    failed: int = 0
    worst: float = 0.0
    allowed: float = 0.0


@dataclass(frozen=True, slots=True)
class LayerResults:
    """The stored results.

    Attributes:
        versions: of the packages that took part.
        classes: names that configurations store for the classes of keras.layers.
        rules: rule to precision to what was seen.
    """

    versions: Mapping[str, str]
    classes: tuple[str, ...]
    rules: Mapping[str, Mapping[str, Difference]]


class Recorder:
    """Gathers the recorded properties of a run and writes them at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rules: dict[str, dict[str, Difference]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take down what a test has recorded."""
        found = dict(report.user_properties)
        if report.when == "call" and "rules" in found:
            self.add(found, failed=report.failed)

    def add(self, properties: Mapping[str, Any], *, failed: bool) -> None:
        """Take down one comparison; one that failed need not have a difference."""
        for name in properties["rules"]:
            of_rule = self._rules.setdefault(name, {})
            known = of_rule.get(properties["dtype"], Difference())
            of_rule[properties["dtype"]] = replace(
                known,
                cases=known.cases + 1,
                failed=known.failed + failed,
                worst=max(known.worst, properties.get("difference", 0.0)),
                allowed=max(known.allowed, properties.get("allowed", 0.0)),
            )

    def pytest_sessionfinish(self) -> None:
        """Write what was taken down, and what was stored of other rules."""
        stored = read_layer_results(self._path).rules if self._path.exists() else {}
        versions = {name: version(name) for name in PACKAGES}
        merged = {**stored, **self._rules}
        results = LayerResults(
            versions, keras_layer_names(), {name: merged[name] for name in sorted(merged)}
        )
        self._path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")


def keras_layer_names() -> tuple[str, ...]:
    """Return the names that configurations store for the classes of keras.layers."""
    import keras

    found = [getattr(keras.layers, name) for name in dir(keras.layers)]
    own = {"GroupedQueryAttention": "GroupQueryAttention"}  # stored by the exported name
    names = {own.get(each.__name__, each.__name__) for each in found if isinstance(each, type)}
    return tuple(sorted(names))


def read_layer_results(path: Path) -> LayerResults:
    """Return what a run stored."""
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rules = {
        name: {dtype: Difference(**values) for dtype, values in of_rule.items()}
        for name, of_rule in content["rules"].items()
    }
    return LayerResults(content["versions"], tuple(content["classes"]), rules)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file of the results."""
    parser.addoption(
        "--layer-results", type=Path, help="write the differences of the rules to this file"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Gather where a file is named."""
    path = config.getoption("--layer-results")
    if path is not None:
        config.pluginmanager.register(Recorder(path), "layer recorder")
