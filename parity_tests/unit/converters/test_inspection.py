"""What `torchward inspect` tells of files that convert, and of those that do not."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

import torchward
from converters.commands.inspection_text import format_inspection
from converters.inspection import Inspection, LayerLine, inspect
from parity_tests import FIXTURES

TRAINING = {"optimizer_config": {"class_name": "Adam", "config": {"learning_rate": 0.01}}}


class WriteModel(Protocol):
    def __call__(self, config: Any, arrays: Any, *, training: Any = None) -> Path: ...


def line(found: Inspection, name: str) -> LayerLine:
    return next(layer for layer in found.layers if layer.name == name)


def test_tree_of_a_nested_model_has_shapes_types_and_memory() -> None:
    found = inspect(FIXTURES / "k315_nested_bn" / "model.keras")

    names = [(layer.name, layer.depth) for layer in found.layers]
    assert names[:2] == [("encoder", 0), ("encoder/dense", 1)]
    dense = found.layers[1]
    assert (dense.output, dense.dtype) == ((None, 12), "float32")
    assert (dense.parameters, dense.nbytes) == (108, 432)
    assert (found.problem, found.version) == (None, "3.15.1")
    assert found.optimizer_becomes == "keras_compat.Adam"


@pytest.fixture
def with_code(write_model: WriteModel, configs: Any) -> Path:
    """A file of three layers side by side and behind each other, the second of which is a Lambda."""
    config = configs.functional(
        {"x": [None, 4]},
        [
            (configs.dense("first", 3), ["x"]),
            (configs.layer("Lambda", "scale", function=["4wEA", None, None]), ["first"]),
            (configs.dense("behind", 2), ["scale"]),
            (configs.dense("beside", 2, "relu"), ["first"]),
        ],
        ["behind", "beside"],
    )
    arrays = {
        "first": configs.dense_arrays(4, 3),
        "behind": configs.dense_arrays(3, 2),
        "beside": configs.dense_arrays(3, 2),
    }
    return write_model(config, arrays, training=TRAINING)


def test_file_with_code_is_listed_with_what_converts_and_what_does_not(with_code: Path) -> None:
    found = inspect(with_code)

    assert line(found, "first").becomes == "nn.Linear"
    assert line(found, "beside").becomes == "nn.Linear, F.relu"
    assert "code from a file is never run" in str(line(found, "scale").problem)
    assert line(found, "behind").problem == "a layer before it does not convert"
    assert line(found, "behind").shapes == (("kernel", (3, 2)), ("bias", (2,)))
    assert found.optimizer_becomes == "keras_compat.Adam"
    assert found.problem is not None


def test_command_shows_what_does_not_convert_and_ends_with_0(
    with_code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = torchward.main(["inspect", str(with_code)])

    out = capsys.readouterr().out
    assert code == 0
    assert "scale" in out
    assert "does not convert: a layer before it does not convert" in out
    assert "optimizer: Adam with 0 arrays  ->  keras_compat.Adam" in out
    assert "\n".join(format_inspection(inspect(with_code))) == out.rstrip("\n")


def test_command_that_converts_can_be_typed_as_it_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder := tmp_path / "old runs").mkdir()
    for name in ("model.weights.h5", "model.json"):
        shutil.copy(FIXTURES / "k315_dqn_seed" / name, folder)
    given = [str(folder / "model.weights.h5"), f"--architecture={folder / 'model.json'}"]
    torchward.main(["inspect", *given])
    [shown] = [
        line.partition("yes: torchward ")[2]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("converts")
    ]

    assert shlex.split(shown) == ["convert", *given]


def test_layer_with_a_long_name_moves_no_other_line(with_code: Path) -> None:
    found = inspect(with_code)
    first, *others = found.layers
    shown = format_inspection(replace(found, layers=(replace(first, name="a" * 300), *others)))

    lengths = [len(text) for text in shown if text.startswith("  b")]
    assert lengths
    assert max(lengths) < 300


def test_every_layer_that_does_not_convert_has_a_line_of_its_own(with_code: Path) -> None:
    found = replace(inspect(with_code), problem="m.h5: 2 layers:\n  layer 'a'\n  layer 'b'")

    lines = format_inspection(found)

    place = lines.index("converts        no: m.h5: 2 layers:")
    assert [line.strip() for line in lines[place + 1 : place + 3]] == ["layer 'a'", "layer 'b'"]


def test_converting_the_same_file_ends_with_4(
    with_code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = torchward.main(["convert", str(with_code), "-o", str(tmp_path / "out.pth")])

    assert code == 4
    assert "layer 'scale'" in capsys.readouterr().err
    assert not (tmp_path / "out.pth").exists()


def test_weights_of_a_model_class_of_the_users_own_are_listed(
    write_model: WriteModel, configs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_model({"class_name": "DQN", "config": {}}, {"hidden": configs.dense_arrays(4, 3)})

    found = inspect(path)

    assert line(found, "hidden").shapes == (("kernel", (4, 3)), ("bias", (3,)))
    assert "model class 'DQN' is not one of Keras's own" in str(found.problem)
    assert "--into" in str(found.hint)
    assert torchward.main(["convert", str(path), "-o", str(tmp_path / "out.pth")]) == 4
    assert "model class 'DQN'" in capsys.readouterr().err


def test_layer_that_nothing_calls_is_said_to_be_so(write_model: WriteModel, configs: Any) -> None:
    config = configs.functional({"x": [None, 4]}, [(configs.dense("first", 3), ["x"])], ["first"])
    config["config"]["layers"].append(
        {**configs.dense("idle", 2), "name": "idle", "inbound_nodes": []}
    )
    path = write_model(config, {"first": configs.dense_arrays(4, 3)})

    assert line(inspect(path), "idle").problem == "is never called"


@pytest.mark.parametrize(
    ("file", "agent"),
    [
        ("tfagents_dqn/checkpoint", "TF-Agents: TFAgent"),
        ("sb_td3_resume/tf1ckpt/model-60", "stable-baselines 2: TD3"),
        ("k315_dqn_seed/model.keras", None),
    ],
    ids=["tf-agents", "variables-of-tensorflow-1", "no-agent"],
)
def test_the_library_of_an_agent_is_named(file: str, agent: str | None) -> None:
    assert inspect(FIXTURES / file).agent == agent


def test_what_is_assumed_of_an_agent_is_said_before_it_is_converted() -> None:
    notes = inspect(FIXTURES / "tfagents_dqn" / "checkpoint").notes

    assert any("relu after its hidden layers" in note for note in notes)
