"""An optimizer that the file does not name: stated by the user, it continues as it would with its name in the file."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import torch

import torchward
from converters.errors import MismatchError, UnsupportedError
from parity_tests import FIXTURES

CASE = FIXTURES / "k315_opt_ftrl" / "model.keras"


@pytest.fixture
def nameless(tmp_path: Path) -> tuple[Path, Path]:
    """Weights with optimizer state, and the configuration without the optimizer."""
    weights, config = tmp_path / "agent.weights.h5", tmp_path / "agent.json"
    with zipfile.ZipFile(io.BytesIO(CASE.read_bytes())) as archive:
        weights.write_bytes(archive.read("model.weights.h5"))
        stored = json.loads(archive.read("config.json"))
    settings = stored.pop("compile_config")["optimizer"]["config"]
    config.write_text(json.dumps(stored))
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    return weights, config


def test_state_of_ftrl_is_not_taken_for_adams(nameless: tuple[Path, Path]) -> None:
    weights, config = nameless

    report = torchward.convert(weights, architecture=config)

    assert report.optimizer is None
    assert any("--set optimizer=Ftrl" in note for note in report.notes)


def test_a_stated_optimizer_is_the_one_a_whole_file_names(
    nameless: tuple[Path, Path], tmp_path: Path
) -> None:
    weights, config = nameless
    stored = json.loads((tmp_path / "settings.json").read_text())
    names = ("learning_rate_power", "l1_regularization_strength", "l2_regularization_strength")
    stated = {name: stored[name] for name in names} | {"beta": stored["beta"]}
    torchward.convert(
        weights,
        tmp_path / "stated.pth",
        architecture=config,
        settings={"optimizer": "Ftrl", **stated},
    )
    torchward.convert(CASE, tmp_path / "whole.pth")

    _, found = torchward.load(tmp_path / "stated.pth", optimizer=True)
    _, wanted = torchward.load(tmp_path / "whole.pth", optimizer=True)

    assert type(found) is type(wanted)
    assert found.state_dict()["param_groups"] == wanted.state_dict()["param_groups"]
    for place, slots in wanted.state_dict()["state"].items():
        for name, value in slots.items():
            assert torch.equal(found.state_dict()["state"][place][name], value)
    assert torchward.verify(weights, tmp_path / "stated.pth", architecture=config).passed


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"optimizer": "Ftrk"}, UnsupportedError, "nearest: Ftrl"),
        ({"optimizer": "Ftrl", "betta": 1}, UnsupportedError, "Ftrl has no setting betta"),
    ],
)
def test_what_is_stated_wrongly_is_refused(
    nameless: tuple[Path, Path],
    settings: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    weights, config = nameless

    with pytest.raises(error, match=message):
        torchward.convert(weights, architecture=config, settings=settings)


def test_another_optimizer_than_the_file_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="names its optimizer, Ftrl; stated is Adam"):
        torchward.convert(CASE, tmp_path / "out.pth", settings={"optimizer": "Adam"})
