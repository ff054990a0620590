"""Our own classes and functions as they stand in their files, with what they need of the same file."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from converters.architecture import Architecture, Step
from converters.errors import ConversionError
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


def piece_sources(architecture: Architecture) -> list[str]:
    """Return the source of every class and function the module needs besides torch's, each once.

    Raises:
        ConversionError: One of them has no source.
    """
    sources: dict[str, None] = {}
    rule = architecture.action
    acting = () if rule is None else (*rule.deterministic, *rule.sampled)
    for target in used_targets((*architecture.steps, *acting)):
        if target.is_piece:
            sources.update(dict.fromkeys(_with_needs(target)))
    return list(sources)


@cache
def _with_needs(target: Target) -> tuple[str, ...]:
    """Return the source of one piece after that of what it uses from its own file."""
    module, _, name = target.path.partition(":")
    text = _module_file(module).read_text(encoding="utf-8")
    defined = {
        node.name: node
        for node in ast.parse(text).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    }
    if name not in defined:
        msg = f"{target.path} has no definition of that name"
        raise ConversionError(msg)
    ordered: list[str] = []
    _collect(name, defined, ordered, set())
    return tuple(_source(text, defined[each]) for each in ordered)


def _collect(
    name: str,
    defined: dict[str, ast.ClassDef | ast.FunctionDef],
    ordered: list[str],
    seen: set[str],
) -> None:
    """Append a definition to `ordered` after everything it mentions."""
    seen.add(name)
    for node in ast.walk(defined[name]):
        if isinstance(node, ast.Name) and node.id in defined and node.id not in seen:
            _collect(node.id, defined, ordered, seen)
    ordered.append(name)


def _source(text: str, node: ast.ClassDef | ast.FunctionDef) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def _module_file(module: str) -> Path:
    """Return the source file of a module: ours lie beside this package, a user's own was imported with --rules."""
    own = Path(__file__).parents[2].joinpath(*module.split(".")).with_suffix(".py")
    if own.is_file():
        return own
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        msg = f"the source of {module} is not installed, so it cannot be emitted"
        raise ConversionError(msg)
    return Path(spec.origin)
