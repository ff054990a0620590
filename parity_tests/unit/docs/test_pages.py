"""The runner of the pages notices what is wrong on a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity_tests.unit.docs.pages import PageError, read_blocks, run_page


def write_page(folder: Path, *lines: str) -> Path:
    path = folder / "page.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_blocks_share_their_names_and_their_column(tmp_path: Path) -> None:
    page = write_page(
        tmp_path,
        *("```python", "x = 2", "```", "```python tensorflow", "x = 7", "```"),
        *("```python", "print(x + 1)", "```", "```text output", "3", "```"),
    )

    assert run_page(page)["x"] == 2
    assert run_page(page, legacy=True)["x"] == 7


def test_blocks_know_language_marks_and_line(tmp_path: Path) -> None:
    page = write_page(tmp_path, "text", "```python raises=ValueError", "int('x')", "```")

    (block,) = read_blocks(page)

    assert (block.language, block.raises, block.line) == ("python", ValueError, 3)


def test_a_shown_error_is_found_in_the_message(tmp_path: Path) -> None:
    page = write_page(
        tmp_path,
        *("```python raises=ValueError", "int('x')", "```"),
        *("```text error", "invalid literal", "```"),
    )

    run_page(page)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["```python", "", "1 / 0", "```"], "page.md:2: ZeroDivisionError"),
        (["```python raises=ValueError", "x = 1", "```"], "did not raise ValueError"),
        (["```python raises=ValueError", "1 / 0", "```"], "ZeroDivisionError"),
        (["```python", "print(1)", "```", "```text output", "2", "```"], "printed was"),
        (["```python", "print(1)", "```"], "does not show"),
        (
            ["```python raises=ValueError", "int('x')", "```", "```text error", "other", "```"],
            "the error has no",
        ),
        (["```python", "x = 1"], "a block without an end"),
    ],
    ids=["error", "no error", "other error", "other output", "hidden output", "other text", "open"],
)
def test_a_wrong_page_is_named_with_its_line(
    lines: list[str], complaint: str, tmp_path: Path
) -> None:
    page = write_page(tmp_path, *lines)

    with pytest.raises(PageError, match=complaint):
        run_page(page)
