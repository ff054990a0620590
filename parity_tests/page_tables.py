"""Tables inside pages that are made by code: between `<!-- table NAME -->` and `<!-- end of NAME -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

NOT_STORED = ["Not stored yet."]
"""What stands for a table whose results have not been stored."""


def fill_page(page: str, tables: Mapping[str, Sequence[str]]) -> str:
    """Return the page with its tables made anew.

    Raises:
        ValueError: The page names a table that is not among them, or lacks one of them.
    """
    named = re.findall(r"^<!-- table (\w+) -->$", page, re.MULTILINE)
    if sorted(named) != sorted(tables):
        msg = f"the page has tables {sorted(named)}, given are {sorted(tables)}"
        raise ValueError(msg)
    for name, lines in tables.items():
        begin, end = f"<!-- table {name} -->\n", f"\n<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            msg = f"the page has no '{end.strip()}' behind '{begin.strip()}'"
            raise ValueError(msg)
        page = "".join([before, begin, "\n", "\n".join(lines), "\n", end, after])
    return page
