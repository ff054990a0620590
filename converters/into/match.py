"""Which legacy layer fills which place of the user's module. Nothing is guessed: what has two answers is refused.

In this order: what the table names; layers and modules of one name; layers that fit exactly one place that exactly they
fit, by type, number of arrays and shapes. What is left then is listed with its candidates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from converters.checkpoint import ArrayInfo
from converters.errors import AmbiguousTargetError, ConversionError, MismatchError
from converters.into.names import Entry, NameTable
from converters.into.places import Place, Slot, role_matches

_HINT = (
    "name them in a table: --map names.toml; where there is none yet, it is written for you to edit"
)


@dataclass(frozen=True, slots=True)
class LegacyLayer:
    """The arrays of one layer: role, or number where the file tells no role, to array, in stored order."""

    name: str
    arrays: Mapping[str, ArrayInfo]
    other_names: frozenset[str] = frozenset()

    def describe(self) -> str:
        """Return "dense (kernel (7, 4), bias (4,))"."""
        return f"{self.name} ({', '.join(f'{role} {info.shape}' for role, info in self.arrays.items())})"


@dataclass(frozen=True, slots=True)
class Filling:
    """One key of the state with the legacy array it comes from; no array: zeros."""

    slot: Slot
    array: ArrayInfo | None
    layout: str


@dataclass(slots=True)
class Matching:
    """What is settled so far."""

    fillings: dict[str, Filling] = field(default_factory=dict)  # by key
    layers: dict[str, Place] = field(default_factory=dict)  # by legacy name
    left_out: list[ArrayInfo] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def settle(self, layer: LegacyLayer, place: Place, fillings: Sequence[Filling]) -> None:
        """Note that a layer fills a place."""
        self.layers[layer.name] = place
        self.fillings.update({filling.slot.key: filling for filling in fillings})


def match_layers(
    layers: Sequence[LegacyLayer], places: Sequence[Place], table: NameTable
) -> Matching:
    """Return which array fills which key.

    Raises:
        AmbiguousTargetError: A layer has more than one place it could fill, or none that only it fits.
        MismatchError: A name of the table is unknown or does not fit, or something is left without a counterpart.
    """
    found = Matching()
    kept = [place for place in places if table.keeps(place.path)]
    open_places = [place for place in places if place not in kept]
    open_layers = _from_table(layers, open_places, table, found)
    open_places = _unfilled(open_places, found)
    open_layers = _by_name(open_layers, open_places, found)
    open_places = _unfilled(open_places, found)
    if found.problems:
        hint = f"correct them in {table.file}" if table.entries else _HINT
        raise _listed(MismatchError, "layers and modules do not fit", found.problems, hint)
    open_layers, open_places = _by_shape(open_layers, open_places, found)
    if open_layers or open_places:
        raise _unsettled(open_layers, open_places)
    return found


def fit(layer: LegacyLayer, place: Place) -> list[list[Filling]]:
    """Return the ways in which a layer fills a place: none, one, or several where a matrix is square."""
    by_role = _roles(layer, place)
    if by_role is None:
        return []
    ways: list[list[Filling]] = [[]]
    for slot in place.slots:
        array = by_role[slot.role] if slot.role else None
        layouts = [slot.layouts[0]] if array is None else slot.fitting(array.shape)
        ways = [[*way, Filling(slot, array, layout)] for way in ways for layout in layouts]
    return ways


def _roles(layer: LegacyLayer, place: Place) -> dict[str, ArrayInfo] | None:
    roles = place.roles
    if len(layer.arrays) != len(roles):
        return None
    if all(role.isdigit() for role in layer.arrays):
        return dict(zip(roles, layer.arrays.values(), strict=True))
    result: dict[str, ArrayInfo] = {}
    for role in roles:
        named = [info for stored, info in layer.arrays.items() if role_matches(role, stored)]
        exact = [info for stored, info in layer.arrays.items() if stored.removesuffix(":0") == role]
        if len(exact or named) != 1:
            return None
        result[role] = (exact or named)[0]
    return result if len({id(info) for info in result.values()}) == len(roles) else None


def _from_table(
    layers: Sequence[LegacyLayer], places: Sequence[Place], table: NameTable, found: Matching
) -> list[LegacyLayer]:
    """Settle what the table names and return the other layers."""
    unknown = set(table.entries) - {
        name
        for layer in layers
        for name in (layer.name, *(f"{layer.name}/{role}" for role in layer.arrays))
    }
    found.problems += [
        f"{table.file}: the file has no layer or array '{name}'" for name in sorted(unknown)
    ]
    rest = []
    for layer in layers:
        single = {
            role: table.entries[f"{layer.name}/{role}"]
            for role in layer.arrays
            if f"{layer.name}/{role}" in table.entries
        }
        if layer.name in table.entries:
            _settle_named(layer, table.entries[layer.name], places, found)
        elif single:
            _settle_arrays(layer, single, places, found)
        else:
            rest.append(layer)
    return rest


def _settle_named(
    layer: LegacyLayer, entry: Entry, places: Sequence[Place], found: Matching
) -> None:
    if not entry.target:
        found.left_out += layer.arrays.values()
        return
    place = next((place for place in places if place.path == entry.target), None)
    if place is None:
        names = ", ".join(place.path for place in places)
        found.problems.append(f"'{layer.name}': the module has no '{entry.target}'; it has {names}")
        return
    _settle_if_it_fits(layer, place, found)


def _settle_arrays(
    layer: LegacyLayer, single: Mapping[str, Entry], places: Sequence[Place], found: Matching
) -> None:
    slots = {slot.key: slot for place in places for slot in place.slots}
    missing = [role for role in layer.arrays if role not in single]
    if missing:
        found.problems.append(
            f"'{layer.name}': the table names some of its arrays, but not {', '.join(missing)}"
        )
    for role, entry in single.items():
        info = layer.arrays[role]
        if not entry.target:
            found.left_out.append(info)
            continue
        slot = slots.get(entry.target)
        if slot is None:
            found.problems.append(f"'{layer.name}/{role}': the module has no '{entry.target}'")
            continue
        layouts = [entry.layout] if entry.layout else slot.fitting(info.shape)
        wrong = entry.layout and Slot("", "", (entry.layout,), slot.shape).fitting(info.shape) == []
        if len(layouts) != 1 or wrong:
            found.problems.append(
                f"'{layer.name}/{role}' {info.shape} -> '{slot.key}' {slot.shape}: "
                + ("give the layout: {key = ..., layout = ...}" if layouts else "does not fit")
            )
            continue
        found.fillings[slot.key] = Filling(slot, info, layouts[0])


def _by_name(
    layers: Sequence[LegacyLayer], places: Sequence[Place], found: Matching
) -> list[LegacyLayer]:
    """Settle layers whose name is that of one place, and return the others."""
    rest = []
    for layer in layers:
        names = {layer.name, layer.name.replace("/", "."), *layer.other_names}
        named = [place for place in places if place.path in names]
        rivals = [
            other
            for other in layers
            if other is not layer and named and named[0].path in other.other_names | {other.name}
        ]
        if len(named) == 1 and not rivals:
            _settle_if_it_fits(layer, named[0], found)
        else:
            rest.append(layer)
    return rest


def _settle_if_it_fits(layer: LegacyLayer, place: Place, found: Matching) -> None:
    ways = fit(layer, place)
    if len(ways) == 1:
        found.settle(layer, place, ways[0])
    else:
        why = "fits in several ways, give its layout in a table" if ways else "does not fit"
        found.problems.append(f"{layer.describe()} -> {place.describe()}: {why}")


def _by_shape(
    layers: Sequence[LegacyLayer], places: Sequence[Place], found: Matching
) -> tuple[list[LegacyLayer], list[Place]]:
    """Settle pairs that fit nothing else, as long as there are any; return what is left."""
    open_layers, open_places = list(layers), list(places)
    while True:
        pairs = [
            (layer, place, ways)
            for layer in open_layers
            for place in open_places
            if (ways := fit(layer, place))
        ]
        # Only what cannot be otherwise: neither side has another partner.
        certain = next(
            (
                (layer, place, ways[0])
                for layer, place, ways in pairs
                if len(ways) == 1
                and sum(other is layer for other, _, _ in pairs) == 1
                and sum(other is place for _, other, _ in pairs) == 1
            ),
            None,
        )
        if certain is None:
            return open_layers, open_places
        layer, place, way = certain
        found.settle(layer, place, way)
        open_layers.remove(layer)
        open_places.remove(place)


def _unfilled(places: Sequence[Place], found: Matching) -> list[Place]:
    return [
        place
        for place in places
        if any(slot.key not in found.fillings for slot in place.slots if slot.role)
    ]


def propose(
    layers: Sequence[LegacyLayer], places: Sequence[Place]
) -> list[tuple[str, str, list[str]]]:
    """Return for every layer its name, the place it would have by order, and all places it fits."""
    result = []
    taken: set[str] = set()
    for layer in layers:
        names = [place.path for place in places if fit(layer, place)]
        free = [name for name in names if name not in taken]
        chosen = free[0] if free else ""
        taken.add(chosen)
        result.append((layer.name, chosen, names))
    return result


def _unsettled(layers: Sequence[LegacyLayer], places: Sequence[Place]) -> ConversionError:
    """Return the error that lists what is left with its candidates."""
    lines, ambiguous = [], False
    for layer in layers:
        fitting = [place.path for place in places if fit(layer, place)]
        ambiguous = ambiguous or bool(fitting)
        lines.append(
            f"{layer.describe()} -> {' or '.join(fitting) if fitting else 'fits no module that is left'}"
        )
    named = {
        name for layer in layers for name in [place.path for place in places if fit(layer, place)]
    }
    lines += [
        f"{place.describe()}: no arrays for it" for place in places if place.path not in named
    ]
    if ambiguous:
        return _listed(
            AmbiguousTargetError, "which layer belongs to which module is not certain", lines
        )
    hint = _HINT
    if not layers:
        kept = json.dumps([place.path for place in places])
        hint = f"modules that are to stay as they are made: keep = {kept} in the table of --map"
    return _listed(MismatchError, "layers and modules do not fit", lines, hint)


def _listed(
    kind: type[ConversionError], what: str, lines: Sequence[str], hint: str = _HINT
) -> ConversionError:
    listed = "\n  ".join(lines)
    return kind(f"{what}:\n  {listed}", hint=hint)
