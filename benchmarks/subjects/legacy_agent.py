"""A TensorFlow agent in one of the call styles that users have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.subjects import NotApplicableError, Prepared
from benchmarks.subjects.agent_tasks import prepare_task
from benchmarks.subjects.agents import find_class, find_network, name_of, plan_build, takes
from benchmarks.subjects.scenarios import find_scenario, load_pair


class LegacyAgent:
    """The original, on the CPU. Threads are set by the process's environment, see `processes`.

    Args:
        pair: name of the agent pair.
        pairs: "module:NAME" of the user's own pairs, None: ours.
        threads: as stated in the environment; TensorFlow reads it there.
        style: "fit", "batch" or "function", see `legacy_tf.dqn`; "": the one style of an agent that takes none.
        updates_a_call: see `prepare_task`.

    Raises:
        NotApplicableError: The agent has one style of its own, or several where its own was asked for.
    """

    def __init__(
        self, *, pair: str, pairs: str | None, threads: int, style: str, updates_a_call: int = 1
    ) -> None:
        del threads
        factory = find_class(load_pair(pair, pairs).legacy)
        if bool(style) != takes(factory, "style"):
            message = f"{name_of(factory)} takes {'no' if style else 'a'} 'style'"
            raise NotApplicableError(message)
        self._updates_a_call = updates_a_call
        self._scenario = find_scenario(pair, pairs)
        self._build = plan_build(factory, self._scenario, {"style": style})

    def prepare(self, task: str) -> Prepared:
        """Return the task."""
        return prepare_task(
            task, self._build, scenario=self._scenario, updates_a_call=self._updates_a_call
        )

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Write the files that Keras 3 writes, or a session's saver; return (format, bytes) pairs."""
        agent = self._build()
        agent.update(self._scenario.draw_batch(32))  # the optimizer's state exists after a step
        network: Any = find_network(agent, self._scenario)  # Any: TensorFlow has no types
        root = Path(folder)
        if not hasattr(
            network, "save"
        ):  # of a TensorFlow 1 graph: there is one saver for all of it
            agent.save(root / "agent")
            written = sum(path.stat().st_size for path in root.glob("agent*"))
            yield f"checkpoint of TensorFlow 1: {self._scenario.saved}", written
            return
        yield ".h5, whole model (Keras 3)", _written(network.save, root / "model.h5")
        yield ".keras, whole model", _written(network.save, root / "model.keras")
        # Keras writes the optimizer of a compiled model along with the weights.
        optimizer = getattr(network, "optimizer", None)
        label = f".weights.h5 with {type(optimizer).__name__}" if optimizer else ".weights.h5"
        yield label, _written(network.save_weights, root / "model.weights.h5")


def _written(save: Any, path: Path) -> int:  # noqa: ANN401
    """Return the size of what `save` writes to `path`. Any: a method of an untyped library."""
    save(str(path))
    return path.stat().st_size
