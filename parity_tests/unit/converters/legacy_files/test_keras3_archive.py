"""Models of Keras 2 as .keras files: Keras 3 loads them, computes and trains on as Keras 2 did; the rest is refused by name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torchward
from converters.configuration.models import parse_model_config
from converters.errors import UnsupportedError
from converters.legacy_files.keras3_config import keras3_model
from parity_tests import FIXTURES

CONTINUED = (
    "k224_a3c_two_heads",  # standalone Keras 2.2
    "tf115keras_ddpg_critic_bn",  # nested, batch normalization
    "tf212_lstm_policy",
    "tf215_mlp_named",  # Huber
    "tf215_nested_bn",
    "tf215_opt_adam_amsgrad",
    "tf215_opt_legacy_sgd",
    "tf215_opt_rmsprop",
    "tf215_shared_layers",
)


def exported(case: str, folder: Path) -> Any:
    torchward.convert(FIXTURES / case / "model.h5", folder / "agent.pth")
    return torchward.export(folder / "agent.pth", folder / "back.keras")


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize("case", CONTINUED)
def test_keras_3_continues_as_keras_2_did(case: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    keras: Any = pytest.importorskip("keras")
    recorded = np.load(FIXTURES / case / "expected.npz")
    given, targets, wanted, after = (
        [recorded[name] for name in sorted(recorded) if name.strip("0123456789") == kind]
        for kind in ("x", "t", "y", "yafter")
    )
    assert exported(case, tmp_path).lost == ()

    model = keras.saving.load_model(tmp_path / "back.keras")
    x, t = (each if len(each) > 1 else each[0] for each in (given, targets))
    found = keras.tree.flatten(model(x, training=False))
    steps = int(model.optimizer.iterations)
    losses = [model.train_on_batch(x, t) for _ in recorded["resume_loss"]]
    trained = keras.tree.flatten(model(x, training=False))

    assert steps > 0
    for value, want in zip([*found, *trained], [*wanted, *after], strict=True):
        np.testing.assert_allclose(np.asarray(value), want, rtol=0, atol=2e-6)
    totals = [float(np.ravel(loss)[0]) for loss in losses]
    assert totals[-1] == pytest.approx(float(recorded["resume_loss"][-1]), rel=1e-5)


@pytest.mark.parametrize("case", ["tf215_nested_bn", "tf215_lstm_policy", "k231_frozen_bn"])
def test_the_archive_converts_to_the_same_module(case: str, tmp_path: Path) -> None:
    exported(case, tmp_path)
    torchward.convert(tmp_path / "back.keras", tmp_path / "again.pth")

    first, second = (torchward.load(tmp_path / name) for name in ("agent.pth", "again.pth"))

    assert list(first.state_dict()) == list(second.state_dict())
    for name, value in first.state_dict().items():
        assert value.equal(second.state_dict()[name]), name


def test_what_keras_3_computes_otherwise_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"'lstm_1' \(LSTM\).*hard_sigmoid") as refused:
        exported("tf215_lstm_stack_td", tmp_path)

    assert ".h5" in str(refused.value.hint)
    assert not (tmp_path / "back.keras").exists()


def test_an_optimizer_with_another_formula_stays_behind_with_the_reason(tmp_path: Path) -> None:
    lost = dict(exported("tf215_opt_nadam", tmp_path).lost)

    assert "Nadam" in lost["optimizer state"]
    with zipfile.ZipFile(tmp_path / "back.keras") as archive:
        assert "compile_config" not in json.loads(archive.read("config.json"))


def config_of(class_name: str, shape: tuple[int, ...], **settings: object) -> dict[str, Any]:
    """Return what Keras 3 is told of one layer that Keras 2.15 wrote."""
    first = {"batch_input_shape": [None, *shape], "dtype": "float32", "name": "x", "ragged": False}
    entries = [
        {"class_name": "InputLayer", "config": first},
        {"class_name": class_name, "config": {"name": "y", "dtype": "float32", **settings}},
    ]
    text = json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": entries}})
    found: Any = keras3_model(parse_model_config(text, generation=2, version="2.15.0"))
    settings = found["config"]["layers"][1]["config"]
    assert isinstance(settings, dict)
    return settings


def test_settings_get_the_names_and_modules_of_keras_3() -> None:
    constant = {"class_name": "Constant", "config": {"value": 2, "dtype": "float32"}}
    leaky = config_of("LeakyReLU", (4,), alpha=0.25)
    table = config_of(
        "Embedding", (4,), input_dim=7, input_length=4, embeddings_initializer=constant
    )

    assert leaky["negative_slope"] == 0.25
    assert leaky["dtype"]["config"] == {"name": "float32"}
    assert "input_length" not in table
    assert table["embeddings_initializer"] == {
        "module": "keras.initializers",
        "class_name": "Constant",
        "config": {"value": 2},
        "registered_name": None,
    }


@pytest.mark.parametrize(
    ("class_name", "settings", "message"),
    [
        ("LSTM", {"units": 2, "time_major": True}, "time_major=True"),
        ("ThresholdedReLU", {"theta": 1.0}, "ThresholdedReLU"),
        ("BatchNormalization", {"virtual_batch_size": 4}, "virtual_batch_size=4"),
        ("LayerNormalization", {"axis": [3, 1]}, "axes_as_written"),
        ("Dense", {"kernel_initializer": {"class_name": "my>Own", "config": {}}}, "my>Own"),
    ],
)
def test_settings_without_counterpart_are_refused(
    class_name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UnsupportedError, match=message):
        config_of(class_name, (5, 4), **settings)
