from __future__ import annotations

from converters.agents.spaces import read_parts
from converters.readers.pickles import PickledObject
from converters.readers.pickles.values import Reference


def discrete(count: int) -> PickledObject:
    return PickledObject(Reference("gym.spaces.discrete", "Discrete"), state={"n": count})


def parts(name: str, spaces: object) -> PickledObject:
    return PickledObject(Reference(f"gym.spaces.{name.lower()}", name), state={"spaces": spaces})


def test_parts_come_in_the_order_of_their_names_and_places() -> None:
    inner = parts("Dict", {"b": discrete(3), "a": discrete(2)})

    found = read_parts(parts("Tuple", [discrete(5), inner, discrete(4)]))

    assert found is not None
    assert [space.sizes for space in found] == [(5,), (2,), (3,), (4,)]


def test_what_is_no_tuple_or_dict_of_known_spaces_has_no_parts() -> None:
    unknown = PickledObject(Reference("somewhere", "Graph"))

    assert read_parts(discrete(2)) is None
    assert read_parts(parts("Tuple", [discrete(2), unknown])) is None


def test_spaces_within_themselves_and_deep_ones_have_no_parts() -> None:
    endless = parts("Tuple", [])
    endless.state["spaces"].append(endless)  # type: ignore[index]
    twice = discrete(2)
    for _ in range(60):
        twice = parts("Tuple", [twice, twice])
    deep = discrete(2)
    for _ in range(5000):
        deep = parts("Tuple", [deep])

    assert read_parts(endless) is None
    assert read_parts(twice) is None
    assert read_parts(deep) is None
