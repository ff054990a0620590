"""What `torchward inspect` prints: a line for every layer, and what would become of the file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from converters.commands.printing import format_shape, format_size
from converters.inspection import Inspection, LayerLine

_LISTED = 12
"""Tensors of a graph in one line."""
_NAME_WIDTH = 60
"""Widest column of layer names; a longer one moves its own line only."""


def format_inspection(found: Inspection, convert: Sequence[str] = ()) -> list[str]:
    """Return the lines that `torchward inspect` prints; `convert` are the arguments that convert the file."""
    lines = [
        f"{found.file}    {found.producer or 'Keras'}, {found.format}, {format_size(found.size)}"
    ]
    if found.inputs:
        shapes = "; ".join(f"{name} {format_shape(shape)}" for name, shape in found.inputs)
        lines.append(f"  takes {shapes}; gives {', '.join(found.outputs)}")
    lines += _layer_tree(found.layers)
    optimizer = (
        f"{found.optimizer[0]} with {found.optimizer[1]} arrays"
        if found.optimizer
        else "none stored"
    )
    if found.optimizer_becomes:
        optimizer += f"  ->  {found.optimizer_becomes}"
    lines.append(
        f"  {found.parameters:,} parameters in {found.arrays} arrays, {', '.join(found.dtypes) or 'no data'}, "
        f"{format_size(found.nbytes)} in memory; optimizer: {optimizer}"
    )
    if found.may_begin or found.may_end:
        lines.append(f"  inputs may be   {_listed(found.may_begin)}")
        lines.append(f"  outputs may be  {_listed(found.may_end)}")
    lines.append(f"sha256          {found.sha256}")
    if found.agent:
        lines.append(f"agent           {found.agent}")
    if found.problem is None:
        lines += [f"note            {note}" for note in found.notes]
        command = shlex.join(["torchward", "convert", *(convert or [found.file])])
        lines.append(f"converts        yes: {command}")
    else:
        first, *more = found.problem.splitlines()
        lines += [f"converts        no: {first}", *(f"                {line}" for line in more)]
        lines += [f"hint            {found.hint}"] if found.hint else []
    return lines


def _listed(names: Sequence[str]) -> str:
    more = f", ... {len(names) - _LISTED} more (--json)" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _layer_tree(layers: Sequence[LayerLine]) -> list[str]:
    """Return a line for every layer, indented by the models it lies in, with what it becomes or why it does not."""
    names = ["  " * layer.depth + layer.name.split("/")[-1] for layer in layers]
    if not any(layer.class_name for layer in layers):  # without an architecture there is no tree
        names = [layer.name for layer in layers]
    outputs = ["" if layer.output is None else format_shape(layer.output) for layer in layers]
    width = min(max(map(len, names), default=0), _NAME_WIDTH)
    kind = max((len(layer.class_name) for layer in layers), default=0)
    given = max(map(len, outputs), default=0)
    several = len({layer.dtype for layer in layers if layer.dtype}) > 1
    lines = []
    for layer, name, output in zip(layers, names, outputs, strict=True):
        arrays = "  ".join(f"{role} {format_shape(shape)}" for role, shape in layer.shapes)
        parts = [arrays, layer.dtype if several else "", "" if layer.trainable else "frozen"]
        if layer.problem is not None:
            parts.append(f"does not convert: {layer.problem}")
        elif layer.becomes:
            parts.append(f"->  {layer.becomes}")
        shown = "  ".join(part for part in parts if part)
        line = f"  {name:{width}}  {layer.class_name:{kind}}  {output:{given}}  {layer.parameters:>9,}  {shown}"
        lines.append(line.rstrip())
    return lines
