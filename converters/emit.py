"""An `Architecture` printed as the module a person would write: torch only, attributes named after the layers.

Strings from files reach the source only as identifiers (`converters.names`) or through `literal`. The result is parsed
again and compared with a short list of allowed syntax before it is returned. How classes are found, statements put
together and lines broken is in `converters.source_code`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from converters.architecture import Architecture, InputValue
from converters.errors import ConversionError, UnsupportedError
from converters.fixed_modes import fixed_modes
from converters.names import SOURCE_NAMES
from converters.registry import Plain
from converters.source_code.agents import (
    act_lines,
    argument,
    default_lines,
    forward_lines,
    output_variables,
)
from converters.source_code.blocks import Body, Entry, arrange
from converters.source_code.expressions import constructor, literal
from converters.source_code.lines import LINE, fitted
from converters.source_code.pieces import Piece, defined_names, find_pieces
from converters.source_code.statements import VARIABLES, commented, write_statements
from converters.targets import piece_names

PARAMETER_DTYPES = ("float16", "bfloat16", "float32", "float64")
"""Types a network may be built in; torch makes parameters of float32 unless it is told."""
_IMPORTS = {
    "math": "import math",
    "Callable": "from collections.abc import Callable",
    "partial": "from functools import partial",
    "torch": "import torch",
    "F": "import torch.nn.functional as F",
}


def emit_source(architecture: Architecture, *, origin: str, weights: str) -> str:
    """Return the source of a module with this architecture.

    Args:
        architecture: what to print.
        origin: one line for the docstring: the file it was made from and its checksum.
        weights: file name of the .pth of the same run, for the usage lines.

    Raises:
        UnsupportedError: An expression of it would be deeper than Python reads: a sum of thousands of values.
    """
    try:
        return _source(architecture, origin, weights)
    except RecursionError as error:
        msg = "as source the module has an expression that is too deep for Python"
        raise UnsupportedError(msg, hint="convert without --source-code") from error


def _source(architecture: Architecture, origin: str, weights: str) -> str:
    pieces = find_pieces(architecture)
    texts = [piece.source for piece in pieces]
    defined = {name for node in ast.parse("\n".join(texts)).body for name in defined_names(node)}
    imported = {name for piece in pieces for name, _ in piece.imports}
    taken = {*defined, *imported, *piece_names(), *SOURCE_NAMES, *_IMPORTS}
    bodies = arrange(architecture, taken)
    taken |= {body.name for body in bodies}
    classes = [_class_source(body, architecture, taken) for body in bodies]
    code = "\n\n\n".join([*texts, *classes]) + "\n"
    header = _header(architecture, code, origin, weights)
    # What a user wrote and named may be any code; nothing of it came from the file.
    ours = [piece.source for piece in pieces if not piece.is_own]
    _check("\n\n\n".join([header, *ours, *classes]))
    return f"{_with_imports(header, pieces)}\n\n\n{code}"


def _with_imports(header: str, pieces: Sequence[Piece]) -> str:
    """Return the head of the source with what a user's own code imports besides."""
    there = header.splitlines()
    wanted = {line for piece in pieces for _, line in piece.imports}
    known = {*there, "from torch import Tensor", "from torch import nn", "import torch.nn as nn"}
    own = sorted(wanted - known)
    if not own:
        return header
    place = there.index("from __future__ import annotations") + 2
    return "\n".join([*there[:place], *own, "", *there[place:]])


def _header(architecture: Architecture, code: str, origin: str, weights: str) -> str:
    doc = [
        f'"""Converted from {_inert(origin)}',
        "",
        "With the weights of the same run:",
        "",
        f"    model = {architecture.name}()",
        f'    state = torch.load({_inert(literal(weights))}, weights_only=True)["model_state_dict"]',
        "    model.load_state_dict(state)",
        "    model.eval()",
        '"""',
        "",
        "from __future__ import annotations",
        "",
    ]
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    standard = [line for name, line in _IMPORTS.items() if name in used and "torch" not in line]
    torch = [line for name, line in _IMPORTS.items() if name in used and "torch" in line]
    return "\n".join(
        [*doc, *standard, *([""] if standard else []), *torch, "from torch import Tensor, nn"]
    )


def _class_source(body: Body, architecture: Architecture, taken: set[str]) -> str:
    is_network = body.name == architecture.name
    lines = [f"class {body.name}(nn.Module):"]
    lines += _network_summary(architecture) if is_network else [f'    """{_summary(body)}"""']
    lines.append("")
    arguments = [f"{name}: {kind}" for name, kind in body.parameters.items()]
    keywords = ", ".join(["self", *(["*"] if arguments else []), *arguments])
    lines += fitted(f"def __init__({keywords}) -> None:", 4)
    lines.append("        super().__init__()")
    for entry in body.entries:
        lines += _entry_lines(entry, body)
    if is_network and body.frozen:
        lines.append("        self.requires_grad_(False)")
    uniform = not any(step.dtype for step in architecture.steps)
    if is_network and architecture.dtype != "float32" and uniform:
        lines.append(f"        self.to(torch.{_checked_dtype(architecture.dtype)})")
    if is_network:
        lines += _mode_lines(architecture)
    if body.items or is_network:
        lines += ["", *_forward(body, architecture, taken, is_network=is_network)]
    if is_network and architecture.action is not None:
        lines += ["", *act_lines(architecture, architecture.action, taken)]
    return "\n".join(lines)


def _mode_lines(architecture: Architecture) -> list[str]:
    """Return the method that keeps layers in the mode they are called with, if there are such; it starts with it."""
    switches = fixed_modes(architecture)
    if not switches:
        return []
    return [
        "        self.train()",
        "",
        f"    def train(self, mode: bool = True) -> {architecture.name}:",
        '        """Set the mode, except of layers that are called with a fixed one."""',
        "        super().train(mode)",
        *(f"        self.{attribute}.{mode}()" for attribute, mode in switches),
        "        return self",
    ]


def _entry_lines(entry: Entry, body: Body) -> list[str]:
    named = body.named.get(entry.name, {})
    if entry.step is not None:
        made = constructor(entry.step, named)
        made += f".to(torch.{_checked_dtype(entry.step.dtype)})" if entry.step.dtype else ""
    else:
        given = [f"{key}={named.get(key, literal(value))}" for key, value in entry.kwargs.items()]
        made = f"{entry.block}({', '.join(given)})"
    lines = fitted(f"self.{entry.name} = {made}", 8)
    if entry.frozen:
        lines += fitted(f"self.{entry.name}.requires_grad_(False)", 8)
    return lines


def _checked_dtype(name: str) -> str:
    """Return the name of the parameters' dtype, which becomes part of an expression."""
    if name not in PARAMETER_DTYPES:
        msg = f"parameters of type {name!a} cannot be written as source"
        raise ConversionError(msg)
    return name


def _summary(body: Body) -> str:
    """Return which submodules a class is written for."""
    shown, more = [body.places[0]], len(body.places) - 1
    for place in body.places[1:]:
        if sum(map(len, shown)) + 4 * len(shown) + len(place) > LINE - 40:
            break
        shown.append(place)
        more -= 1
    if len(shown[0]) > LINE - 40:
        return "A submodule."
    names = ", ".join(f"`{name}`" for name in shown)
    kind = "submodules" if len(body.places) > 1 else "submodule"
    return f"The {kind} {names}{f' and {more} more' if more else ''}."


def _network_summary(architecture: Architecture) -> list[str]:
    """Return the lines of a docstring that says what a network takes."""
    inputs = [
        f"{value.name} {_shape(value)}, {_inert(value.dtype)}" for value in architecture.inputs
    ]
    text = f'    """Takes {"; ".join(inputs)}."""'
    if len(text) <= LINE:
        return [text]
    return [
        '    """Takes',
        "",
        *(f"    {each};" for each in inputs[:-1]),
        f"    {inputs[-1]}.",
        '    """',
    ]


def _shape(value: InputValue) -> str:
    if value.shape is None:
        return "(batch, ...)"
    sizes = ["batch", *("free" if size is None else str(size) for size in value.shape[1:])]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _forward(
    body: Body, architecture: Architecture, taken: set[str], *, is_network: bool
) -> list[str]:
    structure = "list" if len(body.outputs) > 1 else "single"
    structure = architecture.structure if is_network else structure
    if len(body.inputs) == 1:
        inputs = {body.inputs[0]: "x"}
    elif is_network:
        inputs = {value: value for value in body.inputs}
    else:
        numbered = [*VARIABLES, *(f"x_{number}" for number in range(4, len(body.inputs) + 1))]
        inputs = dict(zip(body.inputs, numbered, strict=False))
    if is_network and architecture.action is not None:
        return _agent_forward(body, architecture, inputs, taken)
    arguments = ", ".join(["self", *(f"{name}: Tensor" for name in inputs.values())])
    lines, results, comment = write_statements(
        body.items,
        inputs,
        body.outputs,
        taken=taken,
        named_outputs=structure != "single" and len(body.places) < 2,
        names=output_variables(architecture) if is_network else None,
    )
    if structure == "dict":
        pairs = zip(architecture.output_names, results, strict=True)
        result = "{" + ", ".join(f"{literal(key)}: {value}" for key, value in pairs) + "}"
    elif structure == "nested":
        result = _arranged(architecture.nesting, results)
    else:
        one_of_list = structure == "list" and len(results) == 1
        result = f"({results[0]},)" if one_of_list else ", ".join(results)
    nested = "tuple" if result.startswith("(") else "dict"
    words = {step.output for step in architecture.steps if step.op == "compat.read_words"}
    kinds = ["list" if value in words else "Tensor" for value in body.outputs]
    returned = {
        "single": kinds[0] if kinds else "Tensor",
        "dict": f"dict[str, {' | '.join(sorted(set(kinds)))}]",
        "nested": nested,
    }.get(structure, f"tuple[{', '.join(kinds)}]")
    head = fitted(f"def forward({arguments}) -> {returned}:", 4)
    return [*head, *lines, *commented(f"return {result}", comment)]


def _agent_forward(
    body: Body, architecture: Architecture, inputs: dict[str, str], taken: set[str]
) -> list[str]:
    arguments = [argument(value, inputs[value.name]) for value in architecture.inputs]
    head = fitted(f"def forward({', '.join(['self', *arguments])}) -> dict[str, Tensor]:", 4)
    defaults = default_lines(architecture, inputs)
    return [*head, *defaults, *forward_lines(body.items, architecture, inputs, taken)]


def _arranged(nesting: Plain, results: list[str]) -> str:
    """Return the source of nested tuples and dictionaries of results."""
    if not isinstance(nesting, tuple):
        return results[int(nesting or 0)]
    kind, *entries = nesting
    if kind == "dict":
        pairs = [(entry[0], entry[1]) for entry in entries if isinstance(entry, tuple)]
        shown = [f"{literal(key)}: {_arranged(value, results)}" for key, value in pairs]
        return "{" + ", ".join(shown) + "}"
    shown = [_arranged(entry, results) for entry in entries]
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


def _inert(text: str) -> str:
    """Return text that is harmless inside a docstring: ASCII, no quotes that end it, no escapes."""
    return (
        text.encode("ascii", "backslashreplace")
        .decode()
        .replace("\\", "/")
        .replace('"""', "'''")
        .replace("\n", " ")
    )


_ALLOWED: tuple[type[ast.AST], ...] = (
    ast.Module, ast.ImportFrom, ast.Import, ast.alias, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg,
    ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr, ast.Call, ast.keyword, ast.Attribute, ast.Name,
    ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Subscript, ast.Slice, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.BoolOp, ast.IfExp, ast.If, ast.For, ast.Starred, ast.expr_context, ast.operator, ast.unaryop, ast.cmpop,
    ast.boolop, ast.Raise, ast.JoinedStr, ast.FormattedValue, ast.ListComp, ast.comprehension,
)  # fmt: skip


_IMPORTED = ("torch", "__future__", "math", "collections", "functools")


def _check(source: str) -> None:
    """Raise ConversionError if the source holds syntax that a plain module does not need, or imports besides torch."""
    for node in ast.walk(ast.parse(source)):
        imported: Iterable[str] = ()
        if isinstance(node, ast.Import):
            imported = (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported = (node.module or "",)
        foreign = [name for name in imported if name.split(".")[0] not in _IMPORTED]
        if foreign or not isinstance(node, _ALLOWED):
            msg = f"the emitted source would hold {foreign or type(node).__name__}; nothing was written"
            raise ConversionError(msg)
