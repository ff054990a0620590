"""The statements of one `forward`: which step shares a line with which, and which variable holds what.

A value that replaces the one it is made from takes over its variable, so that a chain is `x = self.layer(x)` all the
way down; a branch gets the next free one of `x`, `y`, `z`, and a name of its own if all of them are in use. What only
the next statement takes is written into it while the line stays short: `x + self.block(x)`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from converters.architecture import Step
from converters.names import Taken, identifier, taken_names, unique
from converters.source_code.expressions import function_call
from converters.source_code.lines import LINE, fitted
from converters.targets import TARGETS

VARIABLES = ("x", "y", "z")
_INDENT = 8
_LIGHT = ("compat.as_indices", "compat.cast")
_MOST_OPERATIONS = 4  # in one expression, besides functions of one value
_SPACE = {3: ("time",), 4: ("height", "width"), 5: ("depth", "height", "width")}


@dataclass(frozen=True, slots=True)
class Item:
    """One operation of a forward pass: a function, or a call of the submodule with that dotted name."""

    inputs: tuple[str, ...]
    results: tuple[str, ...]
    attribute: str | None
    step: Step | None = None  # None: the submodule is a block

    def written(self, arguments: list[str]) -> str:
        """Return the expression for these arguments."""
        if self.attribute is not None:
            return f"self.{self.attribute}({', '.join(arguments)})"
        if self.step is None:  # not reached: functions have their step
            return ", ".join(arguments)
        return function_call(self.step, arguments)


@dataclass(frozen=True, slots=True)
class _Statement:
    """An item written as one expression, with the statements that stand in it instead of a variable."""

    item: Item
    parts: Mapping[str, _Statement] = field(default_factory=dict)  # by the value they make

    @property
    def results(self) -> tuple[str, ...]:
        return self.item.results

    @property
    def inputs(self) -> tuple[str, ...]:
        """The values that come from variables, in order of use."""
        found: list[str] = []
        for value in self.item.inputs:
            part = self.parts.get(value)
            found += (value,) if part is None else part.inputs
        return tuple(found)

    @property
    def size(self) -> int:
        """How many items it consists of."""
        return 1 + sum(part.size for part in self.parts.values())

    def written(self, names: Mapping[str, str]) -> str:
        """Return the expression; values are in the variables of these names."""
        return self.item.written(
            [
                self.parts[value].written(names) if value in self.parts else names[value]
                for value in self.item.inputs
            ]
        )


class Written(NamedTuple):
    """The lines of a forward pass without its `return`, the expressions of its outputs, and what is said behind them."""

    lines: list[str]
    results: list[str]
    comment: str | None = None


@dataclass(slots=True)
class _Variables:
    """Which variable holds which value, and until when it is needed."""

    last_use: Mapping[str, int]
    kept: frozenset[str]  # values that get a name of their own
    names: dict[str, str]
    taken: Taken
    holders: dict[str, str] = field(default_factory=dict)  # variable to the value it holds

    def name(self, value: str, inputs: Sequence[str], place: int, own: str) -> str:
        """Return the variable for a value that is made at `place`."""
        if value not in self.last_use:
            return "_"  # one of several results that nobody uses
        if value in self.kept:
            chosen = unique(identifier(own), self.taken)
        else:
            ending = {
                self.names[each]
                for each in inputs
                if self.last_use[each] <= place and self.holders[self.names[each]] == each
            }
            free = [name for name in VARIABLES if name in ending] or [
                name for name in VARIABLES if self._is_free(name, place)
            ]
            chosen = free[0] if free else unique(identifier(own), self.taken)
        self.names[value] = chosen
        self.holders[chosen] = value
        return chosen

    def _is_free(self, name: str, place: int) -> bool:
        value = self.holders.get(name)
        return value is None or self.last_use.get(value, -1) <= place


def write_statements(
    items: Sequence[Item],
    inputs: Mapping[str, str],
    outputs: Sequence[str],
    *,
    taken: set[str],
    named_outputs: bool,
    names: Mapping[str, str] | None = None,
    indent: int = _INDENT,
) -> Written:
    """Return the source of a forward pass.

    Args:
        items: in order of computation.
        inputs: value to argument.
        outputs: the values that are returned.
        taken: names that no variable may have.
        named_outputs: whether outputs are held by variables of their own names, as several are; otherwise the last
            expression is not assigned, but returned.
        names: what the variables of these outputs are called, where that is not the value's name.
        indent: columns before every line.
    """
    apart: set[str] = set()  # results of statements that are too long as one line
    while True:
        statements = _merged(items, outputs, apart)
        writing = _Writing(statements, inputs, outputs, names or {}, taken, indent)
        written = writing.written(items, named_outputs=named_outputs)
        if not writing.long:
            return written
        apart |= writing.long


class _Writing:
    """One attempt to write statements."""

    def __init__(
        self,
        statements: list[_Statement],
        inputs: Mapping[str, str],
        outputs: Sequence[str],
        names: Mapping[str, str],
        taken: set[str],
        indent: int,
    ) -> None:
        self.statements, self.inputs, self.outputs = statements, inputs, outputs
        self.own_names, self.taken, self.indent = names, taken, indent
        self.long: set[str] = set()

    def written(self, items: Sequence[Item], *, named_outputs: bool) -> Written:
        last_use = {value: len(self.statements) for value in self.outputs}
        for place, statement in reversed(list(enumerate(self.statements))):
            for value in statement.inputs:
                last_use.setdefault(value, place)
        kept = frozenset(self.outputs) if named_outputs else frozenset()
        taken = taken_names([*self.taken, *VARIABLES, *self.inputs.values()])
        variables = _Variables(last_use, kept, dict(self.inputs), taken)
        variables.holders.update({name: value for value, name in self.inputs.items()})
        lines: list[str] = []
        comments = _comments(items)
        for place, statement in enumerate(self.statements):
            expression = statement.written(variables.names)
            results = statement.results
            comment = comments.get(results[0])
            is_last = place == len(self.statements) - 1 and not named_outputs
            if is_last and tuple(self.outputs) == results:
                self.note_length(statement, f"return {expression}")
                return Written(lines, [expression], comment)
            names = ", ".join(
                variables.name(value, statement.inputs, place, self.own_names.get(value, value))
                for value in results
            )
            self.note_length(statement, f"{names} = {expression}")
            lines += commented(f"{names} = {expression}", comment, self.indent)
        return Written(lines, [variables.names[value] for value in self.outputs])

    def note_length(self, statement: _Statement, text: str) -> None:
        if statement.parts and self.indent + len(text) > LINE:
            self.long.add(statement.results[0])


def _merged(
    items: Sequence[Item], outputs: Sequence[str], apart: Container[str]
) -> list[_Statement]:
    """Return the statements: what only the next one takes stands in it, if that reads well."""
    uses: dict[str, int] = dict.fromkeys(outputs, 1)
    for item in items:
        for value in item.inputs:
            uses[value] = uses.get(value, 0) + 1
    statements: list[_Statement] = []
    for item in items:
        parts: dict[str, _Statement] = {}
        if item.results[0] not in apart and _moved_channels(item) is None:
            size = 1
            for value in reversed(
                item.inputs
            ):  # evaluated in the order of the arguments, as before
                previous = statements[-1] if statements else None
                if previous is None or previous.results != (value,) or uses[value] > 1:
                    continue
                size += previous.size
                if not _reads_well(item, previous, size):
                    break
                parts[value] = statements.pop()
        statements.append(_Statement(item, parts))
    return statements


def _reads_well(item: Item, part: _Statement, size: int) -> bool:
    """True if an expression may stand among the arguments of an item."""
    if _moved_channels(part.item) is not None:
        return False
    if (
        item.attribute is not None or item.step is None
    ):  # modules take variables, at most brought into another type
        return part.item.step is not None and part.item.step.op in _LIGHT and not part.parts
    is_call = len(item.inputs) == 1 and TARGETS[item.step.op].infix is None
    return is_call or size <= _MOST_OPERATIONS


def commented(text: str, comment: str | None, indent: int = _INDENT) -> list[str]:
    """Return a statement of a method with what is said about its result."""
    lines = fitted(text, indent)
    if comment is None:
        return lines
    if len(lines) == 1 and len(lines[0]) + 2 + len(comment) <= LINE:
        return [f"{lines[0]}  {comment}"]
    return [" " * indent + comment, *lines]


def _moved_channels(item: Item) -> tuple[int, bool] | None:
    """Return the number of axes and True for a move of the channels to the front, False for one to the back."""
    if item.step is None or item.step.op != "torch.permute":
        return None
    dims = item.step.kwargs["dims"]
    rank = len(dims) if isinstance(dims, tuple) else 0
    if rank not in _SPACE:
        return None
    if dims == (0, rank - 1, *range(1, rank - 1)):
        return rank, True
    return (rank, False) if dims == (0, *range(2, rank), 1) else None


def _comments(items: Sequence[Item]) -> dict[str, str]:
    """Return what is said behind moves of the channels: the axes as they lie from there on."""
    first: dict[str, bool] = {}  # values whose channels lie in front
    comments = {}
    for item in items:
        moved = _moved_channels(item)
        before = any(first.get(value, False) for value in item.inputs)
        if moved is not None:
            rank, to_front = moved
            to_front = (
                not before if rank == 3 else to_front
            )  # with three axes both moves look alike
            space = _SPACE[rank]
            axes = ("batch", "channels", *space) if to_front else ("batch", *space, "channels")
            comments[item.results[0]] = f"# ({', '.join(axes)})"
            before = to_front
        first.update(dict.fromkeys(item.results, before))
    return comments
