from __future__ import annotations

import pytest

from converters.commands.printing import format_shape, format_size, print_lines


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (52_400, "52 KB"),
        (1_234_567, "1.2 MB"),
        (5_000_000_000_000_000, "5000.0 TB"),
    ],
)
def test_size_is_rounded_to_powers_of_1000(count: int, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (None, "(unknown)"),
        ((None, 7), "(batch, 7)"),
        ((5, None, 3), "(5, None, 3)"),
        ((4,), "(4,)"),
        ((), "()"),
    ],
)
def test_free_first_axis_is_the_batch(shape: tuple[int | None, ...] | None, text: str) -> None:
    assert format_shape(shape) == text


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines(["dense\x1b[2J\r", "größe"])

    assert capsys.readouterr().out == "dense\\x1b[2J\\r\ngröße\n"
