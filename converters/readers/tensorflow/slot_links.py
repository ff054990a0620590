"""Optimizers inside a graph of objects, each slot with the variable it belongs to.

Old optimizers say it by their links (slot, variable, array), new ones of Keras by the name of the slot, which ends in the
variable's: "Adam/m/q_network/dense/kernel". Adam's are known; the others have settings that no file of objects holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from converters.checkpoint import ArrayInfo, NamedOptimizer
from converters.readers.tensorflow.keras_objects import Objects
from converters.readers.tensorflow.object_graph import Node

ADAM = {"m": "exp_avg", "v": "exp_avg_sq"}
BETAS = {"beta_1": 0.9, "beta_2": 0.999}
KERAS_EPSILON, TENSORFLOW_EPSILON = 1e-7, 1e-8
"""Defaults, which no checkpoint holds: of `tf.keras.optimizers.Adam` and of `tf.compat.v1.train.AdamOptimizer`."""
COUNTERS = ("iter", "_iterations")
POWERS = ("beta1_power", "beta2_power")


def linked_optimizers(objects: Objects) -> tuple[NamedOptimizer, ...]:
    """Return every Adam of a graph of objects, by the attributes that lead to it; empty if there is none."""
    paths = _paths(objects)
    found = []
    for number, node in enumerate(objects.nodes):
        slots = dict(_slots(objects, node, paths))
        if slots and all(set(each) == set(ADAM.values()) for each in slots.values()):
            found.append(_optimizer(objects, node, paths.get(number, "optimizer"), slots))
    return tuple(found)


def _slots(
    objects: Objects, node: Node, paths: Mapping[int, str]
) -> Iterator[tuple[str, dict[str, ArrayInfo]]]:
    """Yield stored name of a variable and its slots, of an optimizer."""
    links: dict[int, dict[str, ArrayInfo]] = {}
    for slot, variable, stored in node.slots:
        array = objects.array(stored)
        if array is not None:
            links.setdefault(variable, {})[ADAM.get(slot, slot)] = array
    if not links and set(node.children) >= {"_iterations", "_variables"}:
        links = _links_by_name(objects, node, paths)
    for variable, slots in links.items():
        weight = objects.array(variable)
        if weight is not None:
            yield weight.name, slots


def _links_by_name(
    objects: Objects, node: Node, paths: Mapping[int, str]
) -> dict[int, dict[str, ArrayInfo]]:
    names: dict[str, list[int]] = {}
    for number, each in enumerate(objects.nodes):
        if each.full_name and objects.array(number) is not None:
            names.setdefault(each.full_name, []).append(number)
    links: dict[int, dict[str, ArrayInfo]] = {}
    for number in objects.nodes[node.children["_variables"]].items():
        name, array = objects.nodes[number].full_name, objects.array(number)
        for slot, key in ADAM.items():
            _, found, weight = name.partition(f"/{slot}/")
            places = names.get(weight, [])
            if len(places) > 1:  # a copy of a network has its names too; a target is not trained
                places = [place for place in places if "target" not in paths.get(place, "target")]
            if found and array is not None and len(places) == 1:
                links.setdefault(places[0], {})[key] = array
    return links


def _optimizer(
    objects: Objects, node: Node, name: str, slots: Mapping[str, Mapping[str, ArrayInfo]]
) -> NamedOptimizer:
    numbers = {
        key.lstrip("_"): float(np.asarray(array.read()))
        for key, child in node.children.items()
        if (array := objects.array(child)) is not None and math.prod(array.shape) == 1
    }
    counted = next(
        (numbers[key.lstrip("_")] for key in COUNTERS if key.lstrip("_") in numbers), None
    )
    config: dict[str, object] = {key: numbers.get(key, value) for key, value in BETAS.items()}
    config["epsilon"] = KERAS_EPSILON
    if counted is None:
        counted = _from_power(numbers.get(POWERS[0]), numbers.get(POWERS[1]))
        config["epsilon"] = TENSORFLOW_EPSILON
    if numbers.get("decay"):
        config["decay"] = numbers["decay"]
    rate = numbers.get("learning_rate")
    return NamedOptimizer(name, "Adam", config, rate, int(counted), slots)


def _from_power(first: float | None, second: float | None) -> float:
    """Return the updates done, from beta ** (t + 1) of TensorFlow 1's optimizer."""
    tiny = float(np.finfo(np.float32).tiny)
    for power, beta in ((first, BETAS["beta_1"]), (second, BETAS["beta_2"])):
        if power is not None and tiny <= power < 1:
            return max(0, round(math.log(power) / math.log(beta)) - 1)
    return 0


def _paths(objects: Objects) -> dict[int, str]:
    """Return every object by the shortest path of attributes."""
    found = {0: ""}
    front = [0]
    while front:
        below = []
        for number in front:
            for name, child in objects.nodes[number].children.items():
                if child not in found:
                    found[child] = f"{found[number]}/{name}" if found[number] else name
                    below.append(child)
        front = below
    return found
