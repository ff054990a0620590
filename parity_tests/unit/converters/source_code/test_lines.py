from __future__ import annotations

import subprocess
import sys

import pytest

from converters.source_code.lines import LINE, fitted

LONG = [
    "self.first = nn.Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)",
    "self.a = Block(" + ", ".join(f"argument_{n}=({n}, {n})" for n in range(12)) + ")",
    "self.b = BatchNorm(num_features=64, eps=0.001, momentum=0.99, axis=1, scale=False, center=True)",
    "return torch.cat([" + ", ".join(f"branch_number_{n}" for n in range(9)) + "], dim=-1)",
    "return " + ", ".join(f"the_result_with_number_{n}" for n in range(6)),
    "x = " + " + ".join(f"the_summand_with_number_{n}" for n in range(6)),
    f"{'long_' * 9}result = self.{'long_' * 9}layer({'long_' * 9}value)",
    f"{'long_' * 8}result = self.{'long_' * 8}layer(x)",
    f"self.{'long_' * 12}layer = nn.Linear(12, 2)",
    'return {"a, b": first_result_of_the_network, "c (d": second_result_of_the_network, "e": third}',
]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_long_line_is_broken_as_a_formatter_would(text: str) -> None:
    lines = fitted(text, 8)

    source = "\n".join(["class A:", "    def f(self):", *lines]) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "-"]
    formatted = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    assert max(map(len, lines)) <= LINE
    assert formatted.stdout == source


def test_long_signature_is_broken_as_a_formatter_would() -> None:
    arguments = ", ".join(f"observation_number_{n}: Tensor" for n in range(5))

    lines = fitted(f"def forward(self, {arguments}) -> tuple[Tensor, Tensor]:", 4)

    source = "\n".join(["class A:", *lines, "        return 1"]) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "-"]
    formatted = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    assert formatted.stdout == source
