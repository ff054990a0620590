"""Converted modules of every kind of network are accepted whole by torch.compile and torch.export, and train.

The compiler's own code generation is left out ("eager", "aot_eager"): whether there is one graph is decided before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import torchward
from converters.live.model import ConvertedModel
from parity_tests import FIXTURES

CASES = {
    "k315_conv_bn": "model.keras",
    "k315_lstm_stack_td": "model.keras",
    "k315_gru_policy": "model.keras",
    "k315_simple_rnn_backwards": "model.keras",
    "k315_actor_critic": "model.keras",
    "k315_shared_layers": "model.keras",
    "k315_sac_actor": "model.keras",
    "tf215_nested_bn": "model.h5",
}
QUICK = ("k315_actor_critic", "k315_sac_actor")
PARAMS = [
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow], id=name) for name in CASES
]


@pytest.fixture(params=PARAMS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ConvertedModel]:
    torchward.convert(FIXTURES / request.param / CASES[request.param], tmp_path / "m.pth")
    yield torchward.load(tmp_path / "m.pth")
    torch.compiler.reset()


def inputs_of(model: ConvertedModel, batch: int) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    shapes = [value.shape or () for value in model.architecture.inputs]
    return [
        torch.randn([batch, *(size or 6 for size in shape[1:])], generator=draws)
        for shape in shapes
    ]


def tensors(outputs: object) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return list(values)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
def test_module_is_one_graph_for_the_compiler(model: ConvertedModel) -> None:
    inputs = inputs_of(model, 3)
    compiled = torch.compile(model, fullgraph=True, backend="eager")

    with torch.no_grad():
        for y, z in zip(tensors(compiled(*inputs)), tensors(model(*inputs)), strict=True):
            torch.testing.assert_close(y, z, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_compiled_module_trains(model: ConvertedModel) -> None:
    model.train()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    inputs = inputs_of(model, 3)

    sum(y.square().mean() for y in tensors(compiled(*inputs))).backward()  # type: ignore[union-attr, no-untyped-call]

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    assert any(float(parameter.grad.abs().max()) > 0 for parameter in trained)  # type: ignore[union-attr]


@pytest.mark.slow
def test_module_is_exported_with_a_free_batch(model: ConvertedModel) -> None:
    free = {0: torch.export.Dim.DYNAMIC}
    inputs = inputs_of(model, 2)

    program = torch.export.export(model, tuple(inputs), dynamic_shapes=((free,) * len(inputs),))

    others = inputs_of(model, 5)
    with torch.no_grad():
        for y, z in zip(tensors(program.module()(*others)), tensors(model(*others)), strict=True):
            torch.testing.assert_close(y, z, rtol=0, atol=0)
