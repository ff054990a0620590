"""Facts of a TensorFlow 1 graph, from recorded files and from messages written by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from converters.errors import UnreadableFileError
from converters.limits import Limits
from converters.readers.files.source import OpenFile
from converters.readers.tensorflow.meta_graph import GraphFacts, read_graph_facts
from parity_tests import FIXTURES


def part(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(number: int) -> bytes:
    low = number & 0x7F
    return bytes([low]) if number < 0x80 else bytes([low | 0x80]) + varint(number >> 7)


def node(name: str, op: str, *inputs: str, attributes: bytes = b"") -> bytes:
    content = part(1, name.encode()) + part(2, op.encode())
    content += b"".join(part(3, each.encode()) for each in inputs)
    return part(1, content + attributes)


def constant(name: str, value: float) -> bytes:
    tensor = part(1, 1) + bytes([5 << 3 | 5]) + struct.pack("<f", value)
    entry = part(1, b"value") + part(2, part(8, tensor))
    return node(name, "Const", attributes=part(5, entry))


def read(folder: Path, graph: bytes) -> GraphFacts:
    file = folder / "model.meta"
    file.write_bytes(part(2, graph))
    return read_graph_facts(OpenFile(file), Limits())


def test_recorded_graph_says_shapes_and_numbers_of_its_optimizer() -> None:
    file = FIXTURES / "rrd_basis_dqn_dueling_conv" / "saved" / "model.meta"

    facts = read_graph_facts(OpenFile(file), Limits())

    assert list(facts.placeholders[:3]) == [(None, 42, 42, 4), (None, 42, 42, 4), (None, 5)]
    assert len(facts.updates) == 14
    update = facts.updates["main/value/net/q_base/bias"]
    expected = {"learning_rate": 2.5e-4, "decay": 0.95, "momentum": 0.0, "epsilon": 1e-2}
    assert update.constants == pytest.approx(expected)


def test_variables_are_found_through_reads_and_casts(tmp_path: Path) -> None:
    graph = b"".join(
        [
            node("weight", "VarHandleOp"),
            node("power", "VarHandleOp"),
            node("read", "ReadVariableOp", "power"),
            node("cast", "Cast", "read:0"),
            constant("rate", 0.5),
            node("step", "ResourceApplyAdam", "weight", "m", "v", "cast", "unknown", "rate"),
        ]
    )

    update = read(tmp_path, graph).updates["weight"]

    assert update.variables == {"beta1_power": "power"}
    assert update.constants == {"learning_rate": 0.5}


def test_copies_in_a_circle_end(tmp_path: Path) -> None:
    graph = node("a", "Identity", "b") + node("b", "Identity", "a")

    facts = read(tmp_path, graph + node("step", "ApplyAdam", "a", "m", "v", "a", "b"))

    assert [update.variables for update in facts.updates.values()] == [{}]


@pytest.mark.parametrize("length", [1, 5, 11])
def test_cut_graph_is_refused(length: int, tmp_path: Path) -> None:
    file = tmp_path / "model.meta"
    file.write_bytes(part(2, constant("rate", 0.5))[:-length])

    with pytest.raises(UnreadableFileError):
        read_graph_facts(OpenFile(file), Limits())


def test_graph_over_the_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.meta"
    file.write_bytes(bytes(11))

    with pytest.raises(UnreadableFileError, match="limit is 10"):
        read_graph_facts(OpenFile(file), Limits(max_json_bytes=10))
