"""What a converted file holds of an agent beside its networks: settings, and every optimizer with its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from converters.checkpoint import ArrayInfo
from converters.moves import Move


@dataclass(frozen=True, slots=True)
class AgentOptimizer:
    """One optimizer of an agent.

    Attributes:
        kind: "adam" or "rmsprop".
        numbers: entries of its `param_groups`; an array of one element is read when the file is written.
        slots: for every weight that it trains, state name to move.
    """

    kind: str
    numbers: Mapping[str, float | ArrayInfo]
    slots: tuple[Mapping[str, Move], ...]


@dataclass(frozen=True, slots=True)
class AgentParts:
    """An agent without its networks.

    Attributes:
        settings: what the agent's `load` reads: class, arguments, dtype, counters.
        optimizers: by the agent's own names.
        loader: the class in torch_impl whose `load` reads the file.
        networks: name to moves, of agents that store a dictionary of tensors for every network and one for every
            optimizer, under their names; None: all networks are in the model's state, all optimizers in "optimizers".
    """

    settings: Mapping[str, object]
    optimizers: Mapping[str, AgentOptimizer]
    loader: str
    networks: Mapping[str, tuple[Move, ...]] | None = None

    def summary(self) -> dict[str, str]:
        """Return what a report shows."""
        kinds = [f"{name} {each.kind}" for name, each in self.optimizers.items()]
        return {
            "class": str(self.settings["class"]),
            "optimizers": ", ".join(kinds) or "none",
            "loader": self.loader,
        }
