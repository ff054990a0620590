"""Our offline updates a second, one variant a process: `python -m benchmarks.subjects.offline_updates torch-eager DQN`.

First a line of JSON with versions; then every line of standard input, a number of seconds, is answered with one line
{"updates", "seconds", "peak_bytes"}. Drawing the batch is part of an update. d3rlpy_updates.py speaks the same.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from importlib.metadata import version

import numpy as np

from benchmarks.subjects import d3rlpy_updates as shared
from experience.offline_data import ReplayBuffer, make_episode
from experience.offline_settings import D3RLPY_ALGORITHMS

VARIANTS = {"torch-eager": "torch_impl", "torch-compiled": "torch_impl", "tensorflow": "legacy_tf"}
"""Variant to the package of its agent."""
UPDATES_A_CALL = 100


def make_buffer() -> ReplayBuffer:
    """Return random transitions in the sizes of `d3rlpy_updates`."""
    rng = np.random.default_rng(0)
    steps = shared.EPISODE
    ends = np.arange(steps) == steps - 1
    return ReplayBuffer(
        make_episode(
            rng.standard_normal((steps + 1, shared.STATE)),
            rng.integers(shared.ACTIONS, size=steps),
            rng.standard_normal(steps),
            ends,
            np.zeros(steps, bool),
        )
        for _ in range(shared.TRANSITIONS // steps)
    )


def main(variant: str, algorithm: str) -> None:
    """Answer every line of standard input with the updates done in so many seconds."""
    package = VARIANTS[variant]
    ours = D3RLPY_ALGORITHMS[algorithm]
    settings: dict[str, object] = {"preset": "d3rlpy", "hidden_sizes": shared.HIDDEN}
    if package == "torch_impl":
        import_module("torch").set_num_threads(1)
        settings["compiled"] = variant == "torch-compiled"
    agent_class = getattr(import_module(f"{package}.{ours.module}"), ours.name)
    agent = agent_class(shared.STATE, shared.ACTIONS, **settings)
    buffer, rng = make_buffer(), np.random.default_rng(1)
    agent.update_many(buffer, UPDATES_A_CALL, rng, shared.BATCH)  # compiles
    framework = "torch" if package == "torch_impl" else "tensorflow"
    _answer({framework: version(framework)})
    for line in sys.stdin:
        until, start, done = float(line), time.perf_counter(), 0
        while time.perf_counter() - start < until:
            agent.update_many(buffer, UPDATES_A_CALL, rng, shared.BATCH)
            done += UPDATES_A_CALL
        seconds = time.perf_counter() - start
        _answer({"updates": done, "seconds": seconds, "peak_bytes": shared.peak_bytes()})


def _answer(content: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
