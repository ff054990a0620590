"""The layer that keras-rl puts on a DQN for dueling: one column is the state's value, the others advantages.

    enable_dueling_network=True    Dense(actions + 1), then Lambda; dueling_type is "avg" by default, "max" or "naive"

The Lambda's code is never run: it is known by the file it was written in, and by the one name that sets its kinds apart.
Source: keras-rl 0.4.2 and keras-rl2 1.0.5, rl/agents/dqn.py.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from converters.graph import Graph

KINDS = {"avg": "Mean", "max": "Max", "naive": None}
"""What is taken away from the advantages."""
MODULE = "rl.agents.dqn"
_FILES = (b"rl/agents/dqn.py", b"rl\\agents\\dqn.py")
_NAMES = {"avg": b"\x04mean", "max": b"\x03max"}
"""As stored code has short names: their length in front."""


def dueling_kind(config: Mapping[str, object]) -> tuple[str, int] | None:
    """Return the kind of dueling and the number of columns of a stored Lambda; None: it is another function."""
    function, shape = config.get("function"), config.get("output_shape")
    text = function[0] if isinstance(function, list) and function else None
    if isinstance(shape, dict):
        shape = shape.get("items")
    if not isinstance(text, str) or not isinstance(shape, list) or len(shape) != 1:
        return None
    try:
        code = base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        return None
    ours = config.get("module") == MODULE or any(name in code for name in _FILES)
    if not ours or b"expand_dims" not in code or not isinstance(shape[0], int) or shape[0] < 1:
        return None
    return next((kind for kind, name in _NAMES.items() if name in code), "naive"), shape[0] + 1


def dueling_graph(name: str, columns: int, kind: str = "avg") -> Graph:
    """Return (batch, columns) to (batch, columns - 1): column 0 plus the others, less their mean or largest."""
    # Here and not above: every conversion imports this module, few need what reads graphs of TensorFlow.
    from converters.tensorflow_graphs.builder import GraphBuilder

    builder = GraphBuilder()
    whole = slice(None)
    scores = builder.input("scores", (None, columns), "float32", "scores")
    value, advantage = (
        builder.operation(each, "GetItem", {"x": scores, "key": (whole, part)})[0]
        for each, part in (("value", slice(0, 1)), ("advantage", slice(1, None)))
    )
    total = builder.operation("total", "Add", {"x1": value, "x2": advantage})[0]
    taken = KINDS[kind]
    if taken is not None:
        settings = {"x": advantage, "axis": (1,), "keepdims": True}
        less = builder.operation("less", taken, settings)[0]
        total = builder.operation("q_values", "Subtract", {"x1": total, "x2": less})[0]
    return builder.graph(name, [total], ())
