"""Finds the blocks that a file repeats, and makes submodules of them.

Keras knows no blocks, but people name the layers of one alike: `conv2_block1_1_conv`, `conv2_block1_1_bn`. Layers
that share such a beginning, lie next to each other and come again under another number become one submodule each:
`conv2_block1.conv_1`. Functions between them go with them. Only names change; which blocks are equal enough for one class is found when source is emitted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from converters.architecture import MAX_NESTED_BLOCKS, Step
from converters.names import Taken, identifier, unique

Path = tuple[str, ...]
Level = tuple[str, ...]  # names of the submodules around a step
_Key = tuple[str, bool]

_MAX_SPLITS = (
    6  # places where a name may end its block's part; names of a thousand underscores cost nothing
)
_LEAST_STEPS = 3  # what is shorter reads better where it is used
_LEAST_MODULES = 2
_MOST_BETWEEN = 3  # as many steps of a block have other names, at most, for each that has its name


@dataclass(frozen=True, slots=True)
class _Group:
    """Steps of one level whose layers' names begin alike, as positions in the list of all steps."""

    prefix: str
    places: tuple[int, ...]


def name_blocks(
    steps: Sequence[Step], origins: Sequence[Path], taken: Taken
) -> tuple[list[Step], dict[str, str]]:
    """Return the steps with repeated blocks as submodules, and the new name of every attribute that changed.

    Args:
        steps: in order of computation.
        origins: for every step, the path of its layer in the file.
        taken: names of attributes and submodules; new ones are added.
    """
    renamed: dict[str, str] = {}
    blocks: dict[tuple[Level, _Key], str] = {}  # layer of a level to the submodule it goes to
    users = _users(steps)
    for level, places in _first_calls(steps).items():
        if len(level) == MAX_NESTED_BLOCKS:
            continue
        for group in _repeated(steps, origins, places, users):
            around = "".join(f"{name}." for name in level)
            block = unique(around + identifier(group.prefix), taken)
            for place in group.places:
                blocks[level, _key(steps[place], origins[place])] = block.removeprefix(around)
                attribute = steps[place].attribute
                if attribute is not None and attribute not in renamed:
                    local = _local_name(attribute.removeprefix(around), group.prefix)
                    renamed[attribute] = unique(f"{block}.{local}", taken)
    result = []
    for step, origin in zip(steps, origins, strict=True):
        block_name = blocks.get((_level(step), _key(step, origin)))
        if block_name is not None:
            call = step.blocks[-1][1] if step.blocks else 0
            attribute = None if step.attribute is None else renamed[step.attribute]
            step = replace(step, attribute=attribute, blocks=(*step.blocks, (block_name, call)))
        result.append(step)
    return result, renamed


def depth_first(keys: Sequence[str]) -> list[str]:
    """Return dotted names in the order in which torch lists parameters: all of a submodule where it first appears."""
    places: dict[str, int] = {}
    for key in keys:
        parts = key.split(".")
        for length in range(1, len(parts) + 1):
            places.setdefault(".".join(parts[:length]), len(places))

    def order(key: str) -> list[int]:
        parts = key.split(".")
        return [places[".".join(parts[:length])] for length in range(1, len(parts) + 1)]

    return sorted(keys, key=order)


def _level(step: Step) -> Level:
    return tuple(name for name, _ in step.blocks)


def _key(step: Step, origin: Path) -> _Key:
    """Return the layer of a step, and whether it is a move of axes before the layer, which may stay outside."""
    return origin[-1], step.op == "torch.permute" and step.attribute is None


def _users(steps: Sequence[Step]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, step in enumerate(steps):
        for value in step.inputs:
            found.setdefault(value, []).append(place)
    return found


def _first_calls(steps: Sequence[Step]) -> dict[Level, list[int]]:
    """Return the positions of the steps of every level; of a model that is called again, those of its first call."""
    found: dict[Level, list[int]] = {}
    calls: dict[Level, tuple[tuple[str, int], ...]] = {}
    for place, step in enumerate(steps):
        level = _level(step)
        if calls.setdefault(level, step.blocks) == step.blocks:
            found.setdefault(level, []).append(place)
    return found


def _repeated(
    steps: Sequence[Step],
    origins: Sequence[Path],
    places: Sequence[int],
    users: Mapping[str, Sequence[int]],
) -> Iterator[_Group]:
    """Yield the groups to make submodules of, those that save most lines first."""
    families: dict[str, dict[str, list[int]]] = {}
    reach: dict[_Key, list[int]] = {}  # places of every layer
    for place in places:
        key = _key(steps[place], origins[place])
        reach.setdefault(key, []).append(place)
        if key[1]:
            continue
        for prefix in _prefixes(origins[place][-1]):
            families.setdefault(numberless(prefix, "#"), {}).setdefault(prefix, []).append(place)
    callers: dict[str | None, list[int]] = {}
    for place in range(len(steps)):
        callers.setdefault(steps[place].attribute, []).append(place)
    ranked = []
    for members in families.values():
        groups = [
            _Group(prefix, _with_functions(steps, origins, found, reach, users))
            for prefix, found in members.items()
        ]
        groups = [group for group in groups if _stands_alone(steps, group, callers)]
        saved = _saved_lines(steps, groups)
        if saved:
            ranked.append((saved, groups))
    used: set[int] = set()
    for _, groups in sorted(ranked, key=lambda item: -item[0]):
        free = [group for group in groups if used.isdisjoint(group.places)]
        if _saved_lines(steps, free):
            used.update(place for group in free for place in group.places)
            yield from free


def _with_functions(
    steps: Sequence[Step],
    origins: Sequence[Path],
    found: Sequence[int],
    reach: Mapping[_Key, Sequence[int]],
    users: Mapping[str, Sequence[int]],
) -> tuple[int, ...]:
    """Return the places of a group with those of the functions in between, if they serve nothing else.

    `a * b` and moves of axes have no names of their own, or such as Keras counts up: `multiply_3`.
    """
    first, last = found[0], found[-1]
    if last - first >= _MOST_BETWEEN * len(found):
        return tuple(found)
    level, own, layers = _level(steps[first]), set(found), {origins[at][-1] for at in found}
    made = {value for place in range(first, last + 1) for value in steps[place].results}
    for place in range(first, last + 1):
        if place in own:
            continue
        step = steps[place]
        key = _key(step, origins[place])
        used = [user for value in step.results for user in users.get(value, ())]
        if (
            step.attribute is not None
            or _level(step) != level
            or not (key[0] in layers or made.intersection(step.inputs))
            or not used
            or max(used) > last
            or not (first <= reach[key][0] and reach[key][-1] <= last)
        ):
            return tuple(found)
    return tuple(range(first, last + 1))


def numberless(name: str, filler: str = "") -> str:
    """Return a name without its numbers, and without a letter that counts on behind one: block2b."""
    return re.sub(r"\d+[A-Za-z]?(?![A-Za-z\d])|\d+", filler, name)


def _prefixes(name: str) -> list[str]:
    """Return the beginnings of a layer's name that end in a number: "conv2", "conv2_block1" of conv2_block1_conv."""
    ends = [match.end() for match in re.finditer(r"\d[A-Za-z]?(?=[_./-]+[^_./-])", name[:200])]
    return [name[:end] for end in ends[:_MAX_SPLITS]]


def _stands_alone(
    steps: Sequence[Step], group: _Group, callers: Mapping[str | None, Sequence[int]]
) -> bool:
    """True if the group is long enough, nothing else lies between its steps, and nobody else calls its modules."""
    first, last = group.places[0], group.places[-1]
    attributes = {steps[place].attribute for place in group.places} - {None}
    return (
        last - first + 1 == len(group.places) >= _LEAST_STEPS
        and len(attributes) >= _LEAST_MODULES
        and all(first <= place <= last for each in attributes for place in callers[each])
    )


def _saved_lines(steps: Sequence[Step], groups: Sequence[_Group]) -> int:
    forms = Counter(_form(steps, group) for group in groups)
    return sum((count - 1) * len(form) for form, count in forms.items())


def _form(steps: Sequence[Step], group: _Group) -> tuple[object, ...]:
    """Return what two groups have in common when only names and sizes differ."""
    local: dict[str, int] = {}
    form = []
    for place in group.places:
        step = steps[place]
        references = tuple(local.setdefault(value, len(local)) for value in step.inputs)
        for value in step.results:
            local[value] = len(local)
        attribute = step.attribute and _local_name(step.attribute.rpartition(".")[2], group.prefix)
        form.append((step.op, attribute, references, len(step.results)))
    return tuple(form)


def _local_name(attribute: str, prefix: str) -> str:
    """Return the attribute's name inside its block: "conv_1" for conv2_block1_1_conv in conv2_block1."""
    rest = attribute.removeprefix(f"{identifier(prefix)}_")
    number = re.fullmatch(r"(\d+)_+(.+)", rest)
    return identifier(f"{number[2]}_{number[1]}" if number else rest)
