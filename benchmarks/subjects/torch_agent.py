"""A PyTorch agent, eager or compiled."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.environment import compiler_name
from benchmarks.subjects import MissingExtraError, NotApplicableError, Prepared
from benchmarks.subjects.agent_tasks import prepare_task
from benchmarks.subjects.agents import find_class, find_network, name_of, plan_build, takes
from benchmarks.subjects.scenarios import find_scenario, load_pair


class TorchAgent:
    """The rewrite, on the CPU.

    Args:
        pair: name of the agent pair.
        pairs: "module:NAME" of the user's own pairs, None: ours.
        threads: of torch within an operation.
        compiled: let the agent compile its step.
        updates_a_call: see `prepare_task`.

    Raises:
        NotApplicableError: The agent cannot compile its step.
    """

    def __init__(
        self, *, pair: str, pairs: str | None, threads: int, compiled: bool, updates_a_call: int
    ) -> None:
        torch.set_num_threads(threads)
        factory = find_class(load_pair(pair, pairs).torch)
        if compiled and not takes(factory, "compiled"):
            message = f"{name_of(factory)} takes no 'compiled'"
            raise NotApplicableError(message)
        self._compiled, self._updates_a_call = compiled, updates_a_call
        self._scenario = find_scenario(pair, pairs)
        self._build = plan_build(factory, self._scenario, {"device": "cpu", "compiled": compiled})

    def prepare(self, task: str) -> Prepared:
        """Return the task, with what compiling took.

        Raises:
            MissingExtraError: It would have to compile and there is no C++ compiler.
        """
        if not self._compiled:
            return self._prepare(task)
        if compiler_name() is None:
            message = "no C++ compiler found (g++ or clang++): torch.compile cannot be measured"
            raise MissingExtraError(message)
        before = _cache_counts()
        prepared = self._prepare(task)
        hits, misses = (new - old for new, old in zip(_cache_counts(), before, strict=True))
        cache = f"{hits} of {hits + misses} graphs from the compile cache"
        return Prepared(
            prepared.operation,
            prepared.multiple,
            {**prepared.details, **({"compiled": cache} if hits + misses else {})},
        )

    def _prepare(self, task: str) -> Prepared:
        return prepare_task(
            task, self._build, scenario=self._scenario, updates_a_call=self._updates_a_call
        )

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Write what people write and what torchward writes; return (format, bytes) pairs."""
        agent = self._build()
        agent.update(self._scenario.draw_batch(32))  # the optimizer has its state then
        weights = find_network(agent, self._scenario).state_dict()
        root = Path(folder)
        # Saved to a path, torch.save writes the file's name into the archive, and its length counts.
        torch.save(weights, root / "model.pth")
        yield ".pth, state dict alone", (root / "model.pth").stat().st_size
        if hasattr(agent, "optimizer"):
            both = {
                "model_state_dict": weights,
                "optimizer_state_dict": agent.optimizer.state_dict(),
            }
            torch.save(both, root / "both.pth")
            name = type(agent.optimizer).__name__
            yield f".pth, weights and {name} (the guide's form)", (root / "both.pth").stat().st_size
        agent.save(root / "agent.pth")
        # An agent may write several files.
        written = sum(path.stat().st_size for path in root.glob("agent*"))
        yield f".pth of torchward: {self._scenario.saved}", written
        save_file(weights, root / "model.safetensors")
        yield ".safetensors, weights alone", (root / "model.safetensors").stat().st_size


def _cache_counts() -> tuple[int, int]:
    """Return (hits, misses) of the compile cache in this process so far."""
    from torch._dynamo.utils import counters

    found = counters["inductor"]
    return found["fxgraph_cache_hit"], found["fxgraph_cache_miss"]
