"""What a conversion prints of the optimizer that torch itself has."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import torchward
from converters.commands.conversion_text import format_conversion, format_verification
from converters.optimizers.rules import RULES
from converters.report import ConversionReport
from converters.verification import Check, VerificationReport
from parity_tests import FIXTURES


@pytest.fixture
def report(tmp_path: Path) -> ConversionReport:
    return torchward.convert(FIXTURES / "k315_dqn_seed" / "model.keras", tmp_path / "a.pth")


def stock_lines(
    report: ConversionReport, kind: str, options: dict[str, object], *, show_all: bool = True
) -> list[str]:
    optimizer = {"class": f"keras_compat.{kind}", "iterations": 1, "options": options}
    lines = format_conversion(
        replace(report, optimizer=optimizer),
        0.0,
        written=Path("model.pth"),
        source_code=None,
        show_all=show_all,
    )
    return [line.strip() for line in lines if "stock torch.optim" in line]


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("Adam", {"learning_rate": 0.1}, "torch.optim.Adam, epsilon is added after the bias"),
        ("Adam", {"weight_decay": 0.1, "epsilon": 0.0}, "torch.optim.AdamW, "),
        ("SGD", {"learning_rate": 0.1}, "torch.optim.SGD, nothing changes"),
        ("SGD", {"learning_rate": {"class": "CosineDecay"}}, "schedule: the learning rate stays"),
        ("SGD", {"global_clipnorm": 1.0}, "global_clipnorm: clip the gradients yourself"),
        ("SGD", {"weight_decay": 0.1}, "none (torch.optim.SGD adds weight decay to the gradient"),
        ("Lion", {}, "none (torch.optim has nothing that updates as Keras's Lion"),
    ],
)
def test_all_says_what_changes_with_the_optimizer_of_torch(
    kind: str, options: dict[str, object], text: str, report: ConversionReport
) -> None:
    [line] = stock_lines(report, kind, options)
    assert text in line


@pytest.mark.parametrize("kind", sorted({rule.target.rsplit(".", 1)[-1] for rule in RULES}))
def test_every_optimizer_has_its_line_and_only_with_all(
    kind: str, report: ConversionReport
) -> None:
    assert len(stock_lines(report, kind, {})) == 1
    assert stock_lines(report, kind, {}, show_all=False) == []


def test_conversion_without_torch_ends_with_what_it_wrote(
    report: ConversionReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    assert stock_lines(report, "Adam", {"learning_rate": 0.1}) == []


def test_verdicts_of_a_verification_stand_in_one_column() -> None:
    checks = (
        Check("forward", "1,000 inputs", 1e-8, 1e-5, absolute=2e-8),
        Check("argmax", "1,000 of 1,000 actions agree", 0.0, 0.0),
    )

    *lines, _ = format_verification(VerificationReport("a.h5", "net.py:Net", checks))

    assert {len(line) for line in lines} == {lines[0].index("ok") + 2}
