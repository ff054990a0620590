"""A TensorFlow agent in one of the call styles that users have."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.subjects import Prepared
from benchmarks.subjects.agent_tasks import find_class, prepare_task
from benchmarks.subjects.transitions import make_transitions


class LegacyAgent:
    """The original, on the CPU. Threads are set by the process's environment, see `processes`.

    Args:
        agent: "module:Class".
        threads: as stated in the environment; TensorFlow reads it there.
        style: "fit", "batch" or "function", see `legacy_tf.dqn`.
        updates_a_call: see `prepare_task`.
    """

    def __init__(self, *, agent: str, threads: int, style: str, updates_a_call: int = 1) -> None:
        del threads
        self._updates_a_call = updates_a_call
        self._build = partial(find_class(agent), style=style)

    def prepare(self, task: str) -> Prepared:
        """Return the task."""
        return prepare_task(task, self._build, updates_a_call=self._updates_a_call)

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Write the files that Keras 3 writes; return (format, bytes) pairs."""
        agent = self._build()
        agent.update(make_transitions(32))  # the optimizer's state exists after its first step
        network: Any = agent.q_network  # Any: TensorFlow has no types
        root = Path(folder)
        yield ".h5, whole model (Keras 3)", _written(network.save, root / "model.h5")
        yield ".keras, whole model", _written(network.save, root / "model.keras")
        yield ".weights.h5 with Adam", _written(network.save_weights, root / "model.weights.h5")


def _written(save: Any, path: Path) -> int:  # noqa: ANN401
    """Return the size of what `save` writes to `path`. Any: a method of an untyped library."""
    save(str(path))
    return path.stat().st_size
