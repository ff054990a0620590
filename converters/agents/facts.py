"""What a file of an RL library says of its agent beside the arrays: plain data, read without running anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

OWN = "of the user's own"
"""In the place of a function that computes more than one operation."""
_ANY = re.compile(r"[^/]+")


@dataclass(frozen=True, slots=True)
class GraphHints:
    """Facts of a graph.

    Attributes:
        activations: scope of a layer to the function of what it gives; `OWN` for any other.
        convolutions: scope of a convolution to its stride and padding.
        placeholders: name to shape (None: open) and type.
        one_hots: scope to the sizes of what becomes one-hot in it, in stored order.
        scalings: scope to what is subtracted there and then divided by.
        splits: scope to the sizes of the parts into which something is cut there.
        choices: scope to the operations that choose in it: "ArgMax", "Round".
        clips: scope of `tf.clip_by_value` to its bounds.
        trained: names of the variables that an optimizer of the graph trains.
    """

    activations: Mapping[str, str] = field(default_factory=dict)
    convolutions: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    placeholders: Mapping[str, tuple[tuple[int | None, ...], str]] = field(default_factory=dict)
    one_hots: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    scalings: Mapping[str, tuple[NDArray[np.generic], NDArray[np.generic]]] = field(
        default_factory=dict
    )
    splits: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    choices: Mapping[str, frozenset[str]] = field(default_factory=dict)
    clips: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    trained: frozenset[str] = frozenset()

    def activation(self, *scopes: str, layers: re.Pattern[str] = _ANY) -> str | None:
        """Return the only activation behind the layers right in the first of these scopes that has one.

        Args:
            scopes: to look in.
            layers: fits the names of the layers that are meant, below the scope.

        Returns:
            None: there is none, or several.
        """
        for scope in scopes:
            found = {
                function
                for layer, function in self.activations.items()
                if layer.startswith(f"{scope}/") and layers.fullmatch(layer[len(scope) + 1 :])
            }
            if found:
                return found.pop() if len(found) == 1 else None
        return None


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
