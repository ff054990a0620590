"""Traced output formats: written, loaded by their own libraries, and run on a batch size that was not traced."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import torchward
from converters.convert import make_content
from converters.errors import ConversionError, UnsupportedError
from converters.plan import plan_conversion
from converters.readers import read_checkpoint
from converters.traced.program import compare, trace
from parity_tests import FIXTURES

BATCH = 7
TOP_K = """
node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "shape" value { shape { dim { size: -1 } dim { size: 5 } } } } }
node { name: "k" op: "Const" attr { key: "value" value { tensor { dtype: DT_INT32 tensor_shape { } int_val: 2 } } } }
node { name: "best" op: "TopKV2" input: "x" input: "k" }
"""


@pytest.mark.slow
@pytest.mark.parametrize("case", ["k315_conv_bn", "k315_gru_policy", "k315_actor_critic"])
def test_exported_program_runs_without_torchward_on_any_batch(case: str, tmp_path: Path) -> None:
    torchward.convert(FIXTURES / case / "model.keras", tmp_path / "m.pth")
    torchward.convert(FIXTURES / case / "model.keras", tmp_path / "m.pt2")
    model = torchward.load(tmp_path / "m.pth")
    inputs = [
        torch.randn([BATCH, *[size or 9 for size in value.shape[1:]]])  # type: ignore[index]
        for value in model.architecture.inputs
    ]

    program = torch.export.load(tmp_path / "m.pt2")

    with torch.no_grad():
        torch.testing.assert_close(program.module()(*inputs), model(*inputs), rtol=0, atol=0)


@pytest.mark.slow
def test_equal_inputs_give_equal_bytes_without_paths(tmp_path: Path) -> None:
    source = FIXTURES / "k315_mlp_named" / "model.keras"

    for name in ("a", "b"):
        torchward.convert(source, tmp_path / name, format="pt2")

    data = [(tmp_path / name).read_bytes() for name in ("a", "b")]
    assert hashlib.sha256(data[0]).digest() == hashlib.sha256(data[1]).digest()
    assert str(Path(torchward.__file__).parent).encode() not in data[0]


@pytest.mark.slow
def test_onnx_model_has_the_legacy_names_and_a_free_batch(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from onnx.reference import ReferenceEvaluator

    source = FIXTURES / "k315_image_and_vector" / "model.keras"
    torchward.convert(source, tmp_path / "m.pth")
    report = torchward.convert(source, tmp_path / "m.onnx")
    model = torchward.load(tmp_path / "m.pth")
    names = [value.name for value in model.architecture.inputs]
    inputs = [torch.randn([BATCH, *value.shape[1:]]) for value in model.architecture.inputs]  # type: ignore[index, misc]

    proto = onnx.load(tmp_path / "m.onnx")

    assert [value.name for value in proto.graph.input] == names
    found = ReferenceEvaluator(proto).run(
        None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
    )
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found[0]), model(*inputs), rtol=1e-5, atol=1e-5)
    assert str(Path(torchward.__file__).parent).encode() not in (tmp_path / "m.onnx").read_bytes()
    assert "onnx holds the computation at inference only" in report.notes


def test_missing_onnx_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)

    with pytest.raises(UnsupportedError, match="needs onnx and onnxscript") as caught:
        torchward.convert(FIXTURES / "k315_mlp_named" / "model.keras", tmp_path / "m.onnx")

    assert caught.value.hint == "pip install 'torchward[onnx]'"
    assert not list(tmp_path.iterdir())


def test_program_that_computes_something_else_is_not_written() -> None:
    plan = plan_conversion(read_checkpoint(FIXTURES / "k315_mlp_named" / "model.keras"))
    traced = trace(make_content(plan, dict, {}))
    inputs = tuple(x + 1 for x in traced.inputs)
    with torch.no_grad():
        (y,) = [traced.model(*inputs)]

    compare("it", traced, inputs, [y * (1 + 1e-7)], relative=1e-6)
    with pytest.raises(ConversionError, match="it differs from the module in output 0"):
        compare("it", traced, inputs, [y + y.abs().max() * 1e-3], relative=1e-6)
    with pytest.raises(ConversionError, match="gives shapes"):
        compare("it", traced, inputs, [y[:1]], relative=1e-6)


def test_input_of_unknown_shape_cannot_be_traced() -> None:
    plan = plan_conversion(read_checkpoint(FIXTURES / "k315_mlp_named" / "model.keras"))
    content = make_content(plan, dict, {})
    inputs = [
        [entry[0], None, *entry[2:]]
        for entry in content.architecture["inputs"]  # type: ignore[index, attr-defined]
    ]

    with pytest.raises(UnsupportedError, match="has no known shape"):
        trace(replace(content, architecture={**(content.architecture or {}), "inputs": inputs}))


@pytest.mark.slow
def test_places_of_the_largest_become_one_operation_of_onnx(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    (tmp_path / "graph.pbtxt").write_text(TOP_K)

    torchward.convert(tmp_path / "graph.pbtxt", tmp_path / "m.onnx", outputs={"best": "best:1"})

    assert "TopK" in {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
