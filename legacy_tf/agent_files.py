"""The files of the suite's agents: those of `tf.train.Saver`, and one of plain data, from which training goes on bit by bit.

Mirror: torch_impl/agent_files.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experience.actor_critics import describe_agent, restore_arguments, set_generator

if TYPE_CHECKING:
    from legacy_tf.actor_critic import ActorCritic


def save_agent(agent: ActorCritic, path: str | Path) -> None:
    """Write all variables as `<path>.index`, `.data-00000-of-00001` and `.meta`, counters and noise as `<path>.json`."""
    with agent.graph.as_default():
        agent.saver.save(agent.session, str(path))
    text = json.dumps(describe_agent(agent), indent=1)
    Path(f"{path}.json").write_text(text, encoding="utf-8")


def load_agent(agent: ActorCritic, path: str | Path) -> None:
    """Read what `save_agent` wrote into an agent, or the three files alone, as the original repository writes them."""
    with agent.graph.as_default():
        agent.saver.restore(agent.session, str(path))
    state = Path(f"{path}.json")
    if state.exists():
        stored = json.loads(state.read_text(encoding="utf-8"))
        agent.counters = dict(stored["counters"])
        set_generator(agent.rng, stored["generator"])


def read_settings(path: str | Path, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the constructor's arguments of a saved agent; those that are given replace the file's."""
    stored = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
    known = {
        "args": restore_arguments(stored["arguments"]),
        "dtype": stored["dtype"],
        "seed": stored["seed"],
    }
    return {**known, **given}
