"""A plan: all of a conversion as data. `converters.plan` makes it, of agents `converters.agents`; writers and reports read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from converters.agents.parts import AgentParts
from converters.architecture import Architecture
from converters.matching.model_weights import Path
from converters.moves import Move
from converters.optimizers.plan import OptimizerPlan


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a conversion, as data.

    Attributes:
        architecture: the torch module.
        moves: model state, in the order of the module's state dict.
        optimizer: what becomes of the optimizer; None: the file has none, or the reason is in `notes`.
        slots: optimizer state: one mapping of torch state key to move for every trainable parameter, in the order
            of the module's parameters.
        parameters: names of the trainable parameters, in the same order.
        ignored: stored arrays that are not converted, with the reason.
        notes: what a user should know.
        origins: for every step of the architecture, the path of the layer it comes from.
        input_layout: "nhwc" or "nchw": how images come in; None: no input is an image.
        agent: for checkpoints of whole agents, what belongs to them beside their networks.
        assumed: what the file does not say and a user has to check.
        twins: stored name to that of the same array, which the file has twice.
    """

    architecture: Architecture
    moves: tuple[Move, ...]
    optimizer: OptimizerPlan | None
    slots: tuple[Mapping[str, Move], ...]
    parameters: tuple[str, ...]
    ignored: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    origins: tuple[Path, ...]
    roles: Mapping[str, tuple[Path, str]]  # state key to layer path and role of the legacy weight
    input_layout: str | None = None
    agent: AgentParts | None = None  # of a whole agent: `architecture` may be empty then
    assumed: tuple[str, ...] = ()
    twins: Mapping[str, str] = field(default_factory=dict)

    def moves_of(self, path: Path) -> list[tuple[str, Move]]:
        """Return the moves of one layer with the role of each array."""
        found = ((self.roles[move.target], move) for move in self.moves)
        return [(role, move) for (origin, role), move in found if origin == path]
