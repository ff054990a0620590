"""The classes of emitted source: which submodules are blocks, what their `forward` takes and gives, which are alike.

Blocks come from the steps' `blocks`. One that is called in two ways, or whose steps do not lie together, only holds its
layers; whoever called them calls them there. Blocks that differ in nothing but sizes share a class with arguments.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from converters.architecture import Architecture, Step
from converters.names import class_identifier, taken_names, unique
from converters.passes.blocks import numberless
from converters.registry import Plain
from converters.source_code.statements import Item
from converters.targets import TARGETS

Names = tuple[str, ...]

DEFAULTS: Mapping[str, Plain] = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": True,
}
"""Of torch's convolutions: an argument that one block gives and another leaves out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a constructor: a layer (`step`), or a block (`block`, with the arguments in `kwargs`)."""

    name: str
    kwargs: Mapping[str, Plain]
    step: Step | None = None
    block: str = ""
    frozen: bool = False  # its parameters do not train, and others beside it do

    @property
    def key(self) -> Hashable:
        """What entries of one class have in common; sizes may differ."""
        if self.step is None:
            return self.name, self.block, tuple(self.kwargs), self.frozen
        functions = TARGETS[self.step.op].functions
        chosen = tuple((key, self.kwargs[key]) for key in functions if key in self.kwargs)
        names = tuple(key for key in self.kwargs if key not in self.defaults)
        dtype, state = self.step.dtype, self.step.state
        return self.name, self.step.op, self.frozen, dtype, state, names, chosen

    @property
    def defaults(self) -> Mapping[str, Plain]:
        """Arguments that may be left out."""
        is_convolution = self.step is not None and self.step.op.startswith("nn.Conv")
        return DEFAULTS if is_convolution else {}


@dataclass(frozen=True, slots=True)
class Body:
    """What a class is written from.

    Attributes:
        items: of the forward pass; empty where the block only holds its layers.
        parameters: arguments of the constructor, with their types.
        named: for every entry, the constructor's arguments that are given by a parameter: argument to parameter.
        places: dotted names of the submodules that are of this class.
        frozen: no parameter of the network trains.
    """

    name: str
    entries: tuple[Entry, ...]
    items: tuple[Item, ...]
    inputs: Names
    outputs: Names
    parameters: Mapping[str, str] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    frozen: bool = False


@dataclass(slots=True)
class _Block:
    """A submodule that holds others, and the range of steps of each of its calls."""

    calls: dict[tuple[tuple[str, int], ...], list[int]] = field(default_factory=dict)
    dissolved: bool = False
    children: dict[str, Step | None] = field(default_factory=dict)  # None: a block
    items: tuple[Item, ...] = ()
    inputs: Names = ()
    outputs: tuple[int, ...] = ()  # places among all values, counted as `_form` does
    class_name: str = ""
    arguments: Mapping[str, Plain] = field(default_factory=dict)


def arrange(architecture: Architecture, taken: set[str]) -> list[Body]:
    """Return the bodies of all classes, those that others need first, the network last.

    Args:
        architecture: what to write.
        taken: names that no class may have.
    """
    return _Arrangement(architecture, taken).bodies()


class _Arrangement:
    """The blocks of one architecture while they are worked out, from the inside out."""

    def __init__(self, architecture: Architecture, taken: set[str]) -> None:
        self.architecture, self.taken = architecture, {*taken, architecture.name}
        self.blocks: dict[Names, _Block] = {(): _Block()}
        self.last_use = {value: len(architecture.steps) for value in architecture.outputs}
        for place, step in reversed(list(enumerate(architecture.steps))):
            for value in step.inputs:
                self.last_use.setdefault(value, place)
        for place, step in enumerate(architecture.steps):
            self._note(place, step)

    def _note(self, place: int, step: Step) -> None:
        for depth in range(1, len(step.blocks) + 1):
            names = tuple(name for name, _ in step.blocks[:depth])
            block = self.blocks.setdefault(names, _Block())
            block.dissolved |= not f"{step.attribute or '.'.join(names)}.".startswith(
                f"{'.'.join(names)}."
            )
            first_last = block.calls.setdefault(step.blocks[:depth], [place, place - 1])
            block.dissolved |= first_last[1] != place - 1
            first_last[1] = place
        if step.attribute is None:
            return
        *around, name = step.attribute.split(".")
        for depth, each in enumerate(around):
            self.blocks.setdefault(tuple(around[: depth + 1]), _Block())
            self.blocks[tuple(around[:depth])].children.setdefault(each, None)
        self.blocks[tuple(around)].children.setdefault(name, step)

    def bodies(self) -> list[Body]:
        """Return the bodies, the network's last."""
        found: list[Body] = []
        for depth in range(max(map(len, self.blocks)), 0, -1):
            alike: dict[Hashable, list[Names]] = {}
            for names in [each for each in self.blocks if len(each) == depth]:
                self._settle(names)
                if self.blocks[names].children:  # a nested model of functions alone is no module
                    alike.setdefault(self._key(names), []).append(names)
            found += [self._class(members) for members in alike.values()]
        last = len(self.architecture.steps) - 1
        items = tuple(self._items(0, last, ()))
        inputs = tuple(value.name for value in self.architecture.inputs)
        network = Body(
            self.architecture.name,
            self._entries(()),
            items,
            inputs,
            self.architecture.outputs,
            frozen=self._trains(()) is False,
        )
        return [*found, network]

    def _settle(self, names: Names) -> None:
        """Find what a block's forward is, or that it has none."""
        block = self.blocks[names]
        block.dissolved |= not block.calls or not block.children  # nothing to be a module of
        if block.dissolved:
            return
        forms, outputs = set(), set()
        for first, last in reversed(block.calls.values()):  # the first call's names remain
            items = tuple(self._items(first, last, names))
            block.items, block.inputs = items, _taken_from_outside(items)
            forms.add(_form(items))
            numbers = _numbers(items)
            outputs |= {
                numbers[value]
                for item in items
                for value in item.results
                if self.last_use.get(value, -1) > last
            }
        block.outputs = tuple(sorted(outputs))
        block.dissolved = len(forms) > 1 or not block.outputs

    def _items(self, first: int, last: int, names: Names) -> list[Item]:
        """Return the operations of a range of steps as they are seen from inside the block of that name."""
        found = []
        place = first
        while place <= last:
            step = self.architecture.steps[place]
            inner = tuple(name for name, _ in step.blocks)
            depth = next(
                (
                    depth
                    for depth in range(len(names) + 1, len(inner) + 1)
                    if not self.blocks[inner[:depth]].dissolved
                ),
                None,
            )
            if depth is None:
                attribute = None if step.attribute is None else _relative(step.attribute, names)
                found.append(Item(step.inputs, step.results, attribute, step))
                place += 1
                continue
            start, end = self.blocks[inner[:depth]].calls[step.blocks[:depth]]
            found.append(self._call(inner[:depth], start, end, names))
            place = end + 1
        return found

    def _call(self, block_names: Names, first: int, last: int, names: Names) -> Item:
        items = tuple(self._items(first, last, block_names))
        values = {number: value for value, number in _numbers(items).items()}
        results = tuple(values[number] for number in self.blocks[block_names].outputs)
        attribute = _relative(".".join(block_names), names)
        return Item(_taken_from_outside(items), results, attribute)

    def _trains(self, names: Names) -> bool | None:
        """Return False for a block of which nothing trains, True if something does, None if there is no state."""
        found = {
            self._trains((*names, name))
            if step is None
            else not step.frozen
            if step.state
            else None
            for name, step in self.blocks[names].children.items()
        } - {None}
        return any(found) if found else None

    def _entries(self, names: Names) -> tuple[Entry, ...]:
        entries = []
        apart = self._trains(names) is not False  # else it is frozen as a whole
        for name, step in self.blocks[names].children.items():
            if step is not None:
                entries.append(Entry(name, step.kwargs, step, frozen=apart and step.frozen))
            else:
                child = self.blocks[(*names, name)]
                frozen = apart and self._trains((*names, name)) is False
                entries.append(Entry(name, child.arguments, block=child.class_name, frozen=frozen))
        return tuple(entries)

    def _key(self, names: Names) -> Hashable:
        block = self.blocks[names]
        entries = tuple(entry.key for entry in self._entries(names))
        return entries, block.dissolved or (_form(block.items), block.outputs)

    def _class(self, members: Sequence[Names]) -> Body:
        """Return the class of blocks that are alike, and note it with them."""
        first = self.blocks[members[0]]
        all_entries = [self._entries(names) for names in members]
        name = self._class_name(members[0][-1])
        parameters: dict[str, str] = {}
        named: dict[str, dict[str, str]] = {}
        columns: dict[str, tuple[str, tuple[Plain, ...]]] = {}  # by how the values are written
        for same in zip(*all_entries, strict=True):
            keys = dict.fromkeys(key for entry in same for key in entry.kwargs)
            for key in keys:
                column = tuple(entry.kwargs.get(key, entry.defaults.get(key)) for entry in same)
                if len({repr(value) for value in column}) == 1:
                    continue
                if repr(column) not in columns:
                    free = key if key not in parameters else f"{same[0].name}_{key}"
                    parameter = unique(free, taken_names(parameters))
                    columns[repr(column)] = parameter, column
                    parameters[parameter] = _annotation(column)
                named.setdefault(same[0].name, {})[key] = columns[repr(column)][0]
        for index, names in enumerate(members):
            self.blocks[names].class_name = name
            self.blocks[names].arguments = {
                parameter: column[index] for parameter, column in columns.values()
            }
        values = {number: value for value, number in _numbers(first.items).items()}
        outputs = tuple(values[number] for number in first.outputs)
        items = () if first.dissolved else first.items
        places = tuple(".".join(names) for names in members)
        return Body(name, all_entries[0], items, first.inputs, outputs, parameters, named, places)

    def _class_name(self, block: str) -> str:
        base = class_identifier(numberless(block), default="Block")
        name, number = base, 2
        while name in self.taken:
            name, number = f"{base}{number}", number + 1
        self.taken.add(name)
        return name


def _relative(attribute: str, names: Names) -> str:
    return attribute.removeprefix("".join(f"{name}." for name in names))


def _taken_from_outside(items: Sequence[Item]) -> Names:
    made: set[str] = set()
    taken: dict[str, None] = {}
    for item in items:
        taken.update(dict.fromkeys(value for value in item.inputs if value not in made))
        made.update(item.results)
    return tuple(taken)


def _numbers(items: Sequence[Item]) -> dict[str, int]:
    """Return a number for every value, in the order in which they appear."""
    numbers: dict[str, int] = {}
    for item in items:
        for value in (*item.inputs, *item.results):
            numbers.setdefault(value, len(numbers))
    return numbers


def _form(items: Sequence[Item]) -> Hashable:
    """Return what two forward passes have in common if they compute the same with other names and other layers."""
    numbers = _numbers(items)
    return tuple(
        (
            item.attribute,
            tuple(numbers[value] for value in item.inputs),
            tuple(numbers[value] for value in item.results),
            (item.step.op, repr(sorted(item.step.kwargs.items())))
            if item.step is not None and item.attribute is None
            else "",
        )
        for item in items
    )


def _annotation(values: Sequence[Plain]) -> str:
    """Return the type of a constructor's argument."""
    kinds = dict.fromkeys(
        "None"
        if value is None
        else f"tuple[{_inner(value)}, ...]"
        if isinstance(value, tuple)
        else type(value).__name__
        for value in values
    )
    return " | ".join(sorted(kinds, key=lambda kind: kind == "None"))


def _inner(values: tuple[Plain, ...]) -> str:
    return " | ".join(dict.fromkeys(type(value).__name__ for value in values)) or "int"
