"""Long training of the RRD suite's agents on both sides in float64, as its training loop does it: how far they drift.

    python -m parity_tests.trajectories --updates 10000

trains every algorithm, and return decomposition and IRCR over every basis, on the same batches and noise: policy steps
with their delay, target updates, normaliser. The largest difference of any variable is printed for each; the exit
status is 1 if one is over the limit.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parity_tests.actor_critic_inputs import (
    BASIS_NOISE,
    IMAGES,
    MODERATE,
    NUMBERED,
    basis_transitions,
    continuous_transitions,
    numbered_transitions,
    small_arguments,
    sub_sequences,
)
from parity_tests.inputs import Draw, Recipe

LIMIT = 1e-10
"""Largest difference of a weight after 10,000 updates; weights are of the order of 1."""
NORMALIZER_EVERY, TARGET_EVERY = 10, 2
SIDES = ("legacy_tf", "torch_impl")


@dataclass(frozen=True, slots=True)
class Course:
    """How one agent is trained on both sides.

    Attributes:
        name: as shown.
        agent: "module:Class", the same on both sides.
        recipe: gives batches and noise.
        flags: laid over those of `small_arguments`.
        policy_delay: critic updates per policy update; 1: joint steps.
    """

    name: str
    agent: str
    recipe: Recipe
    flags: Mapping[str, object] = field(default_factory=dict)
    policy_delay: int = 1


_NORMALIZED: Mapping[str, object] = {
    "obs_normalization": True,
    # The original's own rates. At those of `small_arguments` the training itself magnifies: PyTorch beside PyTorch
    # with one weight off by its last bit is 3e-3 apart after 10,000 updates, and 8e-16 at these.
    "pi_lr": 1e-4,
    "q_lr": 1e-3,
    "polyak": 0.999,
}
COURSES = (
    Course("ddpg", "ddpg:DDPG", continuous_transitions()),
    Course("ddpg-normalized", "ddpg:DDPG", continuous_transitions(), _NORMALIZED),
    Course("td3", "td3:TD3", continuous_transitions("target"), policy_delay=2),
    Course("sac", "sac:SAC", continuous_transitions(*BASIS_NOISE["sac"], largest=MODERATE)),
    Course("dqn", "value_dqn:ValueDQN", numbered_transitions, NUMBERED),
    Course(
        "dqn-double-rmsprop",
        "value_dqn:ValueDQN",
        numbered_transitions,
        {**NUMBERED, "double": True, "optimizer": "rmsprop"},
    ),
    Course(
        "dqn-images-dueling",
        "value_dqn:ValueDQN",
        numbered_transitions,
        {**IMAGES, "dueling": True},
    ),
    Course("rrd-sac", "rrd:RRD", sub_sequences, {"basis_alg": "sac"}),
    Course(
        "rrd-sac-bias-correction",
        "rrd:RRD",
        sub_sequences,
        {"basis_alg": "sac", "rrd_bias_correction": True},
    ),
    Course("rrd-td3", "rrd:RRD", sub_sequences, {"basis_alg": "td3"}, policy_delay=2),
    Course("rrd-ddpg-normalized", "rrd:RRD", sub_sequences, {"basis_alg": "ddpg", **_NORMALIZED}),
    Course("rrd-dqn-images", "rrd:RRD", numbered_transitions, {**IMAGES, "basis_alg": "dqn"}),
    Course("ircr-sac", "ircr:IRCR", basis_transitions, {"basis_alg": "sac"}),
    Course("ircr-td3", "ircr:IRCR", basis_transitions, {"basis_alg": "td3"}, policy_delay=2),
    Course("ircr-ddpg", "ircr:IRCR", basis_transitions, {"basis_alg": "ddpg"}),
    Course("ircr-dqn-images", "ircr:IRCR", numbered_transitions, {**IMAGES, "basis_alg": "dqn"}),
)


def find_course(name: str) -> Course:
    """Return the course of this name.

    Raises:
        ValueError: There is none.
    """
    for course in COURSES:
        if course.name == name:
            return course
    msg = f"no course {name!r}; there are {', '.join(course.name for course in COURSES)}"
    raise ValueError(msg)


def build(side: str, course: Course, **changes: object) -> Any:  # noqa: ANN401  of either framework
    """Return the agent of a course in float64.

    Args:
        side: one of `SIDES`.
        course: which.
        changes: laid over its flags.
    """
    module, _, name = course.agent.partition(":")
    agent_class = getattr(importlib.import_module(f"{side}.{module}"), name)
    settings = {"device": "cpu"} if side == "torch_impl" else {}
    arguments = small_arguments(**{**course.flags, **changes})
    return agent_class(arguments, dtype="float64", seed=1, **settings)


def train_side_by_side(
    course: Course,
    legacy: Any,  # noqa: ANN401
    torch: Any,  # noqa: ANN401
    *,
    updates: int,
) -> float:
    """Train both agents on the same draws; return the largest difference of a variable, in magnitude."""
    rng = np.random.default_rng(5)
    for number in range(updates):
        draws = [course.recipe({"args": legacy.args}, rng) for _ in range(2)]
        for agent in (legacy, torch):
            _update(agent, number, course.policy_delay, draws)
    return largest_difference(legacy, torch)


def largest_difference(legacy: Any, torch: Any) -> float:  # noqa: ANN401
    """Return the largest difference of a variable, in magnitude; nan if one side has a nan where the other has none.

    Raises:
        ValueError: The sides have variables of other names.
    """
    left, right = legacy.read_variables(), torch.read_variables()
    if set(left) != set(right):
        msg = f"variables on one side only: {', '.join(sorted(set(left) ^ set(right)))}"
        raise ValueError(msg)
    return float(np.max([np.max(np.abs(left[name] - right[name])) for name in left]))


def _update(agent: Any, number: int, delay: int, draws: Sequence[Draw]) -> None:  # noqa: ANN401
    """Do what the training loop does for one update."""
    (batch, noise), (other_batch, other_noise) = draws
    if number % NORMALIZER_EVERY == 0:
        agent.normalizer_update(batch)
    if delay == 1:
        agent.train(batch, noise)
    else:
        agent.train_q(batch, noise)
        if number % delay == 0:
            agent.train_pi(other_batch, other_noise)
    if number % TARGET_EVERY == 0:
        agent.target_update()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the largest difference of every course; 1 if one is not within the limit."""
    # TensorFlow says less; it reads this when it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(prog="python -m parity_tests.trajectories")
    parser.add_argument("courses", nargs="*", help="names; none: all")
    parser.add_argument("--updates", type=int, default=10_000)
    given = parser.parse_args(argv)
    try:
        chosen = [find_course(name) for name in given.courses] or list(COURSES)
    except ValueError as error:
        parser.error(str(error))
    within = True
    for course in chosen:
        legacy, torch = (build(side, course) for side in SIDES)
        worst = train_side_by_side(course, legacy, torch, updates=given.updates)
        within &= worst < LIMIT
        sys.stdout.write(
            f"{course.name:<24} {given.updates:>7,} updates   largest difference {worst:.1e}   "
            f"{'within' if worst < LIMIT else 'NOT WITHIN'} {LIMIT:.0e}\n"
        )
        sys.stdout.flush()
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
