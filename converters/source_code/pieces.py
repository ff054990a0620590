"""Our own classes and functions, and a user's, as they stand in their files, with what they need of the same file."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from converters.architecture import Architecture, Step
from converters.errors import ConversionError
from converters.source_code.expressions import WRITTEN_IN_PLACE
from converters.targets import TARGETS, Target


def used_targets(steps: Iterable[Step]) -> list[Target]:
    """Return every operation of the steps and of their arguments, in order of use."""
    used: list[Target] = []
    for step in steps:
        for key in TARGETS[step.op].functions:
            if key in step.kwargs:
                value = step.kwargs[key]
                used.append(TARGETS[str(value[0] if isinstance(value, tuple) else value)])
        used.append(TARGETS[step.op])
    return list(dict.fromkeys(used))


@dataclass(frozen=True, slots=True)
class Piece:
    """A definition as it stands in its file.

    Attributes:
        is_own: it is a user's, whose code may be anything.
        imports: what a user's file imports for it, by the name it has there; ours need what every module needs.
    """

    source: str
    is_own: bool = False
    imports: tuple[tuple[str, str], ...] = ()


def find_pieces(architecture: Architecture) -> list[Piece]:
    """Return every class and function the module needs besides torch's, each once.

    Raises:
        ConversionError: One of them has no source.
    """
    pieces: dict[Piece, None] = {}
    rule = architecture.action
    acting = () if rule is None else (*rule.deterministic, *rule.sampled)
    in_place = [TARGETS[key] for key in WRITTEN_IN_PLACE]
    for target in used_targets((*architecture.steps, *acting)):
        if target.is_piece and target not in in_place:
            pieces.update(dict.fromkeys(_with_needs(target)))
    return list(pieces)


@cache
def _with_needs(target: Target) -> tuple[Piece, ...]:
    """Return one piece after what it uses from its own file."""
    module, _, name = target.path.partition(":")
    is_own = not _our_file(module).is_file()
    text = _module_file(module).read_text(encoding="utf-8")
    defined = {key: node for node in ast.parse(text).body for key in defined_names(node)}
    if name not in defined:
        msg = f"{target.path} has no definition of that name"
        raise ConversionError(msg)
    ordered: list[str] = []
    _collect(name, defined, ordered, set())
    imported = _imported(text) if is_own else {}
    return tuple(
        Piece(_source(text, defined[each]), is_own, _uses(defined[each], imported))
        for each in ordered
    )


def defined_names(node: ast.stmt) -> list[str]:
    """Return the names that a statement of a module defines."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _imported(text: str) -> dict[str, str]:
    """Return the imports of a user's file by the names they bind, a line each."""
    found: dict[str, str] = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                line = (
                    ast.Import([alias])
                    if isinstance(node, ast.Import)
                    else ast.ImportFrom(node.module, [alias], node.level)
                )
                found[alias.asname or alias.name.split(".")[0]] = ast.unparse(line)
    return found


def _uses(node: ast.stmt, imported: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the imports that a definition mentions."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return tuple((name, line) for name, line in imported.items() if name in names)


def _collect(
    name: str, defined: Mapping[str, ast.stmt], ordered: list[str], seen: set[str]
) -> None:
    """Append a definition to `ordered` after everything it mentions."""
    seen.add(name)
    for node in ast.walk(defined[name]):
        if isinstance(node, ast.Name) and node.id in defined and node.id not in seen:
            _collect(node.id, defined, ordered, seen)
    ordered.append(name)


def _source(text: str, node: ast.stmt) -> str:
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def _our_file(module: str) -> Path:
    return Path(__file__).parents[2].joinpath(*module.split(".")).with_suffix(".py")


def _module_file(module: str) -> Path:
    """Return the source file of a module: ours lie beside this package, a user's own was imported with --rules."""
    ours = _our_file(module)
    if ours.is_file():
        return ours
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        msg = f"the source of {module} is not installed, so it cannot be emitted"
        raise ConversionError(msg)
    return Path(spec.origin)
