"""What a file of an RL library says of its agent beside the arrays: plain data, read without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.agents.graph_hints import GraphHints


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """The settings of an agent.

    Attributes:
        library: "stable-baselines", "baselines", ...; "" where only the arrays' names tell.
        settings: what the file states, by the library's own names; objects of pickles as `PickledObject`.
        in_order: whether the arrays lie in the order in which they were made.
        unread: parts of the file that are code, each with a word on what it is.
        given: what the user states with --set, by name; it wins.
        graph: of the graph beside the arrays, where there is one.
    """

    library: str
    settings: Mapping[str, object] = field(default_factory=dict)
    in_order: bool = True
    unread: tuple[tuple[str, str], ...] = ()
    given: Mapping[str, object] = field(default_factory=dict)
    graph: GraphHints | None = None
