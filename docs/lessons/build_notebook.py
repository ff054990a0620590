"""Makes the notebook from its source: python docs/lessons/build_notebook.py

The source is an ordinary Python file in which `# %%` begins a cell of code and `# %% [markdown]` one of text. It is what is
edited, formatted and reviewed; a test checks that the notebook is made of it and that it runs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "pytorch_for_rl.py"
MARKER = re.compile(r"^# %%( \[markdown\])?$")


def read_cells(source: str) -> list[tuple[str, str]]:
    """Return (kind, text) of the cells, kind "code" or "markdown".

    Raises:
        ValueError: A line of a cell of text is no comment; the message has its number.
    """
    cells: list[tuple[str, list[str]]] = []
    for number, line in enumerate(source.splitlines(), start=1):
        marker = MARKER.match(line)
        if marker:
            cells.append(("markdown" if marker[1] else "code", []))
        elif cells:
            kind, lines = cells[-1]
            if kind == "markdown" and line and not line.startswith("#"):
                message = f"line {number}: text has to stand behind '# '"
                raise ValueError(message)
            lines.append(line.removeprefix("#").removeprefix(" ") if kind == "markdown" else line)
    return [(kind, "\n".join(lines).strip("\n")) for kind, lines in cells]


def build_notebook(source: str) -> str:
    """Return the notebook (nbformat 4.5) as JSON text; equal sources give equal bytes."""
    cells = []
    for number, (kind, text) in enumerate(read_cells(source)):
        cell: dict[str, object] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append({**cell, "source": text.splitlines(keepends=True)})
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    body = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the notebook beside its source."""
    target = SOURCE.with_suffix(".ipynb")
    target.write_text(build_notebook(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {target.name}")


if __name__ == "__main__":
    main()
