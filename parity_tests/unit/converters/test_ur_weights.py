"""JSON weights of the Ur trainer on all their ways: to .pth, to Keras' .h5 and back, without a bit lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import ConversionError, UnreadableFileError, UnsupportedError
from converters.load_pytorch_weights import main as load_pytorch_weights
from experience.ur_inference import UrInference
from experience.ur_weights import GAME_LAYOUT, TORCH_LAYOUT, read_ur_weights, write_ur_weights
from torch_impl.ur import UrTrainer

SIZES = (6, 5, 3)


@pytest.fixture
def trainer() -> UrTrainer:
    return UrTrainer(hidden_sizes=SIZES, device="cpu", seed=3)


@pytest.fixture
def source(tmp_path: Path, trainer: UrTrainer) -> Path:
    path = tmp_path / "ur.json"
    write_ur_weights(path, trainer.get_weights(), metadata={"num_games": 12})
    return path


def assert_same_weights(path: Path, trainer: UrTrainer) -> None:
    found = read_ur_weights(path).weights
    for name, array in trainer.get_weights().items():
        np.testing.assert_array_equal(found[name], array)


def test_json_becomes_a_module_of_two_outputs(source: Path, trainer: UrTrainer) -> None:
    torchward.convert(source, source.with_suffix(".pth"))

    module: Any = torchward.load(source.with_suffix(".pth"))

    features = torch.randn(4, 150)
    value, policy = module(features)
    torch.testing.assert_close(value, trainer.networks.value(features), rtol=0, atol=0)
    torch.testing.assert_close(policy, trainer.networks.policy(features), rtol=0, atol=0)


def test_converted_file_is_loaded_by_the_trainer(source: Path, trainer: UrTrainer) -> None:
    torchward.convert(source, source.with_suffix(".pth"))

    loaded = UrTrainer.load(source.with_suffix(".pth"), device="cpu")

    assert loaded.configuration["hidden_sizes"] == list(SIZES)
    for name, array in trainer.get_weights().items():
        np.testing.assert_array_equal(loaded.get_weights()[name], array)


def test_conversion_is_verified(source: Path) -> None:
    torchward.convert(source, source.with_suffix(".pth"))

    assert torchward.verify(source, source.with_suffix(".pth")).passed


def test_all_ways_round_give_the_same_bits(
    source: Path, trainer: UrTrainer, tmp_path: Path
) -> None:
    torchward.convert(source, tmp_path / "a.pth")
    torchward.export(tmp_path / "a.pth", tmp_path / "a.h5")
    torchward.convert(tmp_path / "a.h5", tmp_path / "b.json")
    torchward.export(tmp_path / "a.pth", tmp_path / "c.json")
    torchward.export(tmp_path / "b.json", tmp_path / "d.h5")
    torchward.convert(tmp_path / "d.h5", tmp_path / "e.json", format="ur-json-torch")

    for name, layout in (("b", GAME_LAYOUT), ("c", GAME_LAYOUT), ("e", TORCH_LAYOUT)):
        assert_same_weights(tmp_path / f"{name}.json", trainer)
        assert read_ur_weights(tmp_path / f"{name}.json").layout == layout


def test_training_figures_travel_through_a_pth(source: Path, tmp_path: Path) -> None:
    torchward.convert(source, tmp_path / "a.pth")
    torchward.export(tmp_path / "a.pth", tmp_path / "c.json")

    metadata = read_ur_weights(tmp_path / "c.json").metadata

    assert metadata == {"num_games": 12, "version": "rust_v1"}


def test_trainer_s_own_file_is_exported(trainer: UrTrainer, tmp_path: Path) -> None:
    trainer.save(tmp_path / "own.pth")

    report = torchward.export(tmp_path / "own.pth", tmp_path / "own.json")

    assert_same_weights(tmp_path / "own.json", trainer)
    assert report.lost == (("optimizer state", "this JSON holds none"),)


@pytest.mark.tf
def test_keras_computes_the_same_from_the_exported_file(
    source: Path, trainer: UrTrainer, tmp_path: Path
) -> None:
    import keras

    torchward.export(source, tmp_path / "a.h5")

    model = keras.models.load_model(tmp_path / "a.h5")

    features = np.random.default_rng(0).normal(size=(5, 150)).astype(np.float32)
    value, policy = (output.numpy() for output in model(features, training=False))
    np.testing.assert_allclose(value[:, 0], trainer.get_values(features), rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(policy, trainer.get_policy(features), rtol=2e-6, atol=1e-7)


@pytest.mark.tf
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_keras_trainer_s_model_becomes_json(tmp_path: Path, suffix: str) -> None:
    from legacy_tf.ur import UrTrainer as LegacyTrainer

    legacy = LegacyTrainer(hidden_sizes=SIZES)
    legacy.networks.save(tmp_path / f"model{suffix}")

    torchward.convert(tmp_path / f"model{suffix}", tmp_path / "ur.json")

    found = read_ur_weights(tmp_path / "ur.json").weights
    for name, array in legacy.get_weights().items():
        np.testing.assert_array_equal(found[name], array)


def test_too_short_file_is_refused_by_the_command(source: Path, tmp_path: Path) -> None:
    content = json.loads(source.read_text())
    content["policy_weights"].pop()
    source.write_text(json.dumps(content))

    with pytest.raises(UnreadableFileError, match=r"'policy_weights' has .* numbers, needed"):
        torchward.convert(source, tmp_path / "a.pth")

    assert not (tmp_path / "a.pth").exists()


def test_other_networks_are_not_written_as_this_json(tmp_path: Path) -> None:
    torch.save({"fc1.weight": torch.zeros(3, 2)}, tmp_path / "other.pth")

    with pytest.raises(UnsupportedError, match=r"tensor 'fc1.weight' is not part of"):
        torchward.export(tmp_path / "other.pth", tmp_path / "other.json")


def test_other_activations_are_not_written_as_this_json(source: Path, tmp_path: Path) -> None:
    torchward.export(source, tmp_path / "a.h5")
    text = (tmp_path / "a.h5").read_bytes()
    # Same length, so that the HDF5 file stays sound.
    (tmp_path / "a.h5").write_bytes(text.replace(b'"activation": "tanh"', b'"activation": "relu"'))

    with pytest.raises(ConversionError, match=r"the network 'value' computes .*, relu; the JSON"):
        torchward.convert(tmp_path / "a.h5", tmp_path / "b.json")


def test_the_guide_s_command_turns_kernels_and_tests_it(
    source: Path, trainer: UrTrainer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_pytorch_weights([str(source), "--test"]) == 0

    target = source.with_name("ur_rust.json")
    assert read_ur_weights(target).layout == GAME_LAYOUT
    assert_same_weights(target, trainer)
    assert "PASS" in capsys.readouterr().out


def test_the_guide_s_command_says_how_far_unchanged_lists_are_off(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_pytorch_weights([str(source), "--test"])

    lines = capsys.readouterr().out.splitlines()
    unchanged = next(line for line in lines if "lists left unchanged" in line)
    assert float(unchanged.split()[-1]) > 1e-3


def test_list_left_unchanged_computes_something_else(source: Path, trainer: UrTrainer) -> None:
    content = json.loads(source.read_text())
    content["weight_layout"] = GAME_LAYOUT
    source.write_text(json.dumps(content))
    features = np.random.default_rng(0).normal(size=(5, 150)).astype(np.float32)

    values, _ = UrInference.load(source)(features)

    assert np.abs(values - trainer.get_values(features)).max() > 1e-2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.json"], 3, "none.json: cannot be read"),
        (["ur.json", "ur.json", "--force"], 6, "is the input"),
        (["ur.json", "there.json"], 6, "exists already; add --force"),
        (["ur.json", "no/where.json"], 6, "no/where.json: cannot be written"),
    ],
)
def test_the_guide_s_command_refuses_in_one_line(
    source: Path,
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(source.parent)
    Path("there.json").write_text("{}")

    assert load_pytorch_weights(arguments) == code

    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
