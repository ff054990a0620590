"""The page of the Royal Game of Ur shows what happens."""

from __future__ import annotations

import pytest

from parity_tests.unit.docs.pages import DOCS, run_page


@pytest.mark.slow
def test_the_page_does_what_it_shows() -> None:
    pytest.importorskip("gymnasium")

    run_page(DOCS / "ur.md")
