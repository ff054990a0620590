"""States that changed since their conversion: what goes back, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import (
    MismatchError,
    UnsupportedError,
)
from parity_tests import FIXTURES
from parity_tests.unit.converters.legacy_files.converted_files import (
    contents,
    rewrite,
)


def test_a_changed_weight_comes_back_where_it_was(small_model: Path, tmp_path: Path) -> None:
    torchward.convert(small_model, tmp_path / "agent.pth")
    model = torchward.load(tmp_path / "agent.pth")
    with torch.no_grad():
        model.get_parameter("hidden.weight")[2, 1] = 7.0  # out, in

    torchward.save(tmp_path / "trained.pth", model)
    torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5")

    legacy, back = contents(small_model)[1], contents(tmp_path / "back.h5")[1]
    changed = {
        (name, *place)
        for name, array in back.items()
        for place in zip(*np.nonzero(array != legacy[name]), strict=True)
    }
    assert changed == {("model_weights/hidden/hidden/kernel:0", 1, 2)}  # in, out


def test_a_trained_optimizer_comes_back_with_its_steps(converted: Path, tmp_path: Path) -> None:
    model, optimizer = torchward.load(converted, optimizer=True)
    before = contents(FIXTURES / "tf215_dqn_seed" / "model.h5")[1]
    model(torch.ones(2, 12)).sum().backward()
    optimizer.step()

    torchward.save(tmp_path / "trained.pth", model, optimizer)
    report = torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5")

    after = contents(tmp_path / "back.h5")[1]
    step = "optimizer_weights/iteration:0"
    moment = "optimizer_weights/Adam/m/dense_3/bias:0"
    gradient = 2.0  # of the sum over a batch of two with respect to the bias of the last layer
    assert after[step] == before[step] + 1
    assert report.optimizer == ("Adam", int(after[step]))
    np.testing.assert_allclose(after[moment], 0.9 * before[moment] + 0.1 * gradient, rtol=1e-5)


def test_a_saved_file_is_loaded_and_trained_on(converted: Path, tmp_path: Path) -> None:
    model, optimizer = torchward.load(converted, optimizer=True)
    torchward.save(tmp_path / "trained.pth", model, optimizer)

    again, optimizer_again = torchward.load(tmp_path / "trained.pth", optimizer=True)

    assert optimizer_again.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    x = torch.ones(1, 12)
    assert torch.equal(again.eval()(x), model.eval()(x))


def test_a_changed_learning_rate_stands_in_the_configuration(
    converted: Path, tmp_path: Path
) -> None:
    model, optimizer = torchward.load(converted, optimizer=True)
    optimizer.param_groups[0]["lr"] = 0.125
    torchward.save(tmp_path / "trained.pth", model, optimizer)

    report = torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5")

    # Keras 2 keeps the number in the configuration only.
    training = json.loads(contents(tmp_path / "back.h5")[0].attributes[""]["training_config"])  # type: ignore[arg-type]
    assert training["optimizer_config"]["config"]["learning_rate"] == 0.125
    assert "learning_rate 0.125" in report.notes[0]


def test_the_legacy_file_can_be_named_for_a_bare_state_dict(
    converted: Path, tmp_path: Path
) -> None:
    state = torch.load(converted, weights_only=True)["model_state_dict"]
    torch.save(state, tmp_path / "bare.pth")
    legacy = FIXTURES / "tf215_dqn_seed" / "model.h5"

    report = torchward.export(tmp_path / "bare.pth", tmp_path / "back.h5", like=legacy)

    before, after = contents(legacy)[1], contents(tmp_path / "back.h5")[1]
    weights = [name for name in before if name.startswith("model_weights/")]
    assert set(after) == set(weights)
    assert all(np.array_equal(after[name], before[name]) for name in weights)
    assert report.optimizer is None
    assert report.lost[0][0] == "optimizer state"


def test_the_state_of_torch_adam_goes_back_to_keras_adam(converted: Path, tmp_path: Path) -> None:
    model = torchward.load(converted)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 12)).sum().backward()
    optimizer.step()
    content = {
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
    }
    torch.save(content, tmp_path / "own.pth")

    torchward.export(tmp_path / "own.pth", tmp_path / "back.h5", like=converted)

    after = contents(tmp_path / "back.h5")[1]
    assert after["optimizer_weights/iteration:0"] == 1
    moment = after["optimizer_weights/Adam/m/dense_3/bias:0"]
    np.testing.assert_allclose(moment, 0.1 * 2.0, rtol=1e-6)


def test_the_state_of_another_torch_optimizer_is_not_carried(
    converted: Path, tmp_path: Path
) -> None:
    model = torchward.load(converted)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(2, 12)).sum().backward()
    optimizer.step()
    torchward.save(tmp_path / "trained.pth", model, optimizer)

    report = torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5")

    assert report.optimizer is None
    assert "torch.optim" in report.lost[0][1]
    assert not [name for name in contents(tmp_path / "back.h5")[1] if "optimizer" in name]


def test_a_module_of_emitted_source_is_saved_like_the_file_it_loads(
    converted: Path, tmp_path: Path
) -> None:
    plain = torch.nn.Module()
    for name, layer in torchward.load(converted).named_children():
        plain.add_module(name, layer)

    with pytest.raises(UnsupportedError, match="does not say which converted file") as refused:
        torchward.save(tmp_path / "trained.pth", plain)
    torchward.save(tmp_path / "trained.pth", plain, like=converted)

    assert "like=" in str(refused.value.hint)
    assert torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5").parameters > 0


def drop_tensor(content: dict[str, Any]) -> None:
    del content["model_state_dict"]["dense.weight"]


def add_tensor(content: dict[str, Any]) -> None:
    content["model_state_dict"]["other.weight"] = torch.zeros(2)


def transpose_tensor(content: dict[str, Any]) -> None:
    state = content["model_state_dict"]
    state["dense.weight"] = state["dense.weight"].T.contiguous()


@pytest.mark.parametrize("change", [drop_tensor, add_tensor, transpose_tensor])
def test_the_state_of_another_module_is_refused(
    change: Callable[[dict[str, Any]], None], converted: Path, tmp_path: Path
) -> None:
    rewrite(converted, change)

    with pytest.raises(MismatchError, match=r"dense\.weight|other\.weight"):
        torchward.export(converted, tmp_path / "back.h5")

    assert not (tmp_path / "back.h5").exists()


def test_fewer_steps_of_the_optimizer_are_not_made_up(converted: Path, tmp_path: Path) -> None:
    rewrite(converted, lambda content: content["optimizer_state_dict"]["state"].pop(3))

    report = torchward.export(converted, tmp_path / "back.h5")

    assert report.optimizer is None
    assert "has no 'exp_avg'" in report.lost[0][1]
