"""Runs the code blocks of a documentation page, so that what a page shows is what happens.

Every block that begins with ```python is run, those of one language column in order in one namespace:

    ```python                        PyTorch, plain Python
    ```python tensorflow             needs TensorFlow
    ```python raises=RuntimeError    must raise this

and what follows it is compared:

    ```text output                   all that the block before prints
    ```text error                    lines that the message of the block before has
"""

from __future__ import annotations

import builtins
import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\S*) *(.*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        language: the first word behind the fence.
        words: the others.
        line: of the page, on which the text begins.
    """

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def is_legacy(self) -> bool:
        """Whether the block needs TensorFlow."""
        return "tensorflow" in self.words

    @property
    def raises(self) -> type[BaseException] | None:
        """The exception that the block must raise."""
        for word in self.words:
            if word.startswith("raises="):
                return getattr(builtins, word.removeprefix("raises="))
        return None


class PageError(AssertionError):
    """A page shows something that is not so; the message has its line."""


def read_blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    blocks: list[Block] = []
    opened: tuple[str, tuple[str, ...], int] | None = None
    lines: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened, lines = (fence[1], tuple(fence[2].split()), number + 1), []
        elif opened is not None and line == "```":
            blocks.append(Block(opened[0], opened[1], "\n".join(lines), opened[2]))
            opened = None
        else:
            lines.append(line)
    if opened is not None:
        message = f"{path.name}:{opened[2]}: a block without an end"
        raise PageError(message)
    return blocks


def run_page(path: Path, *, legacy: bool = False) -> dict[str, Any]:
    """Run the blocks of one column of a page in the working folder and return their names.

    Raises:
        PageError: A block fails, does not raise what it must, or prints something else than the page shows.
    """
    namespace: dict[str, Any] = {"__name__": path.stem}
    blocks = read_blocks(path)
    following: Sequence[Block | None] = [*blocks[1:], None]
    for block, after in zip(blocks, following, strict=True):
        if block.language != "python" or block.is_legacy != legacy:
            continue
        shown = after if after is not None and after.language == "text" else None
        said, error = _run(block, path, namespace)
        _compare(f"{path.name}:{block.line}", shown, said, error)
    return namespace


def _run(block: Block, path: Path, namespace: dict[str, Any]) -> tuple[str, str]:
    """Return what the block printed and the message of what it had to raise."""
    # As many empty lines before it, so that a traceback has the line of the page.
    code = compile("\n" * (block.line - 1) + block.text, str(path), "exec")
    said, place = io.StringIO(), f"{path.name}:{block.line}"
    try:
        with contextlib.redirect_stdout(said):
            exec(code, namespace)  # noqa: S102  our own pages
    except Exception as error:
        if block.raises is None or not isinstance(error, block.raises):
            message = f"{place}: {type(error).__name__}: {error}"
            raise PageError(message) from error
        return said.getvalue(), str(error)
    if block.raises is not None:
        message = f"{place}: did not raise {block.raises.__name__}"
        raise PageError(message)
    return said.getvalue(), ""


def _compare(place: str, shown: Block | None, said: str, error: str) -> None:
    kind = "".join(shown.words) if shown else ""
    if shown is None or kind not in ("output", "error"):
        if said:
            message = f"{place}: prints what the page does not show:\n{said}"
            raise PageError(message)
        return
    if kind == "error":
        missing = [line for line in shown.text.splitlines() if line not in error]
        if missing:
            message = f"{place}: the error has no {missing}; it is:\n{error}"
            raise PageError(message)
    elif said.strip() != shown.text.strip():
        message = f"{place}: the page shows\n{shown.text}\nprinted was\n{said}"
        raise PageError(message)
