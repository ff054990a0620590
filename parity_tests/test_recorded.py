"""Every recorded file converted without TensorFlow, against what the framework that wrote it computed.

Nothing is expected by our own account: outputs, losses and weights after further updates are in `expected.npz`.
"""

from __future__ import annotations

import ast
import json
import runpy
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _pytest.mark.structures import ParameterSet
from numpy.typing import NDArray
from torch import Tensor, nn

import torchward
from converters.errors import UnsupportedError
from converters.live.losses import find_loss
from converters.live.model import ConvertedModel
from converters.live.own_layers import with_own_layers
from converters.plan import plan_conversion
from converters.planned import Plan
from converters.readers import read_checkpoint
from converters.report import ConversionReport
from parity_tests import FIXTURES
from parity_tests.recorded_networks import (
    WEIGHTS,
    WHOLE,
    WRITTEN_BY_HAND,
    Recorded,
    architecture_for,
    inputs_of,
    numbered,
    outputs_of,
    recorded_files,
    recorded_learning_rate,
    recorded_losses,
    recorded_weights,
)
from torch_impl.keras_compat.compiled_loss import KerasLoss
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer

CONTINUATION_FACTOR = 10
"""Recorded outputs hold to `tolerance_hint`; rounding grows over the updates that follow."""
ROUNDING_ONLY: dict[str, tuple[tuple[str, str], ...]] = dict.fromkeys(
    ("k315_nested_bn", "tf215_nested_bn"), (("dense", "bias"), ("dense_1", "bias"))
)
ROUNDING_ONLY |= dict.fromkeys(
    ("k315_conv_bn", "tf212_conv_bn", "tf215_conv_bn"), (("depthwise_conv2d", "bias"),)
)
"""Biases directly before a batch normalization: their exact gradient is 0, Adam divides its rounding noise by its own
size and moves them anywhere within lr of the last step. They change no output in training and are checked by that bound."""

LOSS_WEIGHTS = dict.fromkeys(
    ("k224_a3c_two_heads", "k315_actor_critic", "tf212_actor_critic", "tf215_actor_critic"),
    (1.0, 0.5),
)
"""As compiled; the other cases with two outputs add their losses."""
FILES = recorded_files()
CONTINUED = [item for item in FILES if item.continues]


def quick_first(items: Sequence[Recorded]) -> list[ParameterSet]:
    """Mark what quick runs leave out: further files of a case whose format others of their generation have."""
    cases: set[str] = set()
    kinds: set[tuple[str, str]] = set()
    marked = []
    for item in items:
        kind = (item.case.split("_")[0], item.format)
        known = item.case in cases and kind in kinds
        marked.append(pytest.param(item, id=str(item), marks=[pytest.mark.slow] if known else []))
        cases.add(item.case)
        kinds.add(kind)
    return marked


def as_list(result: Tensor | tuple[Tensor, ...] | dict[str, Tensor]) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return list(result.values()) if isinstance(result, dict) else list(result)


def assert_close(
    legacy: Sequence[NDArray[Any]], torch_side: Sequence[Tensor], tolerance: float, what: str
) -> None:
    for index, (wanted, found) in enumerate(zip(legacy, torch_side, strict=True)):
        values = found.detach().double().numpy()
        assert values.shape == wanted.shape, f"{what} {index}"
        scale = max(1.0, float(np.abs(wanted).max()))
        worst = float(np.abs(values - wanted).max()) / scale
        assert worst <= tolerance, f"{what} {index} is off by {worst:.2e}, allowed {tolerance:.0e}"


@dataclass(frozen=True)
class Conversion:
    """A file converted to both formats and to source."""

    pth: Path
    safetensors: Path
    source: Path
    report: ConversionReport
    plan: Plan


class Conversions:
    """Converts each recorded file once for all tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done: dict[Recorded, Conversion] = {}

    def of(self, item: Recorded) -> Conversion:
        if item not in self._done:
            folder = self._folder / f"{item.case}-{item.file}"
            folder.mkdir()
            architecture = architecture_for(item, folder)
            paths = (folder / "model.pth", folder / "model.safetensors", folder / "model.py")
            given: dict[str, Any] = {"architecture": architecture, "layers": item.layers}
            report = torchward.convert(item.path, paths[0], **given, source_code=paths[2])
            torchward.convert(item.path, paths[1], **given, format="safetensors")
            checkpoint = read_checkpoint(item.path, architecture=architecture)
            plan = plan_conversion(with_own_layers(checkpoint, item.layers))
            self._done[item] = Conversion(*paths, report, plan)
        return self._done[item]


@pytest.fixture(scope="module")
def conversions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversions]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Conversions(tmp_path_factory.mktemp("recorded"))
    torch.set_num_threads(threads)


def test_recorded_files_are_of_every_format_and_generation() -> None:
    found = {item.format for item in FILES}
    generations = {item.case.split("_")[0] for item in FILES}

    assert found == {*WHOLE, *WEIGHTS}
    assert {
        "k122",
        "k208",
        "k224",
        "k231",
        "tf115keras",
        "tf212",
        "tf215",
        "tfk",
        "k30",
        "k315",
    } <= generations
    assert len(CONTINUED) > 50


@pytest.mark.parametrize("item", quick_first(FILES))
def test_converted_file_computes_the_recorded_outputs(
    item: Recorded, conversions: Conversions
) -> None:
    model = torchward.load(conversions.of(item).pth, layers=item.layers)

    with torch.no_grad():
        outputs = as_list(model(*inputs_of(item)))

    assert_close(outputs_of(item), outputs, item.tolerance, "output")


@pytest.mark.parametrize("item", quick_first(FILES))
def test_both_formats_hold_the_same(item: Recorded, conversions: Conversions) -> None:
    conversion = conversions.of(item)
    trained = conversion.plan.optimizer is not None
    (pth, *optimizers), (other, *other_optimizers) = (
        torchward.load(path, optimizer=True, layers=item.layers)
        if trained
        else (torchward.load(path, layers=item.layers),)
        for path in (conversion.pth, conversion.safetensors)
    )

    assert other.architecture == pth.architecture
    assert list(other.state_dict()) == list(pth.state_dict())
    for name, tensor in pth.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    for optimizer, other_optimizer in zip(optimizers, other_optimizers, strict=True):
        assert_same_state(optimizer.state_dict(), other_optimizer.state_dict())


def assert_same_state(first: object, second: object) -> None:
    if isinstance(first, Tensor):
        assert isinstance(second, Tensor)
        assert first.dtype == second.dtype
        assert torch.equal(first, second)
    elif isinstance(first, Mapping):
        assert isinstance(second, Mapping)
        assert set(first) == set(second)
        for key, value in first.items():
            assert_same_state(value, second[key])
    elif isinstance(first, (list, tuple)):
        assert isinstance(second, (list, tuple))
        for value, other in zip(first, second, strict=True):
            assert_same_state(value, other)
    else:
        assert first == second


@pytest.mark.parametrize("item", quick_first(FILES))
def test_emitted_source_computes_bit_for_bit_the_same(
    item: Recorded, conversions: Conversions
) -> None:
    conversion = conversions.of(item)
    model = torchward.load(conversion.pth, layers=item.layers)
    emitted = build_emitted(conversion, model)

    with torch.no_grad():
        outputs, wanted = as_list(emitted(*inputs_of(item))), as_list(model(*inputs_of(item)))

    assert len(outputs) == len(wanted)
    assert all(torch.equal(y, other) for y, other in zip(outputs, wanted, strict=True))


def build_emitted(conversion: Conversion, model: ConvertedModel) -> nn.Module:
    """Return the module of the written source, loaded as its docstring says."""
    emitted: nn.Module = runpy.run_path(str(conversion.source))[model.architecture.name]()
    emitted.load_state_dict(torch.load(conversion.pth, weights_only=True)["model_state_dict"])
    return emitted.eval()


def losses_of(item: Recorded) -> list[KerasLoss]:
    stored = item.meta["loss"]
    if isinstance(stored, str):  # some recipes noted the list as text
        stored = ast.literal_eval(stored) if stored.startswith("[") else [stored]
    assert isinstance(stored, list)
    found = [find_loss(name) for name in stored]
    assert None not in found, stored
    return [loss for loss in found if loss is not None]


def train_on(
    item: Recorded, model: ConvertedModel, optimizer: torch.optim.Optimizer
) -> list[float]:
    """Repeat the recorded updates; returns the loss before each, with the regularizers' share as Keras reports it."""
    resume = item.meta["resume"]
    assert isinstance(resume, Mapping)
    model.train("training=False" not in resume["mode"])
    inputs, targets = inputs_of(item), [torch.from_numpy(t.copy()) for t in numbered(item, "t")]
    losses = []
    for _ in item.arrays["resume_loss"]:
        optimizer.zero_grad()
        outputs = as_list(model(*inputs))
        parts = zip(losses_of(item), outputs, targets, strict=True)
        values = torch.stack([loss(y, t.to(y.dtype)) for loss, y, t in parts])
        total = (values * values.new_tensor(LOSS_WEIGHTS.get(item.case, [1.0] * len(values)))).sum()
        torch.autograd.backward(total)
        assert isinstance(optimizer, KerasOptimizer)
        losses.append(float(total.detach() + optimizer.regularization_loss()))
        optimizer.step()
    return losses


@pytest.mark.parametrize("item", quick_first(CONTINUED))
def test_training_continues_as_it_did_in_keras(item: Recorded, conversions: Conversions) -> None:
    conversion, tolerance = conversions.of(item), CONTINUATION_FACTOR * item.tolerance
    model, optimizer = torchward.load(conversion.pth, optimizer=True, layers=item.layers)
    if any("learning rate is not in the file" in note for note in conversion.report.notes):
        optimizer.param_groups[0]["lr"] = recorded_learning_rate(item)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    losses = train_on(item, model, optimizer)

    plan = conversion.plan
    wanted = recorded_weights(item, {path[-1] for path, _ in plan.roles.values()})
    state = model.state_dict()
    layouts = {move.target: move.layout for move in plan.moves}
    for key, (path, role) in plan.roles.items():
        name = (path[-1], role.rsplit("/", 1)[-1])
        recorded = torch.from_numpy(layouts[key].apply(wanted[name]).copy())
        value = state[key]
        if name in ROUNDING_ONLY.get(item.case, ()):
            (group,) = optimizer.param_groups
            steps = len(losses) * group["lr"]
            assert float((state[key] - before[key]).abs().max()) <= steps
            assert float((recorded - before[key]).abs().max()) <= steps
            state[key].copy_(recorded)  # so that the outputs below are compared
        else:
            assert_close([recorded.numpy()], [value], tolerance, key)
    assert_close([recorded_losses(item)], [torch.tensor(losses)], tolerance, "losses")
    with torch.no_grad():
        after = as_list(model.eval()(*inputs_of(item)))
    assert_close(numbered(item, "yafter"), after, tolerance, "output after training")


@pytest.mark.parametrize("item", [item for item in FILES if str(item) in WRITTEN_BY_HAND], ids=str)
def test_weights_alone_are_taken_for_the_usual_network_and_it_is_said(
    item: Recorded, tmp_path: Path
) -> None:
    report = torchward.convert(item.path, tmp_path / "model.pth")

    assert any(warning.startswith("assumed") for warning in report.warnings)
    assert any("--architecture" in warning for warning in report.warnings)
    with torch.no_grad():
        outputs = as_list(torchward.load(tmp_path / "model.pth")(*inputs_of(item)))
    assert_close(outputs_of(item), outputs, item.tolerance, "output")


def test_lambda_in_a_recorded_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lambda.keras"
    with zipfile.ZipFile(FIXTURES / "k315_dqn_seed" / "model.keras") as original:
        content = {name: original.read(name) for name in original.namelist()}
    config = json.loads(content["config.json"])
    config["config"]["layers"][1]["class_name"] = "Lambda"
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)

    with pytest.raises(UnsupportedError, match="holds or names code") as caught:
        torchward.convert(path, tmp_path / "model.pth")

    assert caught.value.exit_code == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["lambda.keras"]
