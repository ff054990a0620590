"""d3rlpy's updates a second, in an interpreter that has d3rlpy: `python d3rlpy_updates.py DQN`.

It knows nothing of this project, because that interpreter need not have it. Protocol: `offline_updates.py`.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time

import numpy as np

TRANSITIONS, EPISODE, STATE, ACTIONS = 10_000, 100, 4, 2
BATCH, HIDDEN = 64, [128, 64, 32]


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(algorithm: str) -> None:
    """Answer every line of standard input, a number of seconds, with the updates done in them."""
    # By name: where this project is installed, d3rlpy need not be.
    d3rlpy, torch = (importlib.import_module(name) for name in ("d3rlpy", "torch"))
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    ends = (np.arange(TRANSITIONS) + 1) % EPISODE == 0
    dataset = d3rlpy.dataset.MDPDataset(
        rng.standard_normal((TRANSITIONS, STATE)).astype(np.float32),
        rng.integers(ACTIONS, size=(TRANSITIONS, 1)),
        rng.standard_normal(TRANSITIONS).astype(np.float32),
        ends.astype(np.float32),
    )
    config = getattr(d3rlpy.algos, f"{algorithm}Config")(
        batch_size=BATCH, encoder_factory=d3rlpy.models.VectorEncoderFactory(HIDDEN)
    )
    learner = config.create(device="cpu:0")
    learner.build_with_dataset(dataset)
    versions = {"d3rlpy": d3rlpy.__version__, "torch": torch.__version__}
    sys.stdout.write(json.dumps(versions) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        until, start, done = float(line), time.perf_counter(), 0
        while time.perf_counter() - start < until:
            learner.update(dataset.sample_transition_batch(BATCH))
            done += 1
        answer = {
            "updates": done,
            "seconds": time.perf_counter() - start,
            "peak_bytes": peak_bytes(),
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
