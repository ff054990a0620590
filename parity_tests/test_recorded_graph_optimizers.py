"""Training goes on from graphs: optimizers of several kinds, of partitioned and transposed kernels, of models whose structure is code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import torchward
from parity_tests import FIXTURES
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer

UPDATES = 5
pytestmark = pytest.mark.slow
LOSSES: Mapping[str, Callable[[Mapping[str, Tensor]], Tensor]] = {
    "tf1_four_optimizers": lambda found: found["q"].mean(),
    "tf1_transposed_kernel": lambda found: (found["y"] - 1).square().mean(),
    "tf1_partitioned_adam": lambda found: found["y"].square().mean(),
}


def recorded(case: str) -> dict[str, NDArray[Any]]:
    with np.load(FIXTURES / case / "expected.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}


def converted(case: str, folder: Path, suffix: str = ".pth") -> tuple[Path, list[str], list[str]]:
    stated = json.loads((FIXTURES / case / "meta.json").read_text())
    inputs, outputs = dict(stated["placeholders"]), dict(stated["outputs"])
    path = folder / f"out{suffix}"
    torchward.convert(FIXTURES / case / "model.ckpt", path, inputs=inputs, outputs=outputs)
    return path, list(inputs), list(outputs)


@pytest.mark.parametrize("case", LOSSES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_training_of_a_graph_goes_on_as_in_tensorflow(
    case: str, suffix: str, tmp_path: Path
) -> None:
    arrays = recorded(case)
    path, inputs, outputs = converted(case, tmp_path, suffix)
    model, optimizer = torchward.load(path, optimizer=True)
    given = [torch.from_numpy(arrays[name]) for name in inputs]

    for _ in range(UPDATES):
        optimizer.zero_grad()
        LOSSES[case](model(*given)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()
    with torch.no_grad():
        found = model(*given)

    for name in outputs:
        np.testing.assert_allclose(found[name], arrays[f"after_{name}"], rtol=1e-5, atol=2e-6)
        assert np.abs(arrays[name] - arrays[f"after_{name}"]).max() > 1e-2


def test_every_network_keeps_the_optimizer_it_had(tmp_path: Path) -> None:
    path, _, _ = converted("tf1_four_optimizers", tmp_path)

    model, optimizer = torchward.load(path, optimizer=True)

    assert isinstance(optimizer, KerasOptimizer)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        group["kind"] + ("*" if group.get("momentum") else ""): {
            names[id(parameter)].split(".")[0].partition("_dense")[0]
            for parameter in group["params"]
        }
        for group in optimizer.param_groups
    }
    assert found == {
        "Adam": {"agent_0"},
        "SGD": {"agent_1"},
        "SGD*": {"agent_2"},
        "RMSprop": {"critic"},
    }


def test_a_subclassed_saved_model_trains_on_and_its_frozen_layer_does_not(tmp_path: Path) -> None:
    arrays = recorded("tf215_subclassed_frozen")
    torchward.convert(FIXTURES / "tf215_subclassed_frozen" / "savedmodel", tmp_path / "out.pth")
    model, optimizer = torchward.load(tmp_path / "out.pth", optimizer=True)
    x, wanted = torch.from_numpy(arrays["x0"]), torch.from_numpy(arrays["t0"])

    losses = []
    for _ in arrays["resume_loss"]:
        optimizer.zero_grad()
        loss = (only(model(x)) - wanted).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())

    np.testing.assert_allclose(losses, arrays["resume_loss"], rtol=1e-5)
    np.testing.assert_allclose(only(model(x)).detach(), arrays["yafter0"], rtol=1e-5, atol=1e-6)
    assert sum(not parameter.requires_grad for parameter in model.parameters()) == 2


def only(found: Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]) -> Tensor:
    if isinstance(found, Tensor):
        return found
    [value] = found.values() if isinstance(found, Mapping) else found
    return value
