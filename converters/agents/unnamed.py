"""Lists of arrays without names: what `sess.run(params)` gave, as baselines of 2017 and stable-baselines before 2.6 saved it.

The order is that in which the policy made its variables. Every order that is known is tried; the shapes must fit it from
layer to layer. More than one fit is refused, and so is none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork
from converters.agents.stable_baselines import agent
from converters.agents.stable_baselines.list_order import names_in_order
from converters.architecture import ActionRule
from converters.checkpoint import ArrayInfo
from converters.errors import AmbiguousTargetError, UnsupportedError

LIBRARY = "unnamed"
MAX_HIDDEN = 6
_IMAGES = ("c1", "c2", "c3", "fc1")
_HINT = (
    "get_weights() of a Keras model: --architecture model.json (model.to_json()) or --into my_networks.py:QNetwork; an RL "
    "library's list: load and save it with a newer version, which names the variables"
)


def recognizes(names: Collection[str]) -> bool:
    """Tell nothing: numbers are the names of many things, so only the reader knows."""
    return False


def plan(
    arrays: Mapping[str, ArrayInfo], facts: AgentFacts
) -> tuple[AgentNetwork, ActionRule, str]:
    """Return the networks of the only policy whose variables have these shapes in this order.

    Raises:
        UnsupportedError: There is none.
        AmbiguousTargetError: There are several.
    """
    shapes = [array.shape for array in arrays.values()]
    stated = names_in_order(facts, shapes)
    found = {"the policy that its settings state": stated} if stated else find_names(shapes)
    if not found:
        shown = ", ".join(map(str, shapes[:6]))
        msg = f"its {len(arrays)} arrays have no names, and the order of their shapes ({shown}, ...) is that of no policy that is known"
        raise UnsupportedError(msg, hint=_HINT)
    if len(found) > 1:
        msg = f"its {len(arrays)} arrays have no names, and fit {' and '.join(found)}"
        raise AmbiguousTargetError(msg, hint=_HINT)
    ((order, names),) = found.items()
    named = {
        name: replace(array, name=name) for name, array in zip(names, arrays.values(), strict=False)
    }
    network, rule, name = agent.plan(named, replace(facts, library="stable-baselines"))
    network.notes.append(
        f"the arrays have no names: taken by their {'order' if stated else 'shapes'} for {order}"
    )
    return network, rule, name


def named_agent(
    arrays: Mapping[str, ArrayInfo], facts: AgentFacts | None
) -> tuple[Mapping[str, ArrayInfo], AgentFacts | None]:
    """Return variables and settings of a list by the names that its settings tell; anything else as it is."""
    if facts is None or facts.library != LIBRARY:
        return arrays, facts
    names = names_in_order(facts, [array.shape for array in arrays.values()])
    if not names:
        return arrays, facts
    pairs = zip(names, arrays.values(), strict=False)
    found = {name: replace(array, name=name) for name, array in pairs}
    return found, replace(facts, library=agent.LIBRARY)


def find_names(shapes: Sequence[tuple[int, ...]]) -> dict[str, list[str]]:
    """Return the orders whose variables have these shapes, each with all names."""
    fits = {}
    for order, layers in _orders():
        for extra in (False, True):
            names = _variables(layers, log_std=extra)
            if len(names) == len(shapes) and _fits(dict(zip(names, shapes, strict=True))):
                fits[order] = names
    return fits


def _orders() -> Iterator[tuple[str, list[str]]]:
    """Yield every known order: its description, and its layers."""
    for hidden in range(MAX_HIDDEN):
        pairs = [name for number in range(hidden) for name in (f"pi_fc{number}", f"vf_fc{number}")]
        policy, value = pairs[::2], pairs[1::2]
        if hidden:
            yield (
                f"a policy of stable-baselines with {hidden} hidden layers",
                [*pairs, "vf", "pi", "q"],
            )
            yield (
                f"a policy of baselines with {hidden} hidden layers",
                [*policy, "pi", *value, "vf"],
            )
    yield "a policy of images of stable-baselines", [*_IMAGES, "vf", "pi", "q"]
    yield "a policy of images of baselines", [*_IMAGES, "pi", "vf"]
    yield "a recurrent policy of images of baselines", [*_IMAGES, "lstm1", "pi", "vf"]


def _variables(layers: Sequence[str], *, log_std: bool) -> list[str]:
    names: list[str] = []
    for layer in layers:
        parts = ("wx", "wh", "b") if layer == "lstm1" else ("w", "b")
        names += [f"model/{layer}/{part}" for part in parts]
        if log_std and layer == "pi" and layers[-1] == "q":
            names.append("model/pi/logstd")
    if log_std and layers[-1] != "q":
        names.append("model/pi/logstd")
    return names


def _fits(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether every layer takes what the one before it gives."""
    sizes: dict[str, tuple[int, int]] = {}
    for name, shape in shapes.items():
        _, layer, role = name.split("/")
        if role == "w":
            rank = 4 if layer in _IMAGES[:3] else 2
            bias = shapes[f"model/{layer}/b"]
            if len(shape) != rank or shape[-1] not in bias or max(bias) != shape[-1]:
                return False
            sizes[layer] = shape[-2], shape[-1]
    if "model/lstm1/wx" in shapes:
        inputs, recurrent = shapes["model/lstm1/wx"], shapes["model/lstm1/wh"]
        if len(inputs) != 2 or len(recurrent) != 2:
            return False
        if recurrent[1] != 4 * recurrent[0] or inputs[1] != recurrent[1]:
            return False
        sizes["lstm1"] = inputs[0], recurrent[0]
    if (
        sizes["vf"][1] != 1
        or shapes.get("model/pi/logstd", (1, sizes["pi"][1]))[-1] != sizes["pi"][1]
    ):
        return False
    return all(_chained([name for name in row if name in sizes], sizes) for row in _rows(sizes))


def _rows(sizes: Mapping[str, tuple[int, int]]) -> Iterator[list[str]]:
    """Yield the layers that follow each other, for the policy, the value and the unused action values."""
    shared = [name for name in (*_IMAGES, "lstm1") if name in sizes]
    for prefix, head in (("pi", "pi"), ("vf", "vf"), ("vf", "q")):
        own = [name for name in sizes if name.startswith(f"{prefix}_fc")]
        yield [*shared, *own, head]


def _chained(row: Sequence[str], sizes: Mapping[str, tuple[int, int]]) -> bool:
    for one, other in pairwise(row):
        given, taken = sizes[one][1], sizes[other][0]
        # Of flat images only that their number is a multiple of the channels is known.
        if given != taken and not (other == "fc1" and taken % given == 0):
            return False
    return True
