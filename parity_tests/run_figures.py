"""What every training run, in an environment or on recorded data, shows and writes down at its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from experience.evaluation import play_episodes
from experience.logs import Listener
from experience.trainable import TrainableAgent

RESULT_FILE = "result.json"
FINAL_SEED = 5_000_000
"""Of the first final evaluation episode; those that choose the weights start at 1,000,000."""


class Observer(Listener, Protocol):
    """Whoever shows a run."""

    def on_start(self, facts: Mapping[str, object]) -> None:
        """Take note of what has been set up."""
        ...


def evaluate_finally(
    agent: TrainableAgent,
    make: Callable[[], Any],  # Any: a gymnasium environment
    *,
    episodes: int,
) -> dict[str, Any]:  # Any: JSON
    """Return the figures of greedy episodes that no weights were chosen by, and whether they solve the environment."""
    returns = play_episodes(agent, make, episodes=episodes, seed=FINAL_SEED)
    environment = make()
    # The mean return from which Gymnasium calls it solved.
    threshold = environment.spec.reward_threshold if environment.spec else None
    environment.close()
    return {
        "final_episodes": len(returns),
        "mean_return": float(returns.mean()),
        "deviation": float(returns.std()),
        "minimum": float(returns.min()),
        "maximum": float(returns.max()),
        "threshold": threshold,
        "solved": None if threshold is None else bool(returns.mean() >= threshold),
    }


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write the file as a whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(path)
