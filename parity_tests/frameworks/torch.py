"""The torch side of the harness: settings, building and loading an agent, versions.

Mirror: frameworks/tensorflow.py has the same functions.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity_tests.cases import ProbedAgent

EXTRA = "torchward"
"""What to install if the framework is missing."""


def make_deterministic(seed: int, *, threads: int = 1) -> None:
    """Set PyTorch to one result for one input on this machine: threads, algorithms, seed."""
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def build_agent(
    spec: str, arguments: Mapping[str, object], *, dtype: str, seed: int
) -> ProbedAgent:
    """Return the agent "module:Class", on the CPU."""
    agent: ProbedAgent = find_class(spec)(**arguments, dtype=dtype, seed=seed, device="cpu")
    return agent


def load_agent(spec: str, path: Path, settings: Mapping[str, object]) -> ProbedAgent:
    """Return the agent of class "module:Class" that was saved.

    Args:
        spec: "module:Class".
        path: as it was given to `save`.
        settings: keyword arguments of `load`, what the file does not say.
    """
    agent: ProbedAgent = find_class(spec).load(path, **settings)
    return agent


def find_class(spec: str) -> Any:  # noqa: ANN401
    """Return the class "module:Class". Any: it is known at run time only."""
    module, _, name = spec.partition(":")
    return getattr(importlib.import_module(module), name)


def versions() -> dict[str, str]:
    """Return the versions that the numbers depend on."""
    import torch

    return {"torch": torch.__version__}
