"""What the documentation names exists: rows, tests, files, pages, headings, commands and their options."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import torchward
from experience.arguments import build_parser, names_suite
from parity_tests.unit.docs.pages import DOCS, ROOT, read_blocks
from parity_tests.ur_command import build_parser as build_ur_parser

FEATURES = DOCS / "features.md"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("lessons/*.md"), ROOT / "README.md"])
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
FOLDERS = (
    "parity_tests",
    "torch_impl",
    "legacy_tf",
    "experience",
    "converters",
    "benchmarks",
    "docs",
)


def prose(page: Path) -> str:
    """Return the page without its blocks."""
    return re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def code_in(page: Path) -> list[str]:
    """Return everything in backticks, and the lines of the blocks of commands."""
    lines = [line for b in read_blocks(page) if b.language == "sh" for line in b.text.splitlines()]
    return [*CODE.findall(prose(page)), *lines]


def missing_tests(texts: list[str]) -> list[str]:
    """Return the test ids among the texts that no file defines."""
    missing = []
    for text in texts:
        for path, name in re.findall(r"([\w/]+\.py)::(\w+)", text):
            file = ROOT / path
            if not file.is_file() or name not in functions_of(file):
                missing.append(f"{path}::{name}")
    return missing


@cache
def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def missing_files(texts: list[str]) -> list[str]:
    """Return the paths of this project among the texts that are not there."""
    paths = [
        word
        for text in texts
        for word in text.split()
        if "::" not in word and "*" not in word and word.split("/")[0] in FOLDERS and "/" in word
    ]
    # x.py stands for any file of that folder.
    return [path for path in paths if not path.endswith("/x.py") and not (ROOT / path).exists()]


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)|`", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@cache
def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)}


def missing_links(page: Path) -> list[str]:
    """Return the links of a page within the project that lead nowhere."""
    missing = []
    for link in LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    return missing


@cache
def known_options(command: str) -> set[str]:
    import typer

    found = getattr(importlib.import_module(torchward.COMMANDS[command]), command)
    group = isinstance(found, typer.Typer)  # torchward dataset record
    callbacks = [each.callback for each in found.registered_commands] if group else [found]
    parameters = []
    for callback in callbacks:
        app = typer.Typer()
        app.command(command)(callback)
        parameters += typer.main.get_command(app).params
    return {option for p in parameters for option in [*p.opts, *p.secondary_opts]} | {
        "--help",
        "--debug",
    }


@cache
def suite_options() -> set[str]:
    return {option for action in build_parser()._actions for option in action.option_strings}


def ur_options() -> set[str]:
    """Return the options of `torchward train ur`."""
    return {option for action in build_ur_parser()._actions for option in action.option_strings}


def problems_of_command(text: str) -> list[str]:
    """Return what is wrong with a line that begins with torchward."""
    words = shlex.split(text)
    command = words[1] if len(words) > 1 else "--help"
    if command.startswith("-"):
        return [] if command in ("--help", "--version") else [text]
    if command not in torchward.COMMANDS:
        return [f"{text}: no command {command}"]
    options = [word.partition("=")[0] for word in words[2:] if re.fullmatch(r"--?[a-z].*", word)]
    suite = command == "train" and names_suite(words[2:])
    known_here = suite_options() if suite else known_options(command)
    if command == "train" and words[2:3] == ["ur"]:
        known_here = ur_options()
    problems = [f"{text}: no option {option}" for option in options if option not in known_here]
    for option, value in pairwise(words):
        if option == "--probe" and value not in names_of("parity_tests.probes", "PROBES"):
            problems.append(f"{text}: no probe {value}")
    if command == "bench":
        given = [w for w in words[2:] if re.fullmatch(r"[a-z]+", w) and w != "runs"]
        known = names_of("benchmarks.workloads", "WORKLOADS")
        problems += [f"{text}: no workload {w}" for w in given if w not in known]
    return problems


@cache
def names_of(module: str, table: str) -> set[str]:
    entries = getattr(importlib.import_module(module), table)
    return {entry if isinstance(entry, str) else entry.name for entry in entries}


def rows(text: str) -> list[int]:
    """Return the row numbers of the tables of a page, ranges taken apart."""
    found: list[int] = []
    for first, last in re.findall(r"^\| (\d+)(?:-(\d+))? \|", text, re.MULTILINE):
        found += range(int(first), int(last or first) + 1)
    return found


def test_every_row_is_there_once() -> None:
    assert sorted(rows(FEATURES.read_text(encoding="utf-8"))) == list(range(1, 203))


def test_every_row_names_what_shows_it() -> None:
    for line in FEATURES.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| \d+ \|", line):
            shown = line.rstrip(" |").rsplit(" | ", 1)[1]
            assert CODE.search(shown) or LINK.search(shown), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_and_file_that_the_page_names_exists(page: Path) -> None:
    texts = code_in(page)

    assert missing_tests(texts) == []
    assert missing_files(texts) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    assert missing_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_page_exists_with_its_options(page: Path) -> None:
    commands = [text for text in code_in(page) if text.startswith("torchward ")]

    assert [problem for text in commands for problem in problems_of_command(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "torchward covert a.h5",
        "torchward convert a.h5 --fast",
        "torchward parity dqn --probe foreward",
        "torchward bench sizes",
    ],
)
def test_a_wrong_command_is_noticed(text: str) -> None:
    assert problems_of_command(text)


def test_a_wrong_name_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](#one) [b](#two) [c](none.md)\n", encoding="utf-8")

    assert missing_links(page) == ["#two", "none.md"]
    assert missing_tests(["parity_tests/test_pairs.py::test_nothing"])
    assert missing_files(["parity_tests/nothing.py"])
    assert rows("| 1 | x |\n| 3-5 | y |") == [1, 3, 4, 5]


def test_the_requirements_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line for line in lines if line and not line.startswith("#")]

    assert required
    assert set(required) <= set(project["dependencies"])
