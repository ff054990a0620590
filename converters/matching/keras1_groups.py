"""Which arrays belong to which layer where Keras 1 stored a model or a wrapper as one group.

Its names join layer and role: "dense_2_W", "forward_lstm_1_U_i".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from converters.checkpoint import ArrayInfo
from converters.graph import Layer
from converters.matching.keras1_gates import join_gates
from converters.registry import find_layer_rule

# `running_std` held the variance: the name is historical (keras 1.2.2, layers/normalization.py).
KERAS1_ROLES: Mapping[str, tuple[str, ...]] = {
    "W": ("kernel", "embeddings"),
    "U": ("recurrent_kernel",),
    "b": ("bias",),
    "running_mean": ("moving_mean",),
    "running_std": ("moving_variance",),
    "alphas": ("alpha",),
}
"""What Keras 1 called a weight, and what later ones call it, by layer."""
ROLE = re.compile(
    r"(.+?)_((?:[WUb](?:_[a-z]|_carry)?)|gamma|beta|running_mean|running_std|alphas|betas|[ta]_(?:left|right)"
    r"|(?:depth|point)wise_kernel)"
)
"""A layer's name and a role of Keras 1: `dense_1_W`, `lstm_1_W_i`, `bn_running_mean`."""
Path = tuple[str, ...]


def role_of(stored: str, needed: Sequence[str]) -> str:
    """Return what later Kerases call a role; `needed` are the roles of the layer."""
    known = KERAS1_ROLES.get(stored, ())
    if stored in needed or not known:
        return stored
    return next((role for role in known if role in needed), known[0])


def deal_out(
    parts: Sequence[tuple[Path, Layer]], arrays: Mapping[str, ArrayInfo]
) -> dict[Path, dict[str, ArrayInfo]] | None:
    """Return the arrays of one group by layer and role; None where the names do not tell.

    Args:
        parts: the layers of a nested model, or the one wrapper, with their paths.
        arrays: of the group.
    """
    groups: dict[str, dict[str, ArrayInfo]] = {}
    for info in arrays.values():
        match = ROLE.fullmatch(re.sub(r":\d+$", "", info.name.rsplit("/", 1)[-1]))
        if match is None:
            return None
        groups.setdefault(match[1], {})[match[2]] = info
    owners = [
        (path, prefix, owner, [weight.role for weight in weights])
        for path, layer in parts
        for prefix, owner in _owners(layer)
        if (weights := find_layer_rule(owner.class_name).stored_weights(owner))
    ]
    if sum(len(group) for group in groups.values()) != len(arrays) or len(groups) != len(owners):
        return None
    if set(groups) == {owner.name for _, _, owner, _ in owners}:
        groups = {owner.name: groups[owner.name] for _, _, owner, _ in owners}
    found: dict[Path, dict[str, ArrayInfo]] = {}
    for (path, prefix, owner, needed), group in zip(owners, groups.values(), strict=True):
        roles = {role_of(role, needed): info for role, info in join_gates(owner, group).items()}
        if set(roles) != set(needed):
            return None
        found.setdefault(path, {}).update({f"{prefix}{role}": roles[role] for role in needed})
    return found


def _owners(layer: Layer, prefix: str = "") -> list[tuple[str, Layer]]:
    """Return the layer and all that it wraps, each with what comes before its roles."""
    below = [
        pair for name, part in layer.inner.items() for pair in _owners(part, f"{prefix}{name}/")
    ]
    own = [] if layer.class_name == "InputLayer" or layer.graph is not None else [(prefix, layer)]
    return [*own, *below]
