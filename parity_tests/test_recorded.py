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
from functools import cache
from pathlib import Path
from typing import Any

import h5py
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
from converters.readers.files.places import main_file
from converters.report import ConversionReport
from parity_tests import FIXTURES
from parity_tests.recorded_layers import LAYERS
from torch_impl.keras_compat.compiled_loss import KerasLoss
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer

WHOLE = ("keras-h5-full", "keras-v3-zip", "savedmodel-keras2")
WEIGHTS = (
    *("keras-h5-weights-legacy", "keras-weights-h5-v3", "npz-get_weights"),
    *("tf2-checkpoint-object", "tf2-checkpoint-save_weights", "tf2-checkpoint-manager"),
)
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

ROLES = {"depthwise_kernel": "kernel"}
"""Names of weights before Keras 3, to today's."""
LOSS_WEIGHTS = dict.fromkeys(
    ("k224_a3c_two_heads", "k315_actor_critic", "tf212_actor_critic", "tf215_actor_critic"),
    (1.0, 0.5),
)
"""As compiled; the other cases with two outputs add their losses."""
FIRST_LOSS_IS_A_MEAN = ("k30_opt_sgd_momentum", "k30_gru_policy")
"""Keras 3.0.5 had not reset its metric: the first recorded number is a mean with the loss of the last update before the
file was saved. `loss_infer` holds the loss at the saved state."""


def dense_chain(
    names: Sequence[str], units: Sequence[int], *, shape: Sequence[int], flatten: bool = False
) -> dict[str, object]:
    """Return a Sequential configuration with relu between Dense layers, as a user would write it by hand."""
    layers: list[dict[str, object]] = [
        {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, *shape]}}
    ]
    if flatten:
        layers.append({"class_name": "Flatten", "config": {"name": "flatten"}})
    for name, size in zip(names, units, strict=True):
        activation = "linear" if name == names[-1] else "relu"
        config = {"name": name, "units": size, "activation": activation}
        layers.append({"class_name": "Dense", "config": config})
    return {"class_name": "Sequential", "config": {"name": "dqn", "layers": layers}}


NUMBERED = ("dense", "dense_1", "dense_2")
ATTRIBUTES = ("trunk/dense", "trunk/dense_1", "out")
WRITTEN_BY_HAND = {
    "kerasrl_dqn_cartpole-dqn_CartPole-v0_weights.h5f": dense_chain(
        ("dense_1", "dense_2", "dense_3"), (16, 16, 2), shape=(1, 4), flatten=True
    ),
    "k315_subclassed_dqn-model.weights.h5": dense_chain(NUMBERED, (17, 17, 3), shape=(7,)),
    "tf212_subclassed_dqn-weights.h5": dense_chain(NUMBERED, (19, 19, 3), shape=(7,)),
    "tf212_subclassed_dqn-model.weights.h5": dense_chain(NUMBERED, (19, 19, 3), shape=(7,)),
    "tf215_subclassed_dqn-weights.h5": dense_chain(NUMBERED, (16, 16, 3), shape=(7,)),
    # The container of a subclassed model groups arrays by the attributes that hold the layers.
    "tf215_subclassed_dqn-model.weights.h5": dense_chain(ATTRIBUTES, (16, 16, 3), shape=(7,)),
}
"""Architectures for files of models whose own is code, from the layers that `meta.json` lists."""


@dataclass(frozen=True)
class Recorded:
    """One file of a case."""

    case: str
    file: str
    format: str
    has_optimizer: bool

    @property
    def path(self) -> Path:
        return FIXTURES / self.case / self.file

    @property
    def meta(self) -> Mapping[str, Any]:
        return read_meta(self.case)

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return read_arrays(self.case)

    @property
    def tolerance(self) -> float:
        hint = self.meta.get("tolerance_hint")
        return max(hint if isinstance(hint, float) else 0.0, 1e-5)

    @property
    def layers(self) -> Mapping[str, str]:
        """The user's own layers, for a file that holds code."""
        return LAYERS.get(self.case, {})

    @property
    def continues(self) -> bool:
        return self.has_optimizer and "resume_loss" in self.arrays

    def __str__(self) -> str:
        return f"{self.case}-{self.file}"


@cache
def read_meta(case: str) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads((FIXTURES / case / "meta.json").read_text())
    return meta


@cache
def read_arrays(case: str) -> dict[str, NDArray[Any]]:
    with np.load(FIXTURES / case / "expected.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


AGENTS = ("tfagents_", "sonnet_", "dopamine_", "tf215_dqn_with_target")
"""Checkpoints of several networks, which have tests of their own (`test_recorded_agents.py`)."""


def recorded_files() -> list[Recorded]:
    return [
        Recorded(meta.parent.name, entry["path"], entry["format"], bool(entry["optimizer_state"]))
        for meta in sorted(FIXTURES.glob("*/meta.json"))
        if not meta.parent.name.startswith(AGENTS)
        for entry in json.loads(meta.read_text())["artifacts"]
        if entry["format"] in (*WHOLE, *WEIGHTS) and main_file(meta.parent / entry["path"]).exists()
    ]


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


def architecture_for(item: Recorded, folder: Path) -> Path | None:
    """Return a configuration for files with weights only: recorded, inside another file, or written by hand."""
    if item.format in WHOLE:
        return None
    part = item.path.stem.rsplit("_", 1)[-1]  # ddpg_weights_actor.h5 goes with actor.json
    for name in (f"{part}.json", "model.json"):
        if (FIXTURES / item.case / name).exists():
            return FIXTURES / item.case / name
    beside = [entry["path"] for entry in item.meta["artifacts"] if entry["format"] == "keras-json"]
    if beside:
        return FIXTURES / item.case / str(beside[0])
    written = folder / "architecture.json"
    written.write_text(configuration_of(item))
    return written


def configuration_of(item: Recorded) -> str:
    if str(item) in WRITTEN_BY_HAND:
        return json.dumps(WRITTEN_BY_HAND[str(item)])
    archive = FIXTURES / item.case / "model.keras"
    if zipfile.is_zipfile(archive):
        return zipfile.ZipFile(archive).read("config.json").decode()
    with h5py.File(FIXTURES / item.case / "model.h5") as file:
        stored = file.attrs["model_config"]
    return stored if isinstance(stored, str) else stored.decode()


def inputs_of(item: Recorded) -> list[Tensor]:
    names = [name for name in item.arrays if name[0] == "x" and name[1:].isdigit()]
    ordered = sorted(names, key=lambda name: int(name[1:]))
    if item.case == "kerasrl2_ddpg_pendulum":
        # The case records both networks: x0 is the observation, x1 the action; the critic takes the action first.
        ordered = ["x0"] if "actor" in item.file else ["x1", "x0"]
    return [torch.from_numpy(item.arrays[name].copy()) for name in ordered]


def outputs_of(item: Recorded) -> list[NDArray[Any]]:
    if item.case == "kerasrl2_ddpg_pendulum":
        return [item.arrays["actor_y0" if "actor" in item.file else "critic_y0"]]
    return numbered(item, "y")


def numbered(item: Recorded, letter: str) -> list[NDArray[Any]]:
    names = [name for name in item.arrays if name.removeprefix(letter).isdigit()]
    return [
        item.arrays[name] for name in sorted(names, key=lambda name: int(name.removeprefix(letter)))
    ]


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


def recorded_learning_rate(item: Recorded) -> float:
    optimizer = item.meta["optimizer"]
    assert isinstance(optimizer, Mapping)
    return float(optimizer["config"]["learning_rate"])


def recorded_losses(item: Recorded) -> NDArray[Any]:
    losses = item.arrays["resume_loss"].copy()
    if item.case in FIRST_LOSS_IS_A_MEAN:
        losses[0] = item.arrays["loss_infer"]
    return losses


def recorded_weights(item: Recorded, known: set[str]) -> dict[tuple[str, str], NDArray[Any]]:
    """Return the weights after the recorded updates by (layer, role); inner layers go by the layer around them."""
    order = item.meta["weight_order"]
    layers = item.meta["layers"]
    assert isinstance(order, list)
    assert isinstance(layers, list)
    if (
        item.case == "k224_ddpg_critic_bn"
    ):  # recorded layer by layer, its order lists the statistics last
        order = [name for layer in layers for name, _ in layer["weights"]]
    weights = {}
    for index, name in enumerate(order):
        parts = str(name).removesuffix(":0").split("/")
        layer = next((part for part in reversed(parts[:-1]) if part in known), parts[-2])
        if str(item) in WRITTEN_BY_HAND and "trunk" in json.dumps(WRITTEN_BY_HAND[str(item)]):
            layer = ATTRIBUTES[NUMBERED.index(layer)]
        weights[layer, ROLES.get(parts[-1], parts[-1])] = item.arrays[f"after_{index:03}"]
    assert len(weights) == len(order)
    return weights


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
