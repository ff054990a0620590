"""Which arrays belong to which layer where Keras 1 stored a model or a wrapper as one group.

Its names join layer and role: "dense_2_W", "forward_lstm_1_U_i".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from converters.checkpoint import ArrayInfo
from converters.graph import Layer
from converters.matching.keras1_gates import GATES, join_gates
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
    r"((?:[WUb](?:_[a-z]|_carry)?)|gamma|beta|running_mean|running_std|alphas|betas|[ta]_(?:left|right)"
    r"|(?:depth|point)wise_kernel)(_\d{1,9})?"
)
"""A role of Keras 1: `W`, `W_i`, `running_mean`; `W_1` where TensorFlow had seen the name before, as that of a target
network's layer that is called as the online network's."""
Path = tuple[str, ...]
Named = tuple[str, str, str, ArrayInfo]
"""Layer, role and number of a stored array, and the array."""


def role_of(stored: str, needed: Sequence[str]) -> str:
    """Return what later Kerases call a role; `needed` are the roles of the layer."""
    known = KERAS1_ROLES.get(stored, ())
    if stored in needed or not known:
        return stored
    return next((role for role in known if role in needed), known[0])


def split_name(stored: str, known: Sequence[str] = ()) -> tuple[str, str, str] | None:
    """Return layer, role and TensorFlow's number of a stored name: ("lstm_1", "W_i", "") for "lstm_1_W_i".

    Args:
        stored: without the number of the output, ":0".
        known: names of layers, which may end like a role themselves; the longest that fits is taken before any other.

    Returns:
        None where no part of the name is a role.
    """
    splits = [
        (stored[: place.start()], match[1], match[2] or "")
        for place in re.finditer("_", stored)
        if place.start() and (match := ROLE.fullmatch(stored, place.end()))
    ]
    named = [split for split in splits if split[0] in known]
    return named[-1] if named else next(iter(splits), None)


def deal_out(
    parts: Sequence[tuple[Path, Layer]], arrays: Mapping[str, ArrayInfo]
) -> dict[Path, dict[str, ArrayInfo]] | None:
    """Return the arrays of one group by layer and role; None where the names do not tell.

    Args:
        parts: the layers of a nested model, or the one wrapper, with their paths.
        arrays: of the group.
    """
    owners = [
        (path, prefix, owner, [weight.role for weight in weights])
        for path, layer in parts
        for prefix, owner in _owners(layer)
        if (weights := find_layer_rule(owner.class_name).stored_weights(owner))
    ]
    names = [owner.name for _, _, owner, _ in owners]
    named: list[tuple[str, str, str, ArrayInfo]] = []
    for info in arrays.values():
        split = split_name(re.sub(r":\d+$", "", _last(info.name, names)), names)
        if split is None:
            return None
        named.append((*split, info))
    if {name for name, *_ in named} == set(names):
        dealt = _by_name([owner for _, _, owner, _ in owners], named)
    else:
        dealt = _by_place(named)
    if sum(map(len, dealt)) != len(arrays) or len(dealt) != len(owners):
        return None
    found: dict[Path, dict[str, ArrayInfo]] = {}
    for (path, prefix, owner, needed), group in zip(owners, dealt, strict=True):
        roles = {role_of(role, needed): info for role, info in join_gates(owner, group).items()}
        if set(roles) != set(needed):
            return None
        found.setdefault(path, {}).update({f"{prefix}{role}": roles[role] for role in needed})
    return found


def _by_name(owners: Sequence[Layer], named: Sequence[Named]) -> list[dict[str, ArrayInfo]]:
    """Return the arrays of each owner by its name. Of one name and role, the first has TensorFlow's lowest number."""
    waiting: dict[tuple[str, str], list[tuple[int, ArrayInfo]]] = {}
    for name, role, number, info in named:
        waiting.setdefault((name, role), []).append((int(number.lstrip("_") or 0), info))
    for same in waiting.values():
        same.sort(key=lambda pair: pair[0])
    return [
        {
            role: same.pop(0)[1]
            for (name, role), same in waiting.items()
            if name == owner.name and same and _takes(owner, role)
        }
        for owner in owners
    ]


def _by_place(named: Sequence[Named]) -> list[dict[str, ArrayInfo]]:
    """Return the arrays of each layer that the file names, in the file's order."""
    groups: dict[tuple[str, str], dict[str, ArrayInfo]] = {}
    for name, role, number, info in named:
        groups.setdefault((name, number), {})[role] = info
    return list(groups.values())


def _takes(owner: Layer, role: str) -> bool:
    """Return whether a layer has a weight, or a gate's part of it, that Keras 1 called so."""
    needed = [weight.role for weight in find_layer_rule(owner.class_name).stored_weights(owner)]
    whole = role[0] if role[2:] and role[2:] in GATES.get(owner.class_name, "") else role
    return role_of(whole, needed) in needed


def _last(stored: str, names: Sequence[str]) -> str:
    """Return a stored name without the groups it lies in; names of layers may have a slash, too."""
    return next(
        (
            stored[place + 1 :]
            for name in names
            if "/" in name and (place := stored.rfind(f"/{name}_")) >= 0
        ),
        stored.rsplit("/", 1)[-1],
    )


def _in_order(
    groups: Mapping[tuple[str, str], dict[str, ArrayInfo]], names: Sequence[str]
) -> list[dict[str, ArrayInfo]]:
    """Return the arrays of each owner: by its name, else by place. Of one name, the first has the lowest number."""
    if sorted(name for name, _ in groups) != sorted(names):
        return list(groups.values())
    waiting: dict[str, list[tuple[int, dict[str, ArrayInfo]]]] = {}
    for (name, number), group in groups.items():
        waiting.setdefault(name, []).append((int(number.lstrip("_") or 0), group))
    for same in waiting.values():
        same.sort(key=lambda pair: pair[0])
    return [waiting[name].pop(0)[1] for name in names]


def _owners(layer: Layer, prefix: str = "") -> list[tuple[str, Layer]]:
    """Return the layer and all that it wraps, each with what comes before its roles."""
    below = [
        pair for name, part in layer.inner.items() for pair in _owners(part, f"{prefix}{name}/")
    ]
    own = [] if layer.class_name == "InputLayer" or layer.graph is not None else [(prefix, layer)]
    return [*own, *below]
