"""What all suites share: deterministic frameworks, and no TensorFlow where a run does without it.

`pytest -m "not tf"` promises to be quick: TensorFlow cannot be imported there at all, not even by accident, so a test
that needs it and lacks the mark is skipped or fails at once instead of making every run slow.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import logging
import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from parity_tests.harness import ENVIRONMENT

# Read when the frameworks are imported. CUDA stays visible: tests marked `gpu` use it, agents say their device.
os.environ.update(
    {name: value for name, value in ENVIRONMENT.items() if name != "CUDA_VISIBLE_DEVICES"}
)
# What rich and typer take a terminal for, and how wide: texts are compared as they are without one.
for _name in (
    *("COLUMNS", "LINES", "TERMINAL_WIDTH", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "GITHUB_ACTIONS"),
    *("FORCE_COLOR", "NO_COLOR", "PY_COLORS"),
):
    os.environ.pop(_name, None)

BLOCKED = ("tensorflow", "keras", "tf_keras")
ALL_NEED_TENSORFLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.tf\b", re.MULTILINE)
MISSING = "TensorFlow is not installed: pip install 'torchward[legacy]'"


def pytest_configure(config: pytest.Config) -> None:
    """Make TensorFlow and Keras unknown to runs that leave their tests out."""
    if "not tf" in config.option.markexpr:
        # With None here an import fails and `find_spec` finds nothing, as where they are not installed; torch asks
        # for the latter. A finder that raises would break it (torch 2.13, _dynamo/trace_rules.py).
        sys.modules.update(dict.fromkeys(BLOCKED))  # type: ignore[arg-type]  # None is allowed


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import modules whose tests are all left out: a third of all tests is in a few of them."""
    if collection_path.suffix != ".py" or "not tf" not in config.option.markexpr:
        return None
    text = collection_path.read_text(encoding="utf-8")
    return True if ALL_NEED_TENSORFLOW.search(text) is not None else None


def pytest_collection_finish() -> None:
    """Leave modules and tests, which stay to the end, out of every later search for garbage, and search less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `tf`, with the reason, where TensorFlow is not installed."""
    if "not tf" in config.option.markexpr or importlib.util.find_spec("tensorflow") is not None:
        return
    for item in items:
        if item.get_closest_marker("tf") is not None:
            item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start what is made for a whole module from seeded generators, too; it comes before every fixture of a test.

    A test marked `tf` finds Keras imported, so that `seed_generators` can seed TensorFlow's own generator.
    """
    if item.get_closest_marker("tf") is not None and item.get_closest_marker("skip") is None:
        with contextlib.suppress(ImportError):  # the test says what it needs
            importlib.import_module("keras")
    seed_generators()


@pytest.fixture(autouse=True)
def seeded_generators() -> None:
    """Start every test from the same state of the global random generators, whatever ran before it."""
    seed_generators()


def seed_generators() -> None:
    """Seed the global generators of Python, numpy and the frameworks that have been imported."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002, TID251  the global generator is what layers, pages and environments fall back to
    torch, keras = sys.modules.get("torch"), sys.modules.get("keras")
    if torch is not None:
        # torch.manual_seed also notes a call, with the whole stack as text, for every GPU that may be used later: 1 ms.
        torch.default_generator.manual_seed(0)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(0)
    if keras is not None:
        keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="session")
def unforced_writes() -> Iterator[None]:
    """Leave out that the disk is waited for, at every output and checkpoint: no test can switch the machine off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def library_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep stable-baselines3 from making a folder of its own beside other programs' files for every agent that learns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SB3_LOGDIR", str(tmp_path_factory.mktemp("stable_baselines3")))
        yield


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Give what is logged from INFO on, in the order in which it comes; pytest's own `caplog` is off."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield messages
    root.setLevel(level)
    root.removeHandler(handler)


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
