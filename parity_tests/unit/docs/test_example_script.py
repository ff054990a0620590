"""docs/examples/test_pytorch_dqn.py says what it must, and notices what is wrong."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
import pytest

from torch_impl.dqn import DQNAgent

SCRIPT = Path(__file__).parents[3] / "docs" / "examples" / "test_pytorch_dqn.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow  # starts a process with torch
def test_the_script_says_what_the_guides_script_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for pattern in (
        r"PyTorch version: \d+\.\d+\.\d+",
        r"CUDA available: (True|False)",
        r"Agent created\.",
        r"   model parameters: 12,165",
        r"Forward pass: \(5,\), Q values",
        r"Greedy action: [0-4] \((Beginner|Elementary|Intermediate|Advanced|Expert)\)",
        r"20 actions with epsilon 0\.5: \[[0-4](, [0-4]){19}\]",
        r"Memory: 64 transitions; a batch has 32",
        r"Training step: loss \d+\.\d+; 8 of 8 weight arrays changed",
        r"Saved and loaded: epsilon 0\.4975; Q values match: True",
        r"Next training step matches: True",
    ):
        assert any(re.match(pattern, line) for line in lines), pattern
    assert lines[-1] == "All tests passed!"
    assert list(tmp_path.iterdir()) == []


def load_without_weights(cls: type[DQNAgent], path: Path, **settings: Any) -> DQNAgent:
    del path
    return cls(seed=1, **settings)


def load_without_dropout_state(cls: type[DQNAgent], path: Path, **settings: Any) -> DQNAgent:
    agent = LOAD(path, **settings)
    agent._masks.generator.manual_seed(99)
    return agent


def train_without_a_step(self: DQNAgent, rng: np.random.Generator) -> float:
    return 0.0 if len(self.memory) < self.batch_size else 0.5


def act_badly(self: Self, observation: np.ndarray, rng: object, *, explore: bool) -> np.ndarray:
    return np.argmin(self.get_q_values(observation), keepdims=True)[0]  # type: ignore[attr-defined]


LOAD = DQNAgent.load


@pytest.mark.parametrize(
    ("name", "fault", "complaint"),
    [
        ("load", classmethod(load_without_weights), "the loaded agent has other Q values"),
        ("load", classmethod(load_without_dropout_state), "the loaded agent trains on differently"),
        ("replay", train_without_a_step, "the training step left weights as they were"),
        ("act", act_badly, "the greedy action has not the highest value"),
    ],
    ids=["weights lost", "dropout state lost", "no training step", "worst action"],
)
def test_a_planted_fault_ends_with_status_1(
    name: str,
    fault: Callable[..., object],
    complaint: str,
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(DQNAgent, name, fault)

    status = script.main(["--device", "cpu"])

    said = capsys.readouterr()
    assert status == 1
    assert complaint in said.err
    assert "All tests passed" not in said.out


def test_a_missing_layer_ends_with_status_1(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        script, "DQNAgent", lambda *sizes, device: DQNAgent(*sizes, hidden_sizes=(128, 64))
    )

    status = script.main(["--device", "cpu"])

    assert status == 1
    assert "needed 12,165 parameters" in capsys.readouterr().err


def test_a_device_that_is_not_there_ends_with_one_line(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main(["--device", "toaster"])

    assert ended.value.code == 2
    assert "error: device 'toaster' is not available" in capsys.readouterr().err


@pytest.mark.gpu
def test_the_same_script_uses_cuda_where_there_is_some(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    assert script.main([]) == 0
    assert "device: cuda" in capsys.readouterr().out
