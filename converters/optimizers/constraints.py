"""Constraints of weights as configurations store them, as plain data for `torch_impl/keras_compat/constraints.py`."""

from __future__ import annotations

import math
from collections.abc import Mapping

CONSTRAINTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "maxnorm": ("MaxNorm", ("max_value", "axis")),
    "nonneg": ("NonNeg", ()),
    "unitnorm": ("UnitNorm", ("axis",)),
    "minmaxnorm": ("MinMaxNorm", ("min_value", "max_value", "rate", "axis")),
}
"""Name without underscores, in lower case, to the kind and its options."""
WITHOUT_EFFECT = {"name", "class_name", "m"}


def find_constraint(setting: object, order: list[list[int]] | None) -> dict[str, object] | None:
    """Return a stored constraint as plain data, or None: there is none, or none of this kind and these options.

    Args:
        setting: what the layer's configuration says: a name, or a class with its configuration.
        order: how the parameter lies in Keras (`keras_order`).
    """
    name: object = setting
    config: object = {}
    if isinstance(setting, Mapping):
        name = setting.get("class_name") or setting.get("name")
        config = setting.get("config", setting)  # Keras 1 stored the numbers beside the name
    plain = str(name).rsplit(">", 1)[-1].replace("_", "").lower() if name else ""
    if plain not in CONSTRAINTS or not isinstance(config, Mapping):
        return None
    kind, options = CONSTRAINTS[plain]
    if set(config) - set(options) - WITHOUT_EFFECT:
        return None
    given = {key: config[key] for key in options if key in config}
    if "m" in config:  # of Keras 1
        given["max_value"] = config["m"]
    if not all(_is_plain(value) for value in given.values()):
        return None
    kept = {key: list(v) if isinstance(v, (list, tuple)) else v for key, v in given.items()}
    return {"kind": kind, **kept, **({} if order is None else {"keras_order": order})}


def _is_plain(value: object) -> bool:
    """Return whether a value is a finite number or a list of axes."""
    if isinstance(value, (list, tuple)):
        return all(isinstance(axis, int) for axis in value)
    return isinstance(value, (int, float)) and abs(value) < math.inf
