"""The probes: what is asked of both agents of a pair. One decorated function each, agents' methods only.

A probe gets a `Case`, builds both agents through it (the torch side receives the legacy side's weights, nothing is
drawn twice), gives both the same arrays and returns comparisons. Limits come from `tolerances.py`, inputs from the
pair's recipe in `inputs.py`. A new probe is one function here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parity_tests.cases import Case, ProbedAgent
from parity_tests.compare import Comparison, compare, compare_all, compare_rounding, fail
from parity_tests.inputs import FORWARD_SCALES
from parity_tests.pairs import UnknownNameError
from parity_tests.tolerances import EXACT, Tolerance, find_tolerance

TARGET_INTERVAL = 100
"""Updates between two target copies in a trajectory."""

CHECKPOINTS = 5
"""Places in a trajectory where all weights are compared, the last update being one."""

ACTION_STATES = 1_000
"""States in which the choice of action is compared, in each half of the probe."""


ProbeFunction = Callable[[Case], list[Comparison]]


@dataclass(frozen=True, slots=True)
class Probe:
    """A registered probe.

    Attributes:
        name: as in `--probe NAME`.
        run: takes a case, returns what was compared.
        summary: one line for lists.
    """

    name: str
    run: ProbeFunction
    summary: str


PROBES: dict[str, Probe] = {}
"""Probes by name, in the order in which they run."""


def probe(function: ProbeFunction) -> ProbeFunction:
    """Register the function under its own name."""
    summary = (function.__doc__ or "").partition("\n")[0]
    PROBES[function.__name__] = Probe(function.__name__, function, summary)
    return function


def find_probe(name: str) -> Probe:
    """Return the probe of this name.

    Raises:
        UnknownNameError: There is none; the message has the nearest names.
    """
    if name not in PROBES:
        kind = "probe"
        raise UnknownNameError(kind, name, list(PROBES))
    return PROBES[name]


@probe
def forward(case: Case) -> list[Comparison]:
    """Outputs of every network are equal, for inputs of several magnitudes and for a single one."""
    legacy, torch = case.agents()
    tolerance = find_tolerance("forward", case.dtype)
    reference = case.reference(legacy) if case.dtype == "float32" else None
    found: list[Comparison] = []
    drawn = case.inputs.draw().batch.observation
    for network, method in case.pair.networks.items():
        for scale in FORWARD_SCALES:
            if case.dtype == "float32" and scale > case.pair.largest_scale:
                continue
            rows = (drawn * scale).astype(drawn.dtype)
            name = f"{network} of inputs * {scale:g}"
            left, right = (getattr(agent, method)(rows) for agent in (legacy, torch))
            found.append(compare(name, left, right, tolerance))
            if reference is not None:
                wide = getattr(reference, method)(rows.astype(np.float64))
                found.append(compare_rounding(f"{name}, rounding", left, right, wide))
        left, right = (getattr(agent, method)(drawn[0]) for agent in (legacy, torch))
        found.append(compare(f"{network} of one input", left, right, tolerance))
    return found


@probe
def loss(case: Case) -> list[Comparison]:
    """Losses are equal, for several batches and a batch of one."""
    legacy, torch = case.agents()
    tolerance = find_tolerance("loss", case.dtype)
    draws = {
        **{f"loss of batch {number}": case.inputs.draw() for number in range(4)},
        "loss of a batch of one": case.inputs.draw(batch_size=1),
    }
    found: list[Comparison] = []
    for name, draw in draws.items():
        left, right = (_number(agent.loss_and_gradients(*draw)[0]) for agent in (legacy, torch))
        found.append(compare(name, left, right, tolerance))
    return found


@probe
def gradient(case: Case) -> list[Comparison]:
    """Gradients of the loss with respect to every weight are equal, and nothing changes."""
    legacy, torch = case.agents()
    reference = case.reference(legacy) if case.dtype == "float32" else None
    before = torch.get_weights()
    draw = case.inputs.draw()
    left, right = (agent.loss_and_gradients(*draw)[1] for agent in (legacy, torch))
    found = compare_all(left, right, find_tolerance("gradient", case.dtype), prefix="gradient of ")
    if reference is not None:
        wide = reference.loss_and_gradients(*draw)[1]
        found += [
            compare_rounding(f"gradient of {name}, rounding", left[name], right[name], wide[name])
            for name in left
            if name in right
        ]
    after = torch.get_weights()
    found += compare_all(
        before, after, EXACT, prefix="torch: unchanged ", sides=("before", "after")
    )
    return found


@probe
def update(case: Case) -> list[Comparison]:
    """Three updates from equal weights end in equal weights, gradient clipping and optimizer included."""
    legacy, torch = case.agents()
    found: list[Comparison] = []
    for number in range(1, 4):
        draw = case.inputs.draw()
        left, right = legacy.update(*draw), torch.update(*draw)
        found += _compare_figures(
            f"update {number}: ", left, right, find_tolerance("update", case.dtype)
        )
        found += _compare_weights(f"after update {number}: ", legacy, torch, "update", case.dtype)
    return found


@probe
def trajectory(case: Case) -> list[Comparison]:
    """Training on both sides stays together: losses of all updates, weights at checkpoints, target copies on."""
    legacy, torch = case.agents()
    stops = _checkpoints(case.updates)
    found: list[Comparison] = []
    losses = np.empty((case.updates, 2))
    for number in range(1, case.updates + 1):
        draw = case.inputs.draw()
        losses[number - 1] = [_magnitude(agent.update(*draw)) for agent in (legacy, torch)]
        if case.has_target and number % TARGET_INTERVAL == 0:
            legacy.update_target()
            torch.update_target()
        if number in stops:
            found += _compare_weights(
                f"after update {number:,}: ", legacy, torch, "trajectory", case.dtype
            )
    tolerance = find_tolerance("trajectory_loss", case.dtype)
    return [compare(f"{case.updates:,} losses", losses[:, 0], losses[:, 1], tolerance), *found]


@probe
def action(case: Case) -> list[Comparison]:
    """Both choose the same action in 1,000 states, in 1,000 states full of ties, and when exploring."""
    legacy, torch = case.agents()
    states = case.observations(ACTION_STATES)
    found = [
        _compare_actions("greedy action", legacy, torch, states, explore=False, seed=case.seed),
        _compare_actions("exploring action", legacy, torch, states, explore=True, seed=case.seed),
        _compare_actions(
            "action in one state", legacy, torch, states[0], explore=False, seed=case.seed
        ),
    ]
    # Weights and observations of 0, 1 and -1 make exact sums in any order, and equal outputs make equal values: what
    # is left to differ is which of the best actions is taken.
    for agent in (legacy, torch):
        agent.set_weights({name: _tied(array) for name, array in legacy.get_weights().items()})
    coarse = np.sign(np.round(states)).astype(states.dtype)
    found.append(
        _compare_actions("action at ties", legacy, torch, coarse, explore=False, seed=case.seed)
    )
    return found


@probe
def target_sync(case: Case) -> list[Comparison]:
    """The target network stays as it is between copies, and is the trained network after one."""
    legacy, torch = case.agents()
    draws = [case.inputs.draw() for _ in range(3)]
    check = case.inputs.draw()
    online = legacy.get_weights()
    values: dict[str, list[NDArray[np.float64]]] = {"legacy": [], "torch": []}
    for agent, losses in zip((legacy, torch), values.values(), strict=True):
        losses.append(_number(agent.loss_and_gradients(*check)[0]))
        for copy in (False, True):
            for draw in draws:
                agent.update(*draw)
            if copy:
                agent.update_target()
            # With the first online weights again, the loss depends on the target network alone.
            agent.set_weights(online)
            losses.append(_number(agent.loss_and_gradients(*check)[0]))
    found: list[Comparison] = []
    for side, (start, between, after) in values.items():
        name = f"{side}: loss on the target network"
        found.append(
            compare(f"{name} between copies", start, between, EXACT, sides=("before", "between"))
        )
        if between == after:
            found.append(fail(f"{name} after a copy", "the copy changed nothing"))
    tolerance = find_tolerance("update", case.dtype)
    name = "loss on the target network after a copy"
    return [*found, compare(name, values["legacy"][2], values["torch"][2], tolerance)]


@probe
def save_load(case: Case) -> list[Comparison]:
    """Each side, saved in mid-training and loaded, is what it was and trains on as if nothing had happened."""
    agents = dict(zip(("legacy", "torch"), case.agents(), strict=True))
    draws = [case.inputs.draw() for _ in range(5)]
    frameworks = {"legacy": case.legacy_framework, "torch": case.torch_framework}
    specs = {"legacy": case.pair.legacy, "torch": case.pair.torch}
    found: list[Comparison] = []
    for side, agent in agents.items():
        for draw in draws[:3]:
            agent.update(*draw)
        (case.folder / side).mkdir()
        agent.save(case.folder / side / "agent")
        loaded = frameworks[side].load_agent(specs[side], case.folder / side / "agent", {})
        found += _compare_copies(f"{side}: loaded ", agent, loaded)
        # The next updates need the optimizer's state and the target network.
        kept, again = (
            [_magnitude(each.update(*draw)) for draw in draws[3:]] for each in (agent, loaded)
        )
        found.append(
            compare(
                f"{side}: next losses",
                np.array(kept),
                np.array(again),
                EXACT,
                sides=("kept", "loaded"),
            )
        )
        found += _compare_copies(f"{side}: trained on ", agent, loaded)
    return found


@probe
def resume(case: Case) -> list[Comparison]:
    """The legacy agent trains and saves; its file, converted, trains on in torch as the legacy agent does."""
    from converters.convert import convert

    legacy, _ = case.agents()
    for _ in range(10):
        legacy.update(*case.inputs.draw())
    if case.has_target:
        legacy.update_target()
    legacy.save(case.folder / "agent")
    source = _model_file(case.folder)
    destination = case.folder / "converted.pth"
    convert(source, destination)
    settings = {**case.config.arguments, "dtype": case.dtype, "device": "cpu"}
    torch = case.torch_framework.load_agent(case.pair.torch, destination, settings)
    found = compare_all(legacy.get_weights(), torch.get_weights(), EXACT, prefix="converted ")
    losses = np.empty((10, 2))
    for row in losses:
        draw = case.inputs.draw()
        row[:] = [_magnitude(agent.update(*draw)) for agent in (legacy, torch)]
    name = "losses after the conversion"
    found.append(
        compare(name, losses[:, 0], losses[:, 1], find_tolerance("trajectory_loss", case.dtype))
    )
    return [*found, *_compare_weights("trained on ", legacy, torch, "update", case.dtype)]


def _compare_figures(
    prefix: str, legacy: Mapping[str, float], torch: Mapping[str, float], tolerance: Tolerance
) -> list[Comparison]:
    left, right = (
        {name: _number(value) for name, value in side.items()} for side in (legacy, torch)
    )
    return compare_all(left, right, tolerance, prefix=prefix)


def _compare_weights(
    prefix: str, legacy: ProbedAgent, torch: ProbedAgent, quantity: str, dtype: str
) -> list[Comparison]:
    return compare_all(
        legacy.get_weights(), torch.get_weights(), find_tolerance(quantity, dtype), prefix=prefix
    )


def _compare_copies(prefix: str, kept: ProbedAgent, loaded: ProbedAgent) -> list[Comparison]:
    return compare_all(
        kept.get_weights(), loaded.get_weights(), EXACT, prefix=prefix, sides=("kept", "loaded")
    )


def _compare_actions(
    name: str,
    legacy: ProbedAgent,
    torch: ProbedAgent,
    states: NDArray[np.floating],
    *,
    explore: bool,
    seed: int,
) -> Comparison:
    left, right = (
        agent.act(states, np.random.default_rng(seed), explore=explore) for agent in (legacy, torch)
    )
    return compare(name, np.asarray(left), np.asarray(right), EXACT)


def _checkpoints(updates: int) -> set[int]:
    return {round(updates * part / CHECKPOINTS) for part in range(1, CHECKPOINTS + 1)}


def _tied(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return 0, 1 and -1 in place of the values, with all units but the first of a layer equal to the second."""
    signs = np.where(np.abs(array) >= np.quantile(np.abs(array), 0.7), np.sign(array), 0.0)
    signs[..., 2:] = signs[..., 1:2]
    return signs.astype(array.dtype)


def _magnitude(figures: Mapping[str, float]) -> float:
    """Return the sum of the magnitudes of an update's figures: several losses may cancel, and with them what differs."""
    return float(sum(map(abs, figures.values())))


def _number(value: float) -> NDArray[np.float64]:
    return np.asarray(value, dtype=np.float64)


def _model_file(folder: Path) -> Path:
    """Return the one whole-model Keras file in the folder; weights-only files beside it are of other networks."""
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in {".keras", ".h5"} and not path.name.endswith(".weights.h5")
    )
    if len(found) != 1:
        message = f"the legacy agent's save left {len(found)} Keras files, one was expected"
        raise ValueError(message)
    return found[0]
