"""Pairs of agents: the same algorithm in both frameworks, registered once, used by parity, benchmarks and training.

A new algorithm is `legacy_tf/x.py`, `torch_impl/x.py` and one entry of `PAIRS`. Users keep theirs in a module of
their own and name it: `--pairs my_module:PAIRS`. Nothing is imported from the agents' modules here.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from parity_tests import offline_pairs
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
from parity_tests.inputs import FORWARD_SCALES, Recipe
from parity_tests.ur_inputs import ur_positions


@dataclass(frozen=True, slots=True)
class Config:
    """One way to build both agents.

    Attributes:
        name: as in `--config NAME` and in test ids.
        arguments: keyword arguments of both constructors; dtype and seed are added by the harness.
    """

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgentPair:
    """The same agent in both frameworks.

    Attributes:
        name: as in `torchward parity NAME`.
        legacy: "module:Class" of the original, imported when used.
        torch: "module:Class" of the rewrite, imported when used.
        networks: network name to the method of both agents that evaluates it on (batch, *observation).
        configs: the first is the one of short runs and of reports that name none.
        env: environment in which `train` and the benchmarks run the pair.
        largest_scale: of the inputs of the forward probe in float32; smaller where large inputs are ill-conditioned.
        recipe: name of an input recipe, or a function of (configuration, generator); see `inputs.Recipe`.
        without: probe name to the reason why it does not apply to this pair.
        offline: trained on recorded data, not in an environment.
    """

    name: str
    legacy: str
    torch: str
    networks: Mapping[str, str]
    configs: tuple[Config, ...]
    env: str
    recipe: str | Recipe = "transitions"
    largest_scale: float = FORWARD_SCALES[-1]
    without: Mapping[str, str] = field(default_factory=dict)
    offline: bool = False

    def find_config(self, name: str | None) -> Config:
        """Return the configuration of this name, the first one for None.

        Raises:
            UnknownNameError: There is none.
        """
        if name is None:
            return self.configs[0]
        for config in self.configs:
            if config.name == name:
                return config
        kind = f"configuration of pair {self.name!r}"
        raise UnknownNameError(kind, name, [config.name for config in self.configs])


class UnknownNameError(ValueError):
    """A name that is not registered; the message has the nearest ones.

    Args:
        kind: of thing, as it is shown: "pair".
        name: what was asked for.
        known: what there is.
    """

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
        super().__init__(f"no {kind} named {name!r}{hint}. There are: {', '.join(known)}")


_ODD_SIZES: Mapping[str, object] = MappingProxyType(
    # No two sizes are equal and none fits the other axis, so a transposition cannot hide. The first config is the
    # guide's network.
    {"state_size": 4, "action_size": 3, "hidden_sizes": (7, 5, 3), "batch_size": 11, "epsilon": 0.3}
)

_ACTOR_CRITIC = {"policy": "get_actions", "critic": "get_values"}

WITHOUT_FOR_ACTOR_CRITICS: Mapping[str, str] = MappingProxyType(
    {
        "action": "actions are numbers, not choices: the forward probe compares them",
        "resume": "the legacy agent writes checkpoints of TensorFlow 1, no Keras file",
    }
)

# The output of a policy is tanh of a sum. Inputs of 1000 make its terms so large that the rounding of the sum, 6e-8 of the sum of
# their magnitudes, shows in full where they cancel to a number near 0.
_MODERATE_SCALE = 1.0

# The critic of SAC is compared by its loss: its value of a saturated action is ill-conditioned, see `MODERATE`.
_POLICY = {"policy": "get_actions"}

_Q_NETWORK = {"value": "get_q_values"}

WITHOUT_FOR_VALUE_DQN: Mapping[str, str] = MappingProxyType(
    {"resume": WITHOUT_FOR_ACTOR_CRITICS["resume"]}
)

PAIRS: tuple[AgentPair, ...] = (
    AgentPair(
        name="dqn",
        legacy="legacy_tf.dqn:DQNAgent",
        torch="torch_impl.dqn:DQNAgent",
        networks={"q_network": "get_q_values"},
        configs=(
            Config("plain", {"epsilon": 0.5}),
            Config("double", {"double": True, "epsilon": 0.5}),
            Config("dueling", {"dueling": True, "epsilon": 0.5}),
            Config("huber", {"loss": "huber", "epsilon": 0.5}),
            Config("odd-sizes", _ODD_SIZES),
            Config(
                "all-options",
                {
                    **_ODD_SIZES,
                    "double": True,
                    "dueling": True,
                    "loss": "huber",
                    "gradient_clip": None,
                },
            ),
        ),
        env="CartPole-v1",
    ),
    AgentPair(
        name="ddpg",
        legacy="legacy_tf.ddpg:DDPG",
        torch="torch_impl.ddpg:DDPG",
        networks=_ACTOR_CRITIC,
        configs=(
            Config("small", {"args": small_arguments()}),
            Config(
                "normalized",
                {"args": small_arguments(obs_normalization=True, normalizer_identity_start=True)},
            ),
        ),
        env="Pendulum-v1",
        largest_scale=_MODERATE_SCALE,
        recipe=continuous_transitions(),
        without=WITHOUT_FOR_ACTOR_CRITICS,
    ),
    AgentPair(
        name="td3",
        legacy="legacy_tf.td3:TD3",
        torch="torch_impl.td3:TD3",
        networks=_ACTOR_CRITIC,
        configs=(Config("small", {"args": small_arguments()}),),
        env="Pendulum-v1",
        largest_scale=_MODERATE_SCALE,
        recipe=continuous_transitions("target"),
        without=WITHOUT_FOR_ACTOR_CRITICS,
    ),
    AgentPair(
        name="sac",
        legacy="legacy_tf.sac:SAC",
        torch="torch_impl.sac:SAC",
        networks=_POLICY,
        configs=(Config("small", {"args": small_arguments()}),),
        env="Pendulum-v1",
        largest_scale=_MODERATE_SCALE,
        recipe=continuous_transitions(*BASIS_NOISE["sac"], largest=MODERATE),
        without=WITHOUT_FOR_ACTOR_CRITICS,
    ),
    AgentPair(
        name="value_dqn",
        legacy="legacy_tf.value_dqn:ValueDQN",
        torch="torch_impl.value_dqn:ValueDQN",
        networks=_Q_NETWORK,
        configs=(
            Config("small", {"args": small_arguments(**NUMBERED)}),
            Config(
                "double-rmsprop",
                {"args": small_arguments(**{**NUMBERED, "double": True, "optimizer": "rmsprop"})},
            ),
            Config("images-dueling", {"args": small_arguments(**{**IMAGES, "dueling": True})}),
        ),
        env="CartPole-v1",
        recipe=numbered_transitions,
        without=WITHOUT_FOR_VALUE_DQN,
    ),
    AgentPair(
        name="rrd_dqn",
        legacy="legacy_tf.rrd:RRD",
        torch="torch_impl.rrd:RRD",
        networks=_Q_NETWORK,
        configs=(Config("images", {"args": small_arguments(**IMAGES, basis_alg="dqn")}),),
        env="CartPole-v1",
        recipe=numbered_transitions,
        without=WITHOUT_FOR_VALUE_DQN,
    ),
    AgentPair(
        name="rrd",
        legacy="legacy_tf.rrd:RRD",
        torch="torch_impl.rrd:RRD",
        networks=_POLICY,
        configs=(
            Config("sac", {"args": small_arguments(basis_alg="sac")}),
            Config("td3", {"args": small_arguments(basis_alg="td3")}),
            Config(
                "ddpg-normalized-bias-correction",
                {
                    "args": small_arguments(
                        basis_alg="ddpg",
                        obs_normalization=True,
                        normalizer_identity_start=True,
                        rrd_bias_correction=True,
                    )
                },
            ),
        ),
        env="Pendulum-v1",
        largest_scale=_MODERATE_SCALE,
        recipe=sub_sequences,
        without=WITHOUT_FOR_ACTOR_CRITICS,
    ),
    AgentPair(
        name="ircr",
        legacy="legacy_tf.ircr:IRCR",
        torch="torch_impl.ircr:IRCR",
        networks=_POLICY,
        configs=(
            Config(
                "sac-fixed-temperature", {"args": small_arguments(basis_alg="sac", alpha_lr=0.0)}
            ),
        ),
        env="Pendulum-v1",
        largest_scale=_MODERATE_SCALE,
        recipe=basis_transitions,
        without=WITHOUT_FOR_ACTOR_CRITICS,
    ),
    AgentPair(
        name="ur",
        legacy="legacy_tf.ur:UrTrainer",
        torch="torch_impl.ur:UrTrainer",
        networks={"value": "get_values", "policy": "get_policy"},
        configs=(
            Config("original", {"policy_loss": "double_softmax"}),
            Config(
                "corrected",
                {
                    "hidden_sizes": (7, 5, 3),
                    "batch_size": 11,
                    "dropout": 0.4,
                    "value_loss": "huber",
                },
            ),
        ),
        env="RoyalUr-v0",
        largest_scale=_MODERATE_SCALE,  # softmax magnifies differences of logits by their size
        recipe=ur_positions,
        without={
            "target_sync": "there are no target networks",
            "resume": "the two optimizers lie beside the Keras file, which has room for one",
        },
    ),
    *(
        AgentPair(
            name=name,
            legacy=offline_pairs.specification("legacy_tf", name),
            torch=offline_pairs.specification("torch_impl", name),
            networks=offline_pairs.networks(name),
            configs=tuple(
                Config(title, arguments)
                for title, arguments in offline_pairs.CONFIGS[
                    offline_pairs.specification("torch_impl", name).partition(":")[2]
                ].items()
            ),
            env="CartPole-v1" if name in offline_pairs.DISCRETE else "Pendulum-v1",
            largest_scale=_MODERATE_SCALE,
            recipe=offline_pairs.recipe(name),
            without=offline_pairs.without(name),
            offline=True,
        )
        for name in offline_pairs.PAIR_NAMES
    ),
)
"""The pairs that come with torchward."""


def find_pair(name: str, pairs: Sequence[AgentPair] = PAIRS) -> AgentPair:
    """Return the pair of this name.

    Raises:
        UnknownNameError: There is none; the message has the nearest names.
    """
    for pair in pairs:
        if pair.name == name:
            return pair
    kind = "pair"
    raise UnknownNameError(kind, name, [pair.name for pair in pairs])


def load_pairs(spec: str) -> tuple[AgentPair, ...]:
    """Return the pairs of a user's module, which is imported; the working folder is searched, too.

    Args:
        spec: "my_module:PAIRS".

    Raises:
        ValueError: The text has another form, the module or name is not there, or it holds something else.
    """
    module_name, separator, name = spec.partition(":")
    if not (module_name and separator and name):
        message = f"--pairs {spec!r}: write module:NAME, for example my_agents:PAIRS"
        raise ValueError(message)
    folder = str(Path.cwd())
    if folder not in sys.path:
        # The console script puts its own folder first, not the user's.
        sys.path.append(folder)
    try:
        found = getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        message = f"--pairs {spec}: no module named {error.name!r} here or on the Python path"
        raise ValueError(message) from error
    except AttributeError as error:
        message = f"--pairs {spec}: module {module_name!r} has no {name!r}"
        raise ValueError(message) from error
    pairs = (found,) if isinstance(found, AgentPair) else found
    if not isinstance(pairs, Sequence) or not all(isinstance(pair, AgentPair) for pair in pairs):
        message = f"--pairs {spec}: found {type(found).__name__}, needed a sequence of AgentPair"
        raise ValueError(message)
    return tuple(pairs)
