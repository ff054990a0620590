"""The statements of one `forward`: which step shares a line with which, and which variable holds what.

A value that replaces the one it is made from takes over its variable, so that a chain is `x = self.layer(x)` all the
way down; a branch gets the next free one of `x`, `y`, `z`, and a name of its own if all of them are in use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from converters.architecture import Step
from converters.names import Taken, identifier, taken_names, unique
from converters.source_code.expressions import function_call
from converters.source_code.lines import LINE, fitted
from converters.targets import TARGETS

VARIABLES = ("x", "y", "z")
_INDENT = 8
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


@dataclass(slots=True)
class _Statement:
    """Items written as one expression: the first, and functions of one value around it."""

    first: Item
    around: list[Item] = field(default_factory=list)

    @property
    def results(self) -> tuple[str, ...]:
        return self.around[-1].results if self.around else self.first.results


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
) -> tuple[list[str], list[str]]:
    """Return the lines of a forward pass without its `return`, and the expressions of its outputs.

    Args:
        items: in order of computation.
        inputs: value to argument.
        outputs: the values that are returned.
        taken: names that no variable may have.
        named_outputs: whether outputs are held by variables of their own names, as several are; otherwise the last
            expression is not assigned, but returned.
    """
    statements = _merged(items, outputs)
    last_use = {value: len(statements) for value in outputs}
    for place, statement in reversed(list(enumerate(statements))):
        for value in statement.first.inputs:
            last_use.setdefault(value, place)
    kept = frozenset(outputs) if named_outputs else frozenset()
    variables = _Variables(
        last_use, kept, dict(inputs), taken_names([*taken, *VARIABLES, *inputs.values()])
    )
    variables.holders.update({name: value for value, name in inputs.items()})
    lines: list[str] = []
    comments = _comments(items)
    for place, statement in enumerate(statements):
        arguments = [variables.names[value] for value in statement.first.inputs]
        own = statement.first.results[0]
        names = [
            variables.name(value, statement.first.inputs, place, own if index == 0 else value)
            for index, value in enumerate(statement.results)
        ]
        is_last = place == len(statements) - 1 and not named_outputs
        if is_last and tuple(outputs) == statement.results:
            written, rest = _expression(statement, arguments, names, "return ")
            return [*lines, *written], [rest]
        written, rest = _expression(statement, arguments, names, f"{', '.join(names)} = ")
        lines += written
        lines += _commented(f"{', '.join(names)} = {rest}", comments.get(own))
    return lines, [variables.names[value] for value in outputs]


def _merged(items: Sequence[Item], outputs: Sequence[str]) -> list[_Statement]:
    uses: dict[str, int] = dict.fromkeys(outputs, 1)
    for item in items:
        for value in item.inputs:
            uses[value] = uses.get(value, 0) + 1
    statements: list[_Statement] = []
    for item in items:
        previous = statements[-1] if statements else None
        if (
            previous is not None
            and item.attribute is None
            and item.step is not None
            and previous.results == item.inputs
            and len(item.inputs) == 1
            and uses[item.inputs[0]] == 1
            and TARGETS[item.step.op].infix is None
            and _moved_channels(item) is None
            and _moved_channels(previous.first) is None
        ):
            previous.around.append(item)
        else:
            statements.append(_Statement(item))
    return statements


def _expression(
    statement: _Statement, arguments: list[str], names: Sequence[str], head: str
) -> tuple[list[str], str]:
    """Return the expression of a statement, after the lines that are needed to keep it short."""
    lines: list[str] = []
    text = statement.first.written(arguments)
    for item in statement.around:
        longer = item.written([text])
        if _INDENT + len(head) + len(longer) > LINE:
            lines += fitted(f"{names[0]} = {text}", _INDENT)
            longer = item.written([names[0]])
        text = longer
    return lines, text


def _commented(text: str, comment: str | None) -> list[str]:
    lines = fitted(text, _INDENT)
    if comment is None:
        return lines
    if len(lines) == 1 and len(lines[0]) + 2 + len(comment) <= LINE:
        return [f"{lines[0]}  {comment}"]
    return [" " * _INDENT + comment, *lines]


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
