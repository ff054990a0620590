"""What all suites share: deterministic frameworks, and no TensorFlow where a run does without it.

`pytest -m "not tf"` promises to be quick: TensorFlow cannot be imported there at all, not even by accident, so a test
that needs it and lacks the mark is skipped or fails at once instead of making every run slow.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from parity_tests.harness import ENVIRONMENT

# Read when the frameworks are imported. CUDA stays visible: tests marked `gpu` use it, agents say their device.
os.environ.update(
    {name: value for name, value in ENVIRONMENT.items() if name != "CUDA_VISIBLE_DEVICES"}
)

BLOCKED = ("tensorflow", "keras", "tf_keras")
MISSING = "TensorFlow is not installed: pip install 'torchward[legacy]'"


class TensorFlowBlocker:
    """An import hook that knows TensorFlow and Keras as not installed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError for the blocked packages, leave all others to the next finder."""
        del path, target
        if name.partition(".")[0] in BLOCKED:
            message = f"{name} is not imported in a run without the tests marked tf"
            raise ModuleNotFoundError(message, name=name)
        return None


def pytest_configure(config: pytest.Config) -> None:
    """Block TensorFlow for runs that leave its tests out."""
    if "not tf" in config.option.markexpr:
        sys.meta_path.insert(0, TensorFlowBlocker())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `tf`, with the reason, where TensorFlow is not installed."""
    if "not tf" in config.option.markexpr or importlib.util.find_spec("tensorflow") is not None:
        return
    for item in items:
        if item.get_closest_marker("tf") is not None:
            item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture
def deterministic_torch() -> Iterator[ModuleType]:
    """Give PyTorch with one thread and deterministic algorithms, and put its settings back afterwards."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield torch
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)
