"""Which array of a group fills which weight of a layer: by the role that its name says, by its group, or by order.

`converters.matching.groups` says which group is whose. Paths are the names of the nested models down to a layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.matching.keras1_groups import role_of
from converters.registry import Weight


def assign(
    entry: LayerArrays,
    path: tuple[str, ...],
    weights: Sequence[Weight],
    found: dict[tuple[str, ...], dict[str, ArrayInfo]],
    problems: list[str],
) -> None:
    """Give the weights of one layer their arrays, or add to the problems.

    Args:
        entry: the layer's group.
        path: of the layer.
        weights: in stored order.
        found: arrays by path and role; filled.
        problems: lines for the error; added to.
    """
    needed = [weight.role for weight in weights]
    roles = {_role(role, needed): info for role, info in entry.arrays.items()}
    if set(roles) == set(needed) and len(roles) == len(entry.arrays):
        found[path] = {role: roles[role] for role in needed}
    elif (places := _by_place(entry, weights)) is not None:
        found[path] = places
    else:
        assign_by_order(entry, [(path, weight) for weight in weights], found, problems)


def _by_place(entry: LayerArrays, weights: Sequence[Weight]) -> dict[str, ArrayInfo] | None:
    """Return the arrays of a layer made of layers by the name of the group they lie in; None if any is not found.

    Groups are listed by the alphabet, weights are not: their order says nothing.
    """
    if len(entry.arrays) != len(weights) or not any("/" in weight.role for weight in weights):
        return None
    stored = {
        "/" + "/".join(part.lstrip("_") for part in name.removesuffix(":0").split("/")): info
        for name, info in entry.arrays.items()
    }
    result: dict[str, ArrayInfo] = {}
    for weight in weights:
        places = [f"/{place}" for place in (weight.role, weight.place) if place]
        fitting = [name for name in stored if name.endswith(tuple(places))]
        # A wrapper's name for what it holds, and those of models inside, are not in what TensorFlow calls a weight.
        inner = weight.role.partition("/")[2]
        while not fitting and "/" in inner:
            fitting = [name for name in stored if name.endswith(f"/{inner}")]
            inner = inner.partition("/")[2]
        if len(fitting) != 1:
            return None
        result[weight.role] = stored.pop(fitting[0])
    return result


def assign_by_order(
    entry: LayerArrays,
    needed: Sequence[tuple[tuple[str, ...], Weight]],
    found: dict[tuple[str, ...], dict[str, ArrayInfo]],
    problems: list[str],
) -> None:
    """Give weights the arrays of a group one after the other, unless a stated role speaks against it.

    Args:
        entry: the group.
        needed: weights in stored order, with the path of the layer each belongs to.
        found: arrays by path and role; filled.
        problems: lines for the error; added to.
    """
    own = [weight.role.rsplit("/", 1)[-1] for _, weight in needed]
    stated = [_role(role, own) for role in entry.arrays]
    # Where the file states roles they must agree with the order; digits only say an order, and TensorFlow adds a number
    # to a name that it has seen: "kernel_1".
    agree = all(
        role.isdigit()
        or {role, re.sub(r"_\d+$", "", role)}
        & {weight.role, weight.role.rsplit("/", 1)[-1], weight.formerly}
        for role, (_, weight) in zip(stated, needed, strict=False)
    )
    found_otherwise = None if agree else _by_names(entry, needed) or _by_runs(entry, stated, needed)
    if found_otherwise is not None:
        for path, roles in found_otherwise.items():
            found.setdefault(path, {}).update(roles)
        return
    if len(stated) != len(needed) or not agree:
        problems.append(
            f"layer '{entry.name or entry.path}': found {len(stated)} arrays ({', '.join(stated)}), "
            f"needed {len(needed)} ({listed_roles(needed)})"
        )
        return
    for (path, weight), info in zip(needed, entry.arrays.values(), strict=True):
        found.setdefault(path, {})[weight.role] = info


def _by_names(
    entry: LayerArrays, needed: Sequence[tuple[tuple[str, ...], Weight]]
) -> dict[tuple[str, ...], dict[str, ArrayInfo]] | None:
    """Return arrays by path and role, if the name of each has layer and role of just one weight; else None."""
    stored = {f"/{name.removesuffix(':0')}": info for name, info in entry.arrays.items()}
    result: dict[tuple[str, ...], dict[str, ArrayInfo]] = {}
    for path, weight in needed:
        fitting = [name for name in stored if name.endswith(f"/{path[-1]}/{weight.role}")]
        if len(fitting) != 1:
            return None
        result.setdefault(path, {})[weight.role] = stored.pop(fitting[0])
    return None if stored else result


def _by_runs(
    entry: LayerArrays,
    stated: Sequence[str],
    needed: Sequence[tuple[tuple[str, ...], Weight]],
) -> dict[tuple[str, ...], dict[str, ArrayInfo]] | None:
    """Return arrays by path and role, if each layer's lie together and have its roles, in whatever order; else None.

    Keras 3 adds the scales of float8 before the kernel where the policy says so from the beginning, and behind it
    where the layer is quantized later (keras 3.15.1, layers/core/dense.py, `build` and `quantize`).
    """
    roles: dict[tuple[str, ...], set[str]] = {}
    for path, weight in needed:
        roles.setdefault(path, set()).add(weight.role)
    arrays = list(zip(stated, entry.arrays.values(), strict=True))
    result: dict[tuple[str, ...], dict[str, ArrayInfo]] = {}
    for path, wanted in roles.items():
        result[path] = dict(arrays[: len(wanted)])
        del arrays[: len(wanted)]
        if set(result[path]) != wanted:
            return None
    return None if arrays else result


def _role(stored: str, needed: Sequence[str]) -> str:
    return role_of(stored.removesuffix(":0").rsplit("/", 1)[-1], needed)


def listed_roles(needed: Iterable[tuple[tuple[str, ...], Weight]]) -> str:
    """Return the roles of weights as text: "kernel, bias"."""
    return ", ".join(weight.role for _, weight in needed) or "none"
