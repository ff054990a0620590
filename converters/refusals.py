"""Keras layers that are not converted, each with the reason. A test compares this list with the installed Keras."""

from __future__ import annotations

_CODE = "holds or names code, and code from a file is never run"

REFUSED = {
    "FlaxLayer": _CODE,
    "JaxLayer": _CODE,
    "Lambda": _CODE,
    "TorchModuleWrapper": _CODE,
    "TFSMLayer": "runs a SavedModel that is not in the file",
    "Layer": "computes nothing by itself: it is what all layers are made from",
    "Wrapper": "computes nothing by itself: it is what wrapping layers are made from",
}
"""Class name to why there is no rule."""
NOT_LAYERS = {
    "InputLayer": "an input of the graph",
    "InputSpec": "what describes an input",
    "Pipeline": "read as the nested model that it is",
}
"""Names of keras.layers that need no rule."""
