"""Recurrent layers whose time axis is free: traced, they take sequences of any length and give what the layer gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.export import Dim

from converters.architecture import Architecture, InputValue, Step
from converters.errors import UnsupportedError
from converters.traced.loops import kept_loops
from converters.traced.program import trace
from converters.writers.content import Content
from torch_impl.keras_compat.conv_recurrent import ConvLSTM
from torch_impl.keras_compat.recurrent import GRU, LSTM, MaskedLSTM, SimpleRNN

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "LSTM": lambda: LSTM(3, 4, return_sequences=True, return_state=True),
    "LSTM backwards": lambda: LSTM(3, 4, activation=torch.relu, go_backwards=True),
    "GRU": lambda: GRU(3, 4),
    "GRU of Keras 1": lambda: GRU(3, 4, reset_after=False, use_bias=False, return_sequences=True),
    "SimpleRNN": lambda: SimpleRNN(3, 4, activation=torch.relu),
}


def outputs(module: Callable[..., object], *inputs: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        found = module(*inputs)
    return list(found) if isinstance(found, tuple) else [found]  # type: ignore[list-item]


def assert_equal(module: nn.Module, *inputs: torch.Tensor) -> None:
    """Compare the module with itself while its loops are kept."""
    wanted = outputs(module, *inputs)
    with kept_loops(module):
        found = outputs(module, *inputs)
    for value, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(value, want, rtol=0, atol=1e-13)


def floats(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))).double()


@pytest.mark.slow
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_kept_loop_computes_what_the_layer_does(make: Callable[[], nn.Module]) -> None:
    assert_equal(make().double().eval(), floats(2, 5, 3))


@pytest.mark.slow
def test_a_kept_loop_passes_over_masked_steps() -> None:
    layer = MaskedLSTM(3, 4, return_state=True).double().eval()
    mask = torch.tensor([[True, False, True, True, False], [False] * 5])

    assert_equal(layer, floats(2, 5, 3), mask)


@pytest.mark.slow
def test_a_kept_loop_convolves() -> None:
    layer = ConvLSTM(2, 3, kernel_size=(2, 3), return_sequences=True).double().eval()

    assert_equal(layer, floats(2, 4, 2, 5, 6))


@pytest.mark.slow
# torch 2.13 imports something of its own while it traces a scan for the first time.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
@pytest.mark.parametrize("make", [LAYERS["LSTM"], LAYERS["GRU of Keras 1"]], ids=["LSTM", "GRU"])
def test_an_exported_loop_takes_sequences_of_any_length(make: Callable[[], nn.Module]) -> None:
    layer = make().double().eval()
    with kept_loops(layer):
        program = torch.export.export(
            layer,
            (floats(2, 8, 3),),
            dynamic_shapes=({0: Dim.DYNAMIC, 1: Dim.DYNAMIC},),
            strict=False,
        )

    for length in (3, 24):
        x = floats(5, length, 3)
        for value, want in zip(outputs(program.module(), x), outputs(layer, x), strict=True):
            torch.testing.assert_close(value, want, rtol=0, atol=1e-13)


def test_layers_get_their_own_loops_back() -> None:
    layer = LSTM(3, 4)
    with kept_loops(layer):
        assert "run" in vars(layer)

    assert "run" not in vars(layer)


@pytest.mark.slow
def test_a_free_axis_that_the_program_would_fix_is_refused() -> None:
    steps = (Step("torch.reshape", ("x",), "y", kwargs={"shape": (-1, 24)}),)
    inputs = (InputValue("x", (None, None, 3), "float32", "x"),)
    architecture = Architecture("Net", inputs, ("y",), steps)
    content = Content((), None, architecture.to_data(), dict, {})

    with pytest.raises(UnsupportedError, match=r"axis 1 of input 'x'|fixes a size"):
        trace(content)
