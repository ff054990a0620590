"""Keras layers that are not converted, each with the reason. A test compares this list with the installed Keras."""

from __future__ import annotations

_CODE = "holds or names code, and code from a file is never run"

_COMPLEX = "computes with complex numbers"
_SIGNS = "gives vectors whose signs each library chooses for itself"
_UNKNOWN_SIZE = "gives tensors whose size depends on the elements of its input"

REFUSED = {
    "FlaxLayer": _CODE,
    "JaxLayer": _CODE,
    "Lambda": _CODE,
    "TorchModuleWrapper": _CODE,
    "TFSMLayer": "runs a SavedModel that is not in the file",
    "Layer": "computes nothing by itself: it is what all layers are made from",
    "Wrapper": "computes nothing by itself: it is what wrapping layers are made from",
    **{
        f"ops.{name}": _CODE
        for name in (
            *("AssociativeScan", "Cond", "ForiLoop", "Map", "Scan", "Switch", "VectorizedMap"),
            *("WhileLoop", "JVP", "Function"),
        )
    },
    "ops.Argpartition": "gives places in an order that each backend of Keras chooses for itself",
    "ops.Arange": _UNKNOWN_SIZE,
    "ops.Bincount": _UNKNOWN_SIZE,
    "ops.Nonzero": _UNKNOWN_SIZE,
    "ops.Unique": _UNKNOWN_SIZE,
    "ops.Eig": _COMPLEX,
    "ops.Eigh": _SIGNS,
    "ops.ElasticTransform": "draws random numbers, each backend of Keras its own",
    "ops.Histogram": "is not in Keras's backend for TensorFlow",
    "ops.Ndim": "gives a number and no tensor",
    "ops.Polar": _COMPLEX,
    "ops.ViewAsComplex": _COMPLEX,
    "ops.ViewAsReal": _COMPLEX,
}
"""Class name to why there is no rule."""
NOT_LAYERS = {
    "InputLayer": "an input of the graph",
    "InputSpec": "what describes an input",
    "Pipeline": "read as the nested model that it is",
}
"""Names of keras.layers that need no rule."""
