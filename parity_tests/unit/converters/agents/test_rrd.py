"""Names of the RRD suite: what becomes of them, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest

from converters.agents.rrd import count_steps, plan_agent
from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, Provenance
from converters.errors import MismatchError, UnsupportedError
from converters.planned import Plan
from converters.readers.tensorflow.meta_graph import GraphFacts, Update
from converters.readers.tensorflow.named_variables import GRAPH

DDPG = {
    "pi_dense1": (3, 5),
    "pi_dense2": (5, 4),
    "pi": (4, 2),
}
CRITIC = {"q_dense1": (3, 5), "q_dense2": (7, 4), "q": (4, 1)}


def scope(name: str, layers: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, shape in layers.items():
        shapes |= {f"{name}/net/{layer}/kernel": shape, f"{name}/net/{layer}/bias": shape[-1:]}
    return shapes


def ddpg() -> dict[str, tuple[int, ...]]:
    return {
        name: shape
        for side in ("main", "target")
        for name, shape in {
            **scope(f"{side}/policy", DDPG),
            **scope(f"{side}/value", CRITIC),
        }.items()
    }


def with_adam(shapes: Mapping[str, tuple[int, ...]], trained: str) -> dict[str, tuple[int, ...]]:
    slots = {
        f"{name}/{slot}": shape
        for name, shape in shapes.items()
        if name.startswith(trained)
        for slot in ("Adam", "Adam_1")
    }
    return {**shapes, **slots}


def plan(shapes: Mapping[str, tuple[int, ...]], facts: GraphFacts | None = None) -> Plan:
    """Return the plan of a checkpoint; every number in it is 0.59049, beta^5 of 0.9."""
    layers: dict[str, dict[str, ArrayInfo]] = {}
    extras = []
    for name, shape in sorted(shapes.items()):
        dtype = np.dtype(np.float32)
        info = ArrayInfo(name, shape, dtype, partial(np.full, shape, 0.59049, np.float32))
        parent, _, role = name.rpartition("/")
        if "Adam" in role or "power" in role:
            extras.append(info)
        else:
            layers.setdefault(parent, {})[role] = info
    source = Provenance("agent", lambda: "", 0, "tf1-checkpoint", None, 1)
    entries = [LayerArrays(parent, None, arrays) for parent, arrays in layers.items()]
    training: dict[str, Any] = {} if facts is None else {GRAPH: facts}
    return plan_agent(Checkpoint(entries, None, None, training, extras, source))


@pytest.mark.parametrize(
    ("steps", "off_by"),
    [(0, 0), (1, 0), (828, 0), (829, 0), (5_000, 0), (87_000, 3)],
)
def test_steps_are_read_off_powers_as_float32_keeps_them(steps: int, off_by: int) -> None:
    powers = [np.float32(0.9), np.float32(0.999)]
    for _ in range(steps):
        powers = [powers[0] * np.float32(0.9), powers[1] * np.float32(0.999)]

    found = count_steps(float(powers[0]), float(powers[1]))
    assert found == pytest.approx(steps, abs=off_by)


def test_stuck_powers_tell_no_steps() -> None:
    assert count_steps(5.6e-45, 6.9e-43) is None


def test_networks_are_named_as_in_the_agent_and_transposed() -> None:
    moves = {move.target: move for move in plan(ddpg()).moves}

    assert len(moves) == 24
    assert moves["policy.pi.weight"].source.name == "main/policy/net/pi/kernel"
    assert moves["policy.pi.weight"].shape == (2, 4)
    assert moves["target_value.q_dense2.bias"].source.name == "target/value/net/q_dense2/bias"


def test_order_is_that_of_the_modules_and_not_of_the_names() -> None:
    targets = [move.target for move in plan(ddpg()).moves if move.target.startswith("value.")]

    assert targets == [f"value.{layer}.{role}" for layer in CRITIC for role in ("weight", "bias")]


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (ddpg(), "DDPG"),
        (
            {**ddpg(), **scope("rrd", {"r_dense1": (8, 5), "r_dense2": (5, 5), "r": (5, 1)})},
            "RRDDDPG",
        ),
        ({**scope("main/value", CRITIC), **scope("target/value", CRITIC)}, "ValueDQN"),
    ],
    ids=["ddpg", "rrd", "dqn"],
)
def test_algorithm_follows_from_the_scopes(
    shapes: Mapping[str, tuple[int, ...]], expected: str
) -> None:
    agent = plan(shapes).agent

    assert agent is not None
    assert agent.settings["class"] == expected


def test_powers_of_beta_belong_to_the_optimizers_in_the_order_they_were_made() -> None:
    powers = {f"beta{beta}_power{suffix}": () for beta in (1, 2) for suffix in ("", "_1")}
    shapes = with_adam(with_adam({**ddpg(), **powers}, "main/policy"), "main/value")

    agent = plan(shapes).agent

    assert agent is not None
    found = {
        name: getattr(each.numbers["beta1_power"], "name", None)
        for name, each in agent.optimizers.items()
    }
    assert found == {"policy": "beta1_power", "value": "beta1_power_1"}


def test_graph_says_which_powers_are_whose_and_the_learning_rate() -> None:
    shapes = with_adam({**ddpg(), "mine/beta1_power": (), "mine/beta2_power": ()}, "main/policy")
    variables = {"beta1_power": "mine/beta1_power", "beta2_power": "mine/beta2_power"}
    update = Update("ApplyAdam", {"learning_rate": 0.25}, variables)

    agent = plan(shapes, GraphFacts({"main/policy/net/pi_dense1/kernel": update})).agent

    assert agent is not None
    assert list(agent.optimizers) == ["policy"]
    assert agent.optimizers["policy"].numbers["learning_rate"] == 0.25
    arguments: Any = agent.settings["arguments"]
    assert arguments["pi_lr"] == 0.25
    assert agent.settings["counters"] == {"pi": 4}


def test_missing_power_is_named() -> None:
    with pytest.raises(MismatchError, match="'policy' has no variable beta1_power"):
        plan(with_adam(ddpg(), "main/policy"))


def test_names_of_another_code_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"not those of an agent of the RRD suite"):
        plan({"pi/dense/kernel": (4, 3), "pi/dense/bias": (3,)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"target/value/net/q/kernel": (9, 1)},
            r"target/value/net: q.weight +found \(1, 9\) +needed \(1, 4\)",
        ),
        ({"main/policy/net/pi/bias": None}, r"policy.pi +found weight +needed bias, weight"),
        ({"main/policy/net/pi/kernel": (4, 2, 1)}, r"found 3 axes +needed 0, 1, 2 or 4"),
    ],
    ids=["target of another size", "no bias", "axes"],
)
def test_what_does_not_fit_is_listed(
    change: Mapping[str, tuple[int, ...] | None], message: str
) -> None:
    shapes = {name: shape for name, shape in {**ddpg(), **change}.items() if shape is not None}

    with pytest.raises(MismatchError, match=message):
        plan(shapes)


def test_variables_of_something_else_are_listed_as_not_converted() -> None:
    found = plan({**ddpg(), "global_step": (), "main/policy/net/extra/kernel": (2, 2)})

    assert [name for name, _ in found.ignored] == ["global_step", "main/policy/net/extra/kernel"]
