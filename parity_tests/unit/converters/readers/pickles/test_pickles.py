from __future__ import annotations

import io
import os
import pickle  # noqa: TID251  # Python's own pickles are what is read; nothing but what this file wrote is loaded
import struct
import time
import zlib
from collections import OrderedDict, deque
from pathlib import Path

import numpy as np
import pytest

from converters.errors import ConversionError, UnreadableFileError, UnsafeFileError
from converters.limits import Limits
from converters.readers.pickles import ObjectArray, PickledObject, Reference, read_pickle
from converters.readers.pickles.joblib_arrays import decompress

PROTOCOLS = range(6)
MUTANTS = 1500  # of pickles made here; `make fuzz` damages those of libraries
PLAIN = {
    "numbers": [0, 1, 255, 256, 65536, -1, 2**31, -(2**40), 2**70, 0.5, -1e300, True, False, None],
    "text": ["", "a", "ü", "汉", "\n'\"\\", "x" * 300],
    "bytes": [b"", b"ab", bytes(range(256))],
    "nested": ((1, (2, (3, (4, 5)))), [[], {}, ()], {"a": {"b": [1]}}),
    ("a", 1): frozenset({1, 2}),
    "sets": {1, "a"},
    "mapping": OrderedDict([("z", 1), ("a", 2)]),
}
ARRAYS: dict[str, np.ndarray | np.generic] = {  # type: ignore[type-arg]
    "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">i4"),
    "bool": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float16),
    "number": np.array(2.5),
    "text": np.array(["ab", "c"]),
    "scalar": np.float32(1.5),
    "large": np.arange(50_000, dtype=np.int64),
}


class Evil:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


class Plain:
    """A class of the program that wrote the file."""

    def __init__(self) -> None:
        self.layers = [64, 32]


def outcome_of(data: bytes) -> str:
    """Return "read", or the message of the refusal."""
    try:
        read_pickle(data)
    except ConversionError as error:
        return str(error)
    return "read"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_are_what_pickle_loads(protocol: int) -> None:
    data = pickle.dumps(PLAIN, protocol)
    found = read_pickle(data)
    assert found.value == PLAIN
    assert not found.called
    assert found.end == len(data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_what_pickle_loads(name: str, protocol: int) -> None:
    expected = ARRAYS[name]
    found = read_pickle(pickle.dumps([expected, expected], protocol)).value
    assert isinstance(found, list)
    for value in found:  # the second comes out of the memo
        np.testing.assert_array_equal(value, expected)
        assert value.dtype == expected.dtype
        assert value.flags["F_CONTIGUOUS"] == expected.flags["F_CONTIGUOUS"]


def test_arrays_of_objects_keep_their_items() -> None:
    array = np.empty(2, object)
    array[:] = [{"a": np.arange(3)}, "b"]
    found = read_pickle(pickle.dumps(array, 3)).value
    assert isinstance(found, ObjectArray)
    assert found.shape == (2,)
    first, second = found.items
    assert isinstance(first, dict)
    np.testing.assert_array_equal(first["a"], np.arange(3))
    assert second == "b"


def test_a_deque_is_a_list_of_its_items() -> None:
    assert read_pickle(pickle.dumps(deque([1, 2]), 2)).value == [1, 2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_are_their_class_and_attributes(protocol: int) -> None:
    found = read_pickle(pickle.dumps(Plain(), protocol))
    value = found.value
    assert isinstance(value, PickledObject)
    name = value.function if isinstance(value.function, Reference) else Reference("", "")
    assert name.name == "Plain"
    assert value.attributes == {"layers": [64, 32]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("call", ["system", "eval", "exec", "mkdir"])
def test_nothing_is_called(call: str, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    functions = {
        "system": Evil(os.system, f"mkdir {marker}"),
        "eval": Evil(eval, f"__import__('os').mkdir({str(marker)!r})"),
        "exec": Evil(exec, f"import os; os.mkdir({str(marker)!r})"),
        "mkdir": Evil(os.mkdir, str(marker)),
    }
    data = pickle.dumps({"weights": np.zeros(3), "evil": functions[call]}, protocol)
    found = read_pickle(data)
    assert isinstance(found.value, dict)
    assert isinstance(found.value["evil"], PickledObject)
    assert any(name.endswith(call) for name in found.called)
    assert not marker.exists()
    pickle.loads(data)  # noqa: S301  # the file is as hostile as it looks
    assert call == "system" or marker.exists()


@pytest.mark.parametrize("protocol", [2, 5])
def test_persistent_ids_and_further_constructors_come_from_the_caller(protocol: int) -> None:
    class Writer(pickle.Pickler):
        def persistent_id(self, item: object) -> object:
            return ("storage", item.size) if isinstance(item, np.ndarray) else None

    stream = io.BytesIO()
    Writer(stream, protocol).dump({"weight": np.arange(4), "class": Evil(os.path.join, "a", "b")})
    found = read_pickle(
        stream.getvalue(),
        persistent=lambda identity: ("found", identity),
        constructors={"posixpath.join": lambda *parts: list(parts)},
    )
    assert found.value == {"weight": ("found", ("storage", 4)), "class": ["a", "b"]}
    assert not found.called
    unnamed = read_pickle(stream.getvalue()).value
    assert isinstance(unnamed, dict)
    assert unnamed["weight"].path == "persistent.id"


def test_every_truncation_is_refused() -> None:
    data = pickle.dumps({"a": np.arange(3), "b": [1, "x", 2.5]}, 4)
    for size in range(len(data)):
        with pytest.raises(ConversionError):
            read_pickle(data[:size])


@pytest.mark.slow
def test_damaged_pickles_are_read_or_refused_quickly() -> None:
    rng = np.random.default_rng(5)
    pickles = [pickle.dumps([PLAIN, ARRAYS["matrix"], Plain()], protocol) for protocol in PROTOCOLS]
    started = time.process_time()
    for number in range(MUTANTS):
        data = np.frombuffer(pickles[number % len(pickles)], np.uint8).copy()
        places = rng.integers(0, len(data), rng.integers(1, 6))
        data[places] = rng.integers(0, 256, len(places))
        assert "\n" not in outcome_of(data.tobytes())
    assert time.process_time() - started < MUTANTS / 25


BOMBS = {
    "lists in lists": b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
    "tuples in tuples": b"\x80\x02)" + b"\x85" * 300_000 + b".",
    "doubled by the memo": b"\x80\x02]q\x00" + b"(h\x00h\x00h\x00h\x00lq\x00" * 20_000 + b".",
    "itself": b"\x80\x02]q\x00h\x00a.",
    "a deep key": b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
    "doubled key": b"\x80\x02})q\x00" + b"h\x00h\x00\x86q\x00" * 40 + b"K\x01s.",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_little(name: str) -> None:
    started = time.process_time()
    assert "\n" not in outcome_of(BOMBS[name])
    assert time.process_time() - started < 10


COPIED = {
    "list": (b"cbuiltins\nlist\n", b"(" + b"K\x01" * 1000 + b"l"),
    "text": (b"c_codecs\nencode\n", b"X" + struct.pack("<I", 1000) + b"a" * 1000),
}


@pytest.mark.parametrize("name", COPIED)
def test_what_the_memo_gives_again_is_not_copied_without_end(name: str) -> None:
    function, argument = COPIED[name]
    data = (
        b"\x80\x04" + function + b"q\x01" + argument + b"q\x02(" + b"h\x01h\x02\x85R" * 500 + b"l."
    )

    with pytest.raises(UnsafeFileError, match="copies more than the"):
        read_pickle(data)


REFUSED = {
    "text longer than the file": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"a.",
    "negative length": b"\x80\x02T" + struct.pack("<i", -5) + b".",
    "unknown opcode": b"\x80\x02\xff.",
    "newer protocol": b"\x80\x09N.",
    "extension": b"\x80\x02\x82\x01.",
    "outside buffer": b"\x80\x05\x97.",
    "empty stack": b"\x80\x02R.",
    "mark as value": b"\x80\x02(.",
    "memo without entry": b"\x80\x02h\x05.",
    "digits without end": b"L" + b"9" * 10_000 + b"\n.",
    "colliding keys": b"\x80\x02}\x8a\x09" + (2**61 - 1).to_bytes(9, "little") + b"Ns.",
    "no bytes": b"",
}


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_pickles_are_refused(name: str) -> None:
    with pytest.raises(UnreadableFileError, match="damaged at byte"):
        read_pickle(REFUSED[name])


def test_more_objects_than_the_limit_are_refused() -> None:
    with pytest.raises(UnsafeFileError, match="more than 100 objects"):
        read_pickle(pickle.dumps(list(range(200))), limits=Limits(max_names=100))


def test_an_array_that_is_larger_than_its_bytes_is_refused() -> None:
    data = pickle.dumps(np.zeros(3, np.float32), 3).replace(b"K\x03\x85", b"K\x07\x85", 1)
    with pytest.raises(UnreadableFileError, match="has 12 bytes"):
        read_pickle(data)


def test_a_structured_type_is_refused() -> None:
    data = pickle.dumps(np.zeros(2, [("a", "f4"), ("b", "i8")]), 3)
    with pytest.raises(UnreadableFileError, match=r"no type of numbers|a structure"):
        read_pickle(data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "lzma"])
def test_compressed_content_is_unpacked_up_to_a_limit(kind: str) -> None:
    import bz2
    import gzip
    import lzma

    content = np.random.default_rng(1).bytes(1_100_000) + bytes(100_000)
    pack = {"zlib": zlib, "gzip": gzip, "bz2": bz2, "lzma": lzma}[kind].compress
    packed = pack(content)
    assert decompress(packed, limit=len(content)) == content
    with pytest.raises(UnsafeFileError, match="unpacks to more than"):
        decompress(packed, limit=len(content) - 1)
    with pytest.raises(UnreadableFileError, match="damaged"):
        decompress(packed[: len(packed) // 2], limit=len(content))


class Set:
    """Gets its state from a function of its own, as cloudpickle does it for classes."""

    def __reduce__(self) -> tuple[object, ...]:
        return Plain, (), {"layers": [8]}, None, None, set_state


def set_state(target: object, state: object) -> None:
    """Stand for what would set the state."""


def test_what_a_function_sets_is_the_state() -> None:
    found = read_pickle(pickle.dumps([Set(), 1])).value
    assert isinstance(found, list)
    target, number = found
    assert isinstance(target, PickledObject)
    assert (target.path.rpartition(".")[2], target.state, number) == ("Plain", {"layers": [8]}, 1)
