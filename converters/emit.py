"""An `Architecture` printed as the module a person would write: torch only, attributes named after the layers.

Strings from files reach the source only as identifiers (`converters.names`) or through `repr`. The result is parsed
again and compared with a short list of allowed syntax before it is returned.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from converters.architecture import Architecture, InputValue, Step
from converters.errors import ConversionError
from converters.registry import Plain
from converters.targets import TARGETS, Target

_LINE = 100
PARAMETER_DTYPES = ("float16", "bfloat16", "float32", "float64")
"""Types a network may be built in; torch makes parameters of float32 unless it is told."""


def emit_source(architecture: Architecture, *, origin: str, weights: str) -> str:
    """Return the source of a module with this architecture.

    Args:
        architecture: what to print.
        origin: one line for the docstring: the file it was made from and its checksum.
        weights: file name of the .pth of the same run, for the usage lines.
    """
    pieces = list(dict.fromkeys(t for t in _used_targets(architecture) if t.is_piece))
    name = architecture.name
    blocks = [
        _header(architecture, origin, weights),
        *[_piece_source(target) for target in pieces],
        "\n".join([f"class {name}(nn.Module):", *_class_body(architecture, origin)]),
    ]
    source = "\n\n\n".join(blocks) + "\n"
    _check(source)
    return source


def _header(architecture: Architecture, origin: str, weights: str) -> str:
    used = _used_targets(architecture)
    pieces = [_piece_source(target) for target in used if target.is_piece]
    functional = any(target.path.startswith("torch.nn.functional:") for target in used)
    plain = (
        any(target.path.startswith(("torch:", "torch.linalg:")) for target in used)
        or any("torch." in piece for piece in pieces)
        or architecture.dtype != "float32"
    )
    doc = [
        f'"""Converted from {_inert(origin)}',
        "",
        f"    model = {architecture.name}()",
        f'    state = torch.load({_inert(repr(weights))}, weights_only=True)["model_state_dict"]',
        "    model.load_state_dict(state)",
        "    model.eval()",
        '"""',
    ]
    imports = ["from __future__ import annotations", ""]
    if any("Callable[" in piece for piece in pieces):
        imports += ["from collections.abc import Callable"]
    if any(
        isinstance(step.kwargs.get(key), tuple)
        for step in architecture.steps
        for key in TARGETS[step.op].functions
    ):
        imports += ["from functools import partial"]
    imports += [""] if imports[-1] else []
    imports += ["import torch"] if plain else []
    imports += ["import torch.nn.functional as F"] if functional else []
    imports += ["from torch import Tensor, nn"]
    return "\n".join([*doc, "", *imports])


def _used_targets(architecture: Architecture) -> list[Target]:
    """Return every operation of the steps and of their arguments, in order of use."""
    used: list[Target] = []
    for step in architecture.steps:
        for key in TARGETS[step.op].functions:
            if key in step.kwargs:
                value = step.kwargs[key]
                used.append(TARGETS[str(value[0] if isinstance(value, tuple) else value)])
        used.append(TARGETS[step.op])
    return used


def _class_body(architecture: Architecture, origin: str) -> list[str]:
    body = [
        f'    """{_summary(architecture, origin)}"""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
    ]
    seen: set[str] = set()
    for step in architecture.steps:
        if step.attribute is None or step.attribute in seen:
            continue
        seen.add(step.attribute)
        body.append(
            f"        self.{step.attribute} = {_call(_written(TARGETS[step.op]), [], step)}"
        )
        if step.frozen:
            body.append(f"        self.{step.attribute}.requires_grad_(False)")
    if architecture.dtype != "float32":
        body.append(f"        self.to(torch.{_dtype(architecture)})")
    return [*body, "", *_forward(architecture)]


def _dtype(architecture: Architecture) -> str:
    """Return the name of the parameters' dtype, which becomes part of an expression."""
    if architecture.dtype not in PARAMETER_DTYPES:
        msg = f"parameters of type {architecture.dtype!a} cannot be written as source"
        raise ConversionError(msg)
    return architecture.dtype


def _summary(architecture: Architecture, origin: str) -> str:
    shapes = "; ".join(
        f"{value.name} {_shape(value)}, {_inert(value.dtype)}" for value in architecture.inputs
    )
    text = f"Takes {shapes}."
    return text if len(text) <= _LINE - 10 else f"The network of {_inert(origin)}"


def _shape(value: InputValue) -> str:
    if value.shape is None:
        return "(batch, ...)"
    sizes = ["batch", *("free" if size is None else str(size) for size in value.shape[1:])]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _forward(architecture: Architecture) -> list[str]:
    names = _variable_names(architecture)
    arguments = ", ".join(f"{names[value.name]}: Tensor" for value in architecture.inputs)
    count = len(architecture.outputs)
    returned = {"single": "Tensor", "dict": "dict[str, Tensor]"}.get(
        architecture.structure, f"tuple[{', '.join(['Tensor'] * count)}]"
    )
    lines = [f"    def forward(self, {arguments}) -> {returned}:"]
    results = [names[output] for output in architecture.outputs]
    if architecture.structure == "single":
        result = results[0]
    elif architecture.structure == "dict":
        pairs = zip(architecture.output_names, results, strict=True)
        result = "{" + ", ".join(f"{key!a}: {value}" for key, value in pairs) + "}"
    else:
        result = ", ".join(results) + ("," if len(results) == 1 else "")
    statements = _statements(architecture, names)
    if (
        statements
        and architecture.structure == "single"
        and statements[-1].startswith(f"{result} = ")
    ):
        statements[-1] = f"return {statements[-1].removeprefix(f'{result} = ')}"
    else:
        statements.append(f"return {result}")
    return [*lines, *(f"        {statement}" for statement in statements)]


def _statements(architecture: Architecture, names: dict[str, str]) -> list[str]:
    """Return one assignment per layer: functions of one value are written around what they are applied to."""
    uses = _uses(architecture)
    statements: list[tuple[str, str]] = []
    previous: str | None = None  # the value made by the statement before
    for step in architecture.steps:
        target = TARGETS[step.op]
        arguments = [names[value] for value in step.inputs]
        wraps = (
            step.attribute is None
            and step.inputs == (previous,)
            and uses[previous] == 1
            and target.infix is None
            and previous not in architecture.outputs
        )
        if wraps and statements:
            arguments = [statements.pop()[1]]
        written = f"self.{step.attribute}" if step.attribute else _written(target)
        expression = _call(written, arguments, None if step.attribute else step)
        statements.append((", ".join(names[value] for value in step.results), expression))
        previous = None if step.further_outputs else step.output
    return [f"{name} = {expression}" for name, expression in statements]


def _uses(architecture: Architecture) -> dict[str | None, int]:
    uses: dict[str | None, int] = {}
    for step in architecture.steps:
        for value in step.inputs:
            uses[value] = uses.get(value, 0) + 1
    return uses


def _variable_names(architecture: Architecture) -> dict[str, str]:
    """Return the Python variable of each value: `x` throughout where one value follows from another."""
    values = [value.name for value in architecture.inputs] + [
        value for step in architecture.steps for value in step.results
    ]
    chain = len(architecture.inputs) == 1 and architecture.structure == "single"
    before = architecture.inputs[0].name
    for step in architecture.steps:
        chain = chain and step.inputs == (before,) and not step.further_outputs
        before = step.output
    return dict.fromkeys(values, "x") if chain else {value: value for value in values}


def _call(written: str, arguments: list[str], step: Step | None) -> str:
    """Return the source of a call; constructors pass no tensors, modules no arguments."""
    target = TARGETS[step.op] if step else None
    if step and target and target.infix and arguments:
        operands = [_operand(step.kwargs["left"])] if "left" in step.kwargs else []
        operands += arguments
        operands += [_operand(step.kwargs["right"])] if "right" in step.kwargs else []
        return f" {target.infix} ".join(operands)
    if step and step.op == "operator.getitem":
        whole = arguments[0] if arguments[0].isidentifier() else f"({arguments[0]})"
        return f"{whole}[{_index(step.kwargs['index'])}]"
    shown = list(arguments)
    if target and target.listed:
        shown = [f"[{', '.join(arguments)}]"]
    kwargs = dict(step.kwargs) if step else {}
    if target and target.unnamed and target.module == (not arguments):
        shown = [_literal(kwargs.pop(key)) for key in target.unnamed if key in kwargs] + shown
    functions = target.functions if target else ()
    shown += [
        f"{key}={_function_name(value) if key in functions else _literal(value)}"
        for key, value in kwargs.items()
    ]
    return f"{written}({', '.join(shown)})"


def _index(value: Plain) -> str:
    """Return the source between the brackets: `:, 1:, None`."""
    items = value if isinstance(value, tuple) else ()
    written = []
    for item in items:
        if isinstance(item, tuple):
            start, stop, step = ("" if bound is None else _literal(bound) for bound in item[1:])
            written.append(f"{start}:{stop}" + (f":{step}" if step else ""))
        else:
            written.append(_literal(item))
    return ", ".join(written)


def _operand(value: Plain) -> str:
    """Return a number as it may stand beside an operator: `** -2.0` and `-2.0 **` differ from what they look like."""
    written = _literal(value)
    return f"({written})" if written.startswith("-") else written


def _function_name(value: Plain) -> str:
    """Return the source of a function given as an argument."""
    name, *pairs = value if isinstance(value, tuple) else (value,)
    written = _written(TARGETS[str(name)])
    settings = [f"{pair[0]}={_literal(pair[1])}" for pair in pairs if isinstance(pair, tuple)]
    return f"partial({', '.join([written, *settings])})" if settings else written


def _literal(value: Plain) -> str:
    return ascii(value)


def _written(target: Target) -> str:
    module, _, name = target.path.partition(":")
    prefix = {"torch.nn": "nn.", "torch.nn.functional": "F."}.get(module, "")
    if module in ("torch", "torch.linalg"):
        prefix = f"{module}."
    return f"{prefix}{name}"


@cache
def _piece_source(target: Target) -> str:
    """Return the source of one of our own classes or functions, as it stands in its file."""
    module, _, name = target.path.partition(":")
    text = _module_file(module).read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])
    msg = f"{target.path} has no definition of that name"
    raise ConversionError(msg)


def _module_file(module: str) -> Path:
    """Return the source file of a module: ours lie beside this package, a user's own was imported with --rules."""
    own = Path(__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    if own.is_file():
        return own
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        msg = f"the source of {module} is not installed, so it cannot be emitted"
        raise ConversionError(msg)
    return Path(spec.origin)


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
