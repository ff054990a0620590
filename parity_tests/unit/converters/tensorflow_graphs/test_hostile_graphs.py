"""Graphs made to hurt, and what is said of graphs that do not convert. Nothing in here needs TensorFlow."""

from __future__ import annotations

import contextlib
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from converters.errors import (
    ConversionError,
    MismatchError,
    UnreadableFileError,
    UnsafeFileError,
    UnsupportedError,
)
from converters.plan import plan_conversion
from converters.programs import with_program
from converters.readers import read_checkpoint
from parity_tests import FIXTURES
from parity_tests.mutants.damage import damaged

GRAPHS = {
    "tf1_opt_adam/m.ckpt-4.meta": ("m.ckpt-4", ["y/BiasAdd:0"]),
    "tf1_raw_variables_pg/v1/pg_v1.ckpt": ("pg_v1.ckpt", ["add:0"]),
    "tf1_conv_bn_ema/frozen.pb": ("frozen.pb", ["q_net/out/BiasAdd:0"]),
    "k315_lstm_policy/exported/saved_model.pb": (".", None),
}
"""File that is damaged, to what is converted in its folder and the outputs asked for."""
MUTANTS = 60
X = 'node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "shape" value { shape { dim { size: -1 } dim { size: 3 } } } } }\n'


def node(name: str, op: str, *inputs: str, **attributes: str) -> str:
    taken = " ".join(f'input: "{each}"' for each in inputs)
    kept = " ".join(
        f'attr {{ key: "{key}" value {{ {value} }} }}' for key, value in attributes.items()
    )
    return f'node {{ name: "{name}" op: "{op}" {taken} {kept} }}\n'


def convert(folder: Path, text: str, outputs: list[str]) -> None:
    (folder / "graph.pbtxt").write_text(text)
    plan_conversion(with_program(read_checkpoint(folder / "graph.pbtxt"), None, outputs))


@pytest.mark.slow
@pytest.mark.parametrize("path", GRAPHS)
def test_damaged_graph_is_converted_or_refused(path: str, tmp_path: Path) -> None:
    original = FIXTURES / path
    shutil.copytree(original.parent, tmp_path, dirs_exist_ok=True)
    source, outputs = GRAPHS[path]
    data = original.read_bytes()
    for seed in range(MUTANTS):
        (tmp_path / original.name).write_bytes(damaged(data, np.random.default_rng(seed)))
        try:
            plan_conversion(with_program(read_checkpoint(tmp_path / source), None, outputs))
        except ConversionError:
            continue


def test_graph_that_goes_in_a_circle_is_refused(tmp_path: Path) -> None:
    text = X + node("a", "Add", "x", "b") + node("b", "Relu", "a")

    with pytest.raises(UnsupportedError, match="goes in a circle"):
        convert(tmp_path, text, ["b:0"])


@pytest.mark.slow
def test_long_chain_of_nodes_does_not_exhaust_the_stack(tmp_path: Path) -> None:
    chain = "".join(node(f"n{i + 1}", "Relu", f"n{i}") for i in range(1500))

    convert(tmp_path, X + node("n0", "Tanh", "x") + chain, ["n1500:0"])


def test_unknown_operations_are_listed_with_their_number(tmp_path: Path) -> None:
    text = X + node("a", "Bessel", "x") + node("b", "Bessel", "x") + node("c", "Qr", "x")

    with pytest.raises(
        UnsupportedError, match=r"3 nodes .* cannot be converted \(2 Bessel, 1 Qr\)"
    ):
        convert(tmp_path, text, ["a:0", "b:0", "c:0"])


def test_enormous_constant_is_refused(tmp_path: Path) -> None:
    shape = "tensor { dtype: DT_FLOAT tensor_shape { dim { size: 1000000 } dim { size: 1000000 } } float_val: 1 }"
    text = X + node("c", "Const", value=shape) + node("y", "Add", "x", "c")

    with pytest.raises(UnreadableFileError, match="larger than the limit"):
        convert(tmp_path, text, ["y:0"])


def test_numbers_without_end_are_not_folded(tmp_path: Path) -> None:
    number = "tensor { dtype: DT_INT32 tensor_shape { dim { size: 1 } } int_val: 2000000000 }"
    one = "tensor { dtype: DT_FLOAT tensor_shape { } float_val: 1 }"
    text = X + node("s", "Const", value=number) + node("v", "Const", value=one)
    text += node("f", "Fill", "s", "v") + node("y", "Add", "x", "f")

    with pytest.raises(ConversionError):
        convert(tmp_path, text, ["y:0"])


@pytest.mark.slow
def test_many_small_nodes_cannot_make_numbers_without_end(tmp_path: Path) -> None:
    size = "tensor { dtype: DT_INT32 tensor_shape { dim { size: 1 } } int_val: 4000000 }"
    one = "tensor { dtype: DT_FLOAT tensor_shape { } float_val: 1 }"
    text = X + node("s", "Const", value=size) + node("v0", "Const", value=one)
    for turn in range(10):
        text += node(f"f{turn}", "Fill", "s", f"v{turn}")
        axis = "tensor { dtype: DT_INT32 tensor_shape { dim { size: 1 } } int_val: 0 }"
        text += node(f"a{turn}", "Const", value=axis)
        text += node(f"v{turn + 1}", "Max", f"f{turn}", f"a{turn}")
    text += node("y", "Add", "x", "v10")

    with pytest.raises(UnsafeFileError, match=r"node 'f8': 36,000,0\d\d numbers are made"):
        convert(tmp_path, text, ["y:0"])


@pytest.mark.slow
@pytest.mark.parametrize("written", [1, 2], ids=["one number", "two numbers"])
def test_constants_that_repeat_a_number_take_no_memory(written: int, tmp_path: Path) -> None:
    numbers = " ".join(["float_val: 1"] * written)
    shape = f"tensor {{ dtype: DT_FLOAT tensor_shape {{ dim {{ size: 12000000 }} }} {numbers} }}"
    text = X
    for turn in range(12):
        text += node(f"c{turn}", "Const", value=shape) + node(f"p{turn}", "Shape", f"c{turn}")
        text += node(f"z{turn}", "Cast", f"p{turn}", DstT="type: DT_FLOAT")
    text += node("y", "AddN", "x", *(f"z{turn}" for turn in range(12)))
    tracemalloc.start()

    with contextlib.suppress(UnsupportedError):
        convert(tmp_path, text, ["y:0"])

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150_000_000


def test_diagonal_of_a_long_vector_is_refused(tmp_path: Path) -> None:
    shape = "shape { dim { size: -1 } dim { size: 100000000 } }"
    text = node("x", "Placeholder", dtype="type: DT_FLOAT", shape=shape) + node(
        "y", "MatrixDiag", "x"
    )

    with pytest.raises(UnsupportedError, match="numbers are made of constants"):
        convert(tmp_path, text, ["y:0"])


def test_random_numbers_are_refused_and_may_be_given(tmp_path: Path) -> None:
    number = "tensor { dtype: DT_INT32 tensor_shape { dim { size: 1 } } int_val: 3 }"
    text = X + node("s", "Const", value=number)
    text += node("draw", "RandomStandardNormal", "s", dtype="type: DT_FLOAT")
    text += node("y", "Add", "x", "draw")

    with pytest.raises(UnsupportedError, match="name 'draw:0' among the inputs"):
        convert(tmp_path, text, ["y:0"])


def test_output_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"output 'reluu:0' is not in the graph; nearest: relu"):
        convert(tmp_path, X + node("relu", "Relu", "x"), ["reluu:0"])


def test_line_of_a_text_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="line 2 of the text"):
        convert(tmp_path, X + 'node { nam: "y" }\n', ["y:0"])


def test_deep_messages_are_refused(tmp_path: Path) -> None:
    deep = "value { " * 5000
    with pytest.raises(UnreadableFileError, match=r"nested more than|has no field"):
        convert(tmp_path, X + 'node { name: "y" op: "Relu" attr { ' + deep, ["y:0"])


def test_empty_lines_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "graph.pbtxt").write_text(X + node("y", "Relu", "x") + "\n" * 2_000_000)

    plan_conversion(with_program(read_checkpoint(tmp_path / "graph.pbtxt"), None, ["y:0"]))
