"""Agents of d3rlpy as plans: networks, optimizers and settings of our offline agents, of SAC and of TD3.

The names are in `d3rlpy_tables`, the settings in `d3rlpy_settings`. Hidden layers are `_encoder._layers.0`, `.2`, ... in d3rlpy
and fc1, fc2, ... here; matrices are as torch has them already, so nothing is transposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from converters.agents.d3rlpy_arrays import is_vector, join, keep, missing, scaled
from converters.agents.d3rlpy_settings import (
    RENAMED,
    SAME,
    SUITE,
    Scaling,
    action_bounds,
    carried,
    check_critics,
    hidden_units,
    observation_scaling,
    optimizer_problem,
    typed,
)
from converters.agents.d3rlpy_tables import ALGORITHMS, HIDDEN, Algorithm, Network
from converters.agents.parts import AgentOptimizer, AgentParts
from converters.architecture import Architecture
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import MismatchError, UnsupportedError
from converters.moves import Move
from converters.planned import Plan
from experience.offline_settings import d3rlpy_defaults

Key = tuple[str, str]
"""d3rlpy's module and the name of a tensor in its state dict."""


def plan_agent(checkpoint: Checkpoint) -> Plan:
    """Return the plan of a `.d3` file.

    Raises:
        UnsupportedError: The algorithm, or something of its networks, is not here.
        MismatchError: Modules and configuration do not belong together.
    """
    known = _Known(checkpoint)
    algorithm, parameters = known.algorithm, known.parameters
    if algorithm.critics is not None:
        check_critics(parameters, algorithm.critics)
    units = hidden_units(parameters)
    scaling = observation_scaling(parameters)
    moves = [
        move
        for name, network in algorithm.networks.items()
        for move in known.moves_of(name, network, units, scaling)
    ]
    if known.problems:
        listed = "\n  ".join(known.problems)
        msg = f"{len(known.problems)} tensors of the agent do not fit:\n  {listed}"
        raise MismatchError(msg)
    optimizers, notes = _plan_optimizers(known, moves, folded=scaling is not None)
    settings, further = _settings(known, units, optimizers)
    notes += [*further, *([algorithm.note] if algorithm.note else [])]
    if scaling is not None:
        notes.append(
            "the scaling of observations is part of the first layers now: the agent takes observations as they are"
        )
    module, _, name = algorithm.target.partition(":")
    return Plan(
        architecture=Architecture(name, (), (), (), dtype="float32"),
        moves=tuple(moves),
        optimizer=None,
        slots=(),
        parameters=tuple(move.target for move in moves),
        ignored=tuple(known.ignored(moves, optimizers)),
        notes=tuple(notes),
        origins=(),
        roles={},
        agent=AgentParts(
            settings,
            optimizers,
            f"{module}.{name}",
            networks=None if algorithm.suite else _by_network(algorithm, moves),
        ),
    )


def _by_network(algorithm: Algorithm, moves: list[Move]) -> dict[str, tuple[Move, ...]]:
    return {
        network: tuple(move for move in moves if move.target.startswith(f"{network}."))
        for network in algorithm.networks
    }


class _Known:
    """A file, looked up by d3rlpy's names."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        whole = (checkpoint.training or {}).get("d3rlpy")
        config = whole.get("config") if isinstance(whole, Mapping) else None
        if not isinstance(whole, Mapping) or not isinstance(config, Mapping):
            msg = "its configuration has no 'config'"
            raise MismatchError(msg)
        self.type, self.parameters = typed({"config": config}, "config")
        if self.type not in ALGORITHMS:
            msg = f"is a '{self.type:.40}' of d3rlpy; {', '.join(ALGORITHMS)} are converted"
            raise UnsupportedError(
                msg, hint="d3rlpy itself exports its policy: algo.save_policy('policy.onnx')"
            )
        self.algorithm = ALGORITHMS[self.type]
        shape = whole.get("observation_shape")
        if not isinstance(shape, list) or len(shape) != 1:
            msg = f"its observations are of shape {shape!s:.40}; agents here take a row of numbers"
            raise UnsupportedError(msg)
        self.sizes = (_count(shape[0]), _count(whole.get("action_size")))
        self.arrays: dict[Key, ArrayInfo] = {
            (layer.path, key): array
            for layer in checkpoint.layers
            for key, array in layer.arrays.items()
        }
        self.state = {array.name: array for array in checkpoint.extras}
        stored = (checkpoint.training or {}).get("optimizers")
        self.optimizers: Mapping[str, object] = stored if isinstance(stored, Mapping) else {}
        self.origins: dict[str, tuple[Key, ...]] = {}
        self.problems: list[str] = []

    def moves_of(
        self, name: str, network: Network, units: list[int], scaling: Scaling | None
    ) -> Iterator[Move]:
        """Yield the moves of one network of ours, in the order of its parameters."""
        for old, new in network.vectors.items():
            yield self._move((network.module, old), f"{name}.{new}", vector=True)
        if not network.heads:
            return
        for place in range(len(units)):
            layer = (network.module, f"{network.prefix}{HIDDEN}{2 * place}")
            target = f"{name}.{network.hidden.format(place + 1)}"
            for role in ("weight", "bias"):
                move = self._move((layer[0], f"{layer[1]}.{role}"), f"{target}.{role}")
                yield self._scaled(move, layer, role, scaling) if place == 0 else move
        heads = self._heads(network)
        if not heads:
            self.problems.append(f"{network.module}.{network.prefix}   has no last layer")
        for new, parts in heads.items():
            for role in ("weight", "bias"):
                keys = [(module, f"{old}.{role}") for module, old in parts]
                yield self._joined(keys, f"{name}.{new}.{role}")

    def _heads(self, network: Network) -> dict[str, list[Key]]:
        """Return our last layers, each with those of d3rlpy that make it."""
        heads: dict[str, list[Key]] = {}
        for old, new in network.heads.items():
            path = f"{network.prefix}{old}"
            if (network.module, f"{path}.weight") in self.arrays:
                heads.setdefault(new, []).append((network.module, path))
        if network.also is not None:
            module, old, new = network.also
            heads.setdefault(new, []).append((module, old))
        return heads

    def ignored(
        self, moves: list[Move], optimizers: Mapping[str, AgentOptimizer]
    ) -> Iterator[tuple[str, str]]:
        """Yield what is in the file and not in the agent."""
        used = {key for move in moves for key in self.origins[move.target]}
        for key, array in self.arrays.items():
            shared = key[0] == "imitator" and self.type == "discrete_bcq"
            if key not in used and not shared:  # an imitator has the critic's own hidden layers
                yield array.name, "belongs to no network of the agent"
        kept = {self.algorithm.optimizers[name][0] for name in optimizers}
        for name in self.state:
            if name.partition(".")[0] not in kept:
                yield name, "belongs to no optimizer of the agent"

    def _array(self, key: Key) -> ArrayInfo:
        if key in self.arrays:
            return self.arrays[key]
        self.problems.append(f"{'.'.join(key)}   is not there")
        return missing(".".join(key))

    def _move(self, key: Key, target: str, *, vector: bool = False) -> Move:
        self.origins[target] = (key,)
        return keep(self._array(key), target, vector=vector)

    def _joined(self, keys: list[Key], target: str) -> Move:
        """Return one layer of ours from those of d3rlpy, which lie under each other in it."""
        if len(keys) == 1:
            return self._move(keys[0], target)
        self.origins[target] = tuple(keys)
        return keep(join([self._array(key) for key in keys]), target)

    def _scaled(self, move: Move, layer: Key, role: str, scaling: Scaling | None) -> Move:
        """Return the move of a first layer's array that does the scaling of observations as well."""
        if scaling is None:
            return move
        module, path = layer
        weight, bias = (
            self._array((module, f"{path}.weight")),
            self._array((module, f"{path}.bias")),
        )
        if len(scaling.shift) not in (1, self.sizes[0]):
            self.problems.append(
                f"observation_scaler   found {len(scaling.shift)} numbers   needed {self.sizes[0]}"
            )
            return move
        both = (weight, bias)
        source = scaled(move.source, both, scaling, observed=self.sizes[0], role=role)
        return Move(source, move.target, move.layout)


def _plan_optimizers(
    known: _Known, moves: list[Move], *, folded: bool
) -> tuple[dict[str, AgentOptimizer], list[str]]:
    """Return the optimizers whose whole state is there and means the same here, and notes."""
    found: dict[str, AgentOptimizer] = {}
    notes = []
    for name, (theirs, networks) in known.algorithm.optimizers.items():
        problem = optimizer_problem(known.parameters, theirs)
        if folded:
            problem = "belongs to weights without the scaling of observations"
        group = _group(known.optimizers.get(theirs))
        own = [
            move for network in networks for move in moves if move.target.startswith(f"{network}.")
        ]
        slots = None if problem else _slots(known, theirs, name, own)
        if slots is None or group is None:
            notes.append(
                f"optimizer '{theirs}' {problem or 'has no state in the file'}; it starts anew"
            )
            continue
        steps = float(known.state[f"{theirs}.0.step"].read())
        notes.append(f"optimizer '{theirs}' is Adam after {steps:,.0f} steps")
        numbers = _suite_numbers(group, steps) if known.algorithm.suite else group
        if known.algorithm.suite:
            slots = tuple(
                {slot: move for slot, move in each.items() if slot != "step"} for each in slots
            )
        found[name] = AgentOptimizer("adam", numbers, slots)
    return found, notes


def _slots(
    known: _Known, theirs: str, name: str, own: list[Move]
) -> tuple[Mapping[str, Move], ...] | None:
    """Return the moments of our parameters in our order; None if one of them has none."""
    places = {key: place for place, key in enumerate(_trained(known, theirs))}
    slots = []
    for move in own:
        keys = known.origins[move.target]
        if any(key not in places for key in keys):
            return None
        each = {}
        for slot in ("step", "exp_avg", "exp_avg_sq"):
            arrays = [known.state.get(f"{theirs}.{places[key]}.{slot}") for key in keys]
            present = [array for array in arrays if array is not None]
            if len(present) != len(arrays):
                return None
            target = f"{name}.{move.target}.{slot}"
            vector = slot != "step" and is_vector(move)
            source = present[0] if len(present) == 1 or slot == "step" else join(present)
            each[slot] = keep(source, target, vector=vector)
        if each["exp_avg"].shape != move.shape:
            return None
        slots.append(each)
    return tuple(slots)


def _trained(known: _Known, theirs: str) -> list[Key]:
    """Return what an optimizer of d3rlpy trains, in its order: parameters of modules, shared ones once.

    A module's own tensors come before those of its layers, as torch lists them.
    """
    modules: dict[str, None] = {}
    for optimizer, networks in known.algorithm.optimizers.values():
        if optimizer == theirs:
            for network in networks:
                spec = known.algorithm.networks[network]
                modules[spec.module] = None
                if spec.also is not None:
                    modules[spec.also[0]] = None
    shared = known.type == "discrete_bcq"
    return [
        key
        for module in modules
        for key in known.arrays
        if key[0] == module and not (shared and module == "imitator" and HIDDEN in key[1])
    ]


def _group(stored: object) -> dict[str, float | ArrayInfo] | None:
    """Return learning rate, betas and epsilon of Adam; None if the file has them in another form."""
    groups = stored.get("groups") if isinstance(stored, Mapping) else None
    group = groups[0] if isinstance(groups, list) and len(groups) == 1 else None
    if not isinstance(group, Mapping):
        return None
    betas = group.get("betas")
    numbers = [
        group.get("lr"),
        group.get("eps"),
        *(betas if isinstance(betas, (tuple, list)) else ()),
    ]
    if len(numbers) != 4 or not all(type(number) in (int, float) for number in numbers):
        return None
    rate, epsilon, *both = (float(number) for number in numbers if isinstance(number, (int, float)))
    return {"lr": rate, "betas": tuple(both), "eps": epsilon}  # type: ignore[dict-item]  # as torch has it


def _suite_numbers(group: Mapping[str, object], steps: float) -> dict[str, float | ArrayInfo]:
    """Return the numbers of the suite's Adam, which keeps the powers of its betas in place of a count."""
    betas = group["betas"]
    first, second = (float(beta) for beta in betas) if isinstance(betas, tuple) else (0.9, 0.999)
    return {
        "learning_rate": float(str(group["lr"])),
        "beta1": first,
        "beta2": second,
        "epsilon": float(str(group["eps"])),
        "beta1_power": first ** (steps + 1),
        "beta2_power": second ** (steps + 1),
    }


def _settings(
    known: _Known, units: list[int], optimizers: Mapping[str, AgentOptimizer]
) -> tuple[dict[str, object], list[str]]:
    """Return what the agent's `load` reads, and notes."""
    parameters, algorithm = known.parameters, known.algorithm
    name = algorithm.target.partition(":")[2]
    kind, _ = typed(parameters, "reward_scaler")
    notes = []
    if kind != "none":
        notes.append(f"rewards were scaled ('{kind}'); scale those of your data before going on")
    bounds = action_bounds(parameters)
    steps = [
        int(float(known.state[key].read()))
        for key in (f"{theirs}.0.step" for theirs, _ in algorithm.optimizers.values())
        if key in known.state
    ]
    if algorithm.suite:
        if len(units) != 2:
            msg = f"it has {len(units)} hidden layers; SAC and TD3 here have 2"
            raise UnsupportedError(msg)
        if bounds:
            notes.append(f"actions were scaled from {bounds}; the agent here acts in [-1, 1]")
        arguments = {**carried(parameters, SUITE), **algorithm.fixed, "hidden_sizes": units}
        arguments |= {"obs_dims": [known.sizes[0]], "acts_dims": [known.sizes[1]]}
        if isinstance(tau := parameters.get("tau"), (int, float)):
            arguments["polyak"] = 1.0 - tau
        settings: dict[str, object] = {"class": name, "arguments": arguments, "dtype": "float32"}
        counters = {"pi": steps[0], "q": steps[-1]} if len(steps) > 1 and optimizers else {}
        return {**settings, "seed": 0, "counters": counters}, notes
    known_here = d3rlpy_defaults(name)
    stated = {
        **carried(parameters, {**RENAMED, **{same: same for same in SAME}}),
        **bounds,
        **algorithm.fixed,
    }
    configuration = {
        "obs_dim": known.sizes[0],
        "action_dim": known.sizes[1],
        "preset": "d3rlpy",
        "dtype": "float32",
        "seed": 0,
        "hidden_sizes": units,
        **{name: value for name, value in stated.items() if name in known_here},
    }
    return {"class": name, "configuration": configuration, "updates": max(steps, default=0)}, notes


def _count(value: object) -> int:
    if type(value) is not int or not 0 < value < 2**31:
        msg = f"its configuration has a size of {value!s:.40}"
        raise MismatchError(msg)
    return value
