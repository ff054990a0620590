"""What is Keras 3's own in a configuration: nodes of `keras.ops` among the layers, and names that differ from the class."""

from __future__ import annotations

from collections.abc import Mapping

OWN_NAMES = {"GroupedQueryAttention": "GroupQueryAttention"}
"""Classes whose own name, in .h5 files, is not the one that Keras exports."""


WITHOUT_TRAINABLE = (
    *("Discretization", "HashedCrossing"),
    *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
)
"""Layers whose configuration does not say whether they are trainable."""


def is_operation(entry: Mapping[str, object]) -> bool:
    """True for a node of keras.ops; an .h5 does not say its module, but layers say whether they are trainable."""
    if entry.get("module") is not None:
        return str(entry["module"]).startswith("keras.src.ops")
    config = entry["config"]
    known = isinstance(config, Mapping) and "trainable" in config
    known = known or entry.get("class_name") in WITHOUT_TRAINABLE
    return not known and bool(entry.get("inbound_nodes"))
