"""Layer rules, one module a family; importing this package registers them all."""

from __future__ import annotations

from converters.layers import activations, dense, merging, normalization, regularization, reshaping

__all__ = ["activations", "dense", "merging", "normalization", "regularization", "reshaping"]
