"""What the page on training the Ur networks shows is what happens."""

from __future__ import annotations

from parity_tests.unit.docs.pages import DOCS, run_page


def test_code_on_the_page_prints_what_is_shown() -> None:
    run_page(DOCS / "ur-training.md")
