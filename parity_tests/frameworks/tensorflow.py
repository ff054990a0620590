"""The legacy side of the harness: settings, building and loading an agent, versions.

Mirror: frameworks/torch.py has the same functions.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity_tests.cases import ProbedAgent

EXTRA = "torchward[legacy]"
"""What to install if the framework is missing."""


def make_deterministic(seed: int, *, threads: int = 1) -> None:
    """Set TensorFlow to one result for one input on this machine: threads, algorithms, seed.

    TensorFlow reads `TF_ENABLE_ONEDNN_OPTS` when it is imported and takes thread counts only before it first
    computes. The harness sets both in the environment; if something was computed already, they hold since then. GPUs
    are hidden, the torch side computes on the CPU, too.
    """
    import keras
    import tensorflow as tf

    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() != threads:
        with contextlib.suppress(RuntimeError):
            threading.set_intra_op_parallelism_threads(threads)
            threading.set_inter_op_parallelism_threads(threads)
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


def build_agent(
    spec: str, arguments: Mapping[str, object], *, dtype: str, seed: int
) -> ProbedAgent:
    """Return the agent "module:Class", on the CPU."""
    agent: ProbedAgent = find_class(spec)(**arguments, dtype=dtype, seed=seed)
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
    import keras
    import tensorflow as tf

    return {"tensorflow": tf.__version__, "keras": keras.__version__}
