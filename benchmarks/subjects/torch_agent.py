"""A PyTorch agent, eager or compiled."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.environment import compiler_name
from benchmarks.subjects import MissingExtraError, Prepared
from benchmarks.subjects.agent_tasks import find_class, prepare_task


class TorchAgent:
    """The rewrite, on the CPU.

    Args:
        agent: "module:Class".
        threads: of torch within an operation.
        compiled: let the agent compile its step.
        updates_a_call: see `prepare_task`.
    """

    def __init__(self, *, agent: str, threads: int, compiled: bool, updates_a_call: int) -> None:
        torch.set_num_threads(threads)
        self._compiled, self._updates_a_call = compiled, updates_a_call
        self._build = partial(find_class(agent), device="cpu", compiled=compiled)

    def prepare(self, task: str) -> Prepared:
        """Return the task, with what compiling took.

        Raises:
            MissingExtraError: It would have to compile and there is no C++ compiler.
        """
        if not self._compiled:
            return prepare_task(task, self._build, updates_a_call=self._updates_a_call)
        if compiler_name() is None:
            message = "no C++ compiler found (g++ or clang++): torch.compile cannot be measured"
            raise MissingExtraError(message)
        before = _cache_counts()
        prepared = prepare_task(task, self._build, updates_a_call=self._updates_a_call)
        hits, misses = (new - old for new, old in zip(_cache_counts(), before, strict=True))
        cache = f"{hits} of {hits + misses} graphs from the compile cache"
        return Prepared(
            prepared.operation,
            prepared.multiple,
            {**prepared.details, **({"compiled": cache} if hits + misses else {})},
        )

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Write what people write and what torchward writes; return (format, bytes) pairs."""
        agent = self._build()
        prepare_one_update(agent)
        weights = agent.q_network.state_dict()
        root = Path(folder)
        # Saved to a path, torch.save writes the file's name into the archive, and its length counts.
        torch.save(weights, root / "model.pth")
        yield ".pth, state dict alone", (root / "model.pth").stat().st_size
        both = {"model_state_dict": weights, "optimizer_state_dict": agent.optimizer.state_dict()}
        torch.save(both, root / "both.pth")
        yield ".pth, weights and Adam (the guide's form)", (root / "both.pth").stat().st_size
        agent.save(root / "agent.pth")
        yield (
            ".pth of torchward: weights, target, Adam, settings",
            (root / "agent.pth").stat().st_size,
        )
        save_file(weights, root / "model.safetensors")
        yield ".safetensors, weights alone", (root / "model.safetensors").stat().st_size


def prepare_one_update(agent: object) -> None:
    """Take one update, so that the optimizer has its state."""
    from benchmarks.subjects.transitions import make_transitions

    agent.update(make_transitions(32))  # type: ignore[attr-defined]  # an agent, found by name


def _cache_counts() -> tuple[int, int]:
    """Return (hits, misses) of the compile cache in this process so far."""
    from torch._dynamo.utils import counters

    found = counters["inductor"]
    return found["fxgraph_cache_hit"], found["fxgraph_cache_miss"]
