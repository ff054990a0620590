"""What becomes of an agent of stable-baselines 2 in stable_baselines3: class, arguments, weights. numpy only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from converters.agents.facts import AgentFacts
from converters.agents.libraries import named_arrays
from converters.agents.spaces import BOX, Space
from converters.agents.stable_baselines.agent import family_of
from converters.agents.stable_baselines.off_policy import ddpg_value
from converters.agents.stable_baselines.settings import (
    DEFAULT_ACTIVATION,
    Policy,
    algorithm_of,
    read_policy,
)
from converters.agents.unnamed import named_agent
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import UnsupportedError
from converters.stable_baselines3.chains import (
    Chain,
    Dense,
    clipped,
    dueling,
    dueling_without_hidden,
    hidden_sizes,
    late_action,
    read_dense,
    scaled,
    sequential,
)
from converters.stable_baselines3.hyper_parameters import arguments_of
from converters.stable_baselines3.images import features_of, image_state, reason_against
from converters.stable_baselines3.running_statistics import clip_of, returns_of

ACTIVATIONS: Mapping[str, str] = {
    "relu": "ReLU",
    "tanh": "Tanh",
    "elu": "ELU",
    "selu": "SELU",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "leaky_relu": "LeakyReLU",
    "relu6": "ReLU6",
    "swish": "SiLU",
    "identity": "Identity",
}
"""TensorFlow's function to the class in torch.nn that computes the same, with these arguments:"""
ACTIVATION_ARGUMENTS: Mapping[str, Mapping[str, float]] = {"LeakyReLU": {"negative_slope": 0.2}}
LARGEST_FLOAT = float(np.finfo(np.float32).max)
COUNTERPARTS = {
    "PPO2": "PPO",
    "PPO1": "PPO",
    "A2C": "A2C",
    "DQN": "DQN",
    "SAC": "SAC",
    "TD3": "TD3",
    "DDPG": "DDPG",
}
_WITHOUT = {
    "TRPO": "stable_baselines3 has no TRPO (sb3-contrib has one of its own)",
    "ACKTR": "stable_baselines3 has no ACKTR",
    "ACER": "stable_baselines3 has no ACER",
    "GAIL": "stable_baselines3 has no GAIL",
}
_NORMALIZER_HINT = "leave --normalizer out, and convert its file by itself: torchward convert vecnormalize.pkl --to sb3"
_TO_FILE = "leave --to out: torchward.load makes a module of the file that acts the same"


@dataclass(frozen=True, slots=True)
class Counterpart:
    """An agent for stable_baselines3.

    Attributes:
        algorithm: name of its class: "PPO".
        policy: "MlpPolicy" or "CnnPolicy".
        net_arch: hidden sizes, as the policy takes them.
        activation: class in torch.nn.
        normalizes_images: whether images are divided by 255.
        observation: space, channels last.
        action: space.
        arguments: of the algorithm.
        policy_arguments: further ones of the policy.
        state: weights by the policy's own names.
        variables: tensors beside the policy.
        notes: what a user should know.
    """

    algorithm: str
    policy: str
    net_arch: object
    activation: str
    normalizes_images: bool
    observation: Space
    action: Space
    arguments: Mapping[str, object]
    policy_arguments: Mapping[str, object] = field(default_factory=dict)
    state: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    variables: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def plan_counterpart(checkpoint: Checkpoint) -> Counterpart:
    """Return the agent for stable_baselines3 that plays as the one of the file does.

    Raises:
        UnsupportedError: It has no counterpart; the reason is named.
    """
    arrays, facts = named_agent(named_arrays(checkpoint), checkpoint.agent)
    if facts is None or facts.library != "stable-baselines":
        msg = "is no agent of stable-baselines 2, which --to sb3 is for"
        raise UnsupportedError(msg, hint=_TO_FILE)
    return _Planner(arrays, facts).plan()


class _Planner:
    """One agent while its weights are renamed."""

    def __init__(self, arrays: Mapping[str, ArrayInfo], facts: AgentFacts) -> None:
        self.arrays = arrays
        self.facts = facts
        self.policy: Policy = read_policy(facts)
        self.family = family_of(arrays) or ""
        self.algorithm = algorithm_of(facts, list(arrays)) or self.family
        self.notes: list[str] = []
        kind = "actor-critic" if self.family == "actor-critic" else "off-policy"
        self.activation, _ = self.policy.activation_or(DEFAULT_ACTIVATION[kind])

    def plan(self) -> Counterpart:
        """Return the whole agent."""
        algorithm = COUNTERPARTS.get(self.algorithm)
        observation, action = self.policy.observation, self.policy.action
        self._check(algorithm)
        if algorithm is None or observation is None or action is None:
            msg = "the spaces of observations and actions cannot be read from the file, and stable_baselines3 needs them"
            raise UnsupportedError(msg, hint=_TO_FILE)
        build = {
            "actor-critic": self._actor_critic,
            "DQN": self._dqn,
            "SAC": self._sac,
            "TD3": self._td3,
            "DDPG": self._ddpg,
        }[self.family]
        action = self._bounded(action)
        net_arch, state = build(observation, action)
        arguments, notes = arguments_of(algorithm, self.facts.settings)
        variables = {}
        if "model/log_ent_coef" in self.arrays:
            variables["log_ent_coef"] = np.atleast_1d(self.arrays["model/log_ent_coef"].read())
        images = self._images()
        return Counterpart(
            algorithm=algorithm,
            policy="CnnPolicy" if images else "MlpPolicy",
            net_arch=net_arch,
            activation=ACTIVATIONS[self.activation],
            normalizes_images=images,
            observation=observation,
            action=action,
            arguments=arguments,
            policy_arguments={
                "features_extractor_kwargs": {"features_dim": features_of(self.arrays)}
            }
            if images
            else {},
            state={name: np.ascontiguousarray(value, np.float32) for name, value in state.items()},
            variables=variables,
            notes=(*self.notes, *notes),
        )

    def _check(self, algorithm: str | None) -> None:
        """Refuse what stable_baselines3 does not have. Raises UnsupportedError."""
        reason = None
        if algorithm is None:
            reason = _WITHOUT.get(self.algorithm, "which algorithm it is of cannot be told")
            if self.algorithm == "actor-critic":
                raise UnsupportedError(reason, hint="--set algorithm=PPO2 or --set algorithm=A2C")
        elif any("lstm" in name for name in self.arrays):
            reason = "its policy is recurrent; stable_baselines3 has no LSTM policies (sb3-contrib has others)"
        elif any("LayerNorm" in name for name in self.arrays):
            reason = "its policy has layer normalization, which no policy of stable_baselines3 has"
        elif self.activation not in ACTIVATIONS:
            reason = f"torch.nn has no activation that computes what {self.activation} does"
        elif "vecnormalize/mean" in self.arrays:
            reason = "stable_baselines3 keeps VecNormalize in a file of its own"
            raise UnsupportedError(reason, hint=_NORMALIZER_HINT)
        elif self._images():
            reason = reason_against(self.arrays, self.policy, self.family)
        if reason is not None:
            raise UnsupportedError(reason, hint=_TO_FILE)

    def _bounded(self, action: Space) -> Space:
        """Return actions without bounds as those of a box that holds all numbers; policies do not scale them."""
        if action.kind != BOX or action.is_bounded or action.low is None or action.high is None:
            return action
        if self.family != "actor-critic":
            msg = f"its actions, of {action.describe()}, have no bounds that {self.family} could bring them to"
            raise UnsupportedError(msg, hint=_TO_FILE)
        self.notes.append(
            f"actions without a bound have the bound {LARGEST_FLOAT:.1e}: stable_baselines3 takes no infinite ones"
        )
        low, high = (
            np.clip(each, -LARGEST_FLOAT, LARGEST_FLOAT) for each in (action.low, action.high)
        )
        return replace(action, low=low, high=high)

    def _images(self) -> bool:
        return any(len(array.shape) == 4 for array in self.arrays.values())

    def _chain(self, pattern: str, *last: str) -> Chain:
        """Return hidden layers whose scopes fit a pattern with one number, in their order, and the last ones named."""
        found = sorted(
            {
                int(match[1] or 0): match[0]
                for name in self.arrays
                if (match := re.match(pattern + r"(?=/(?:w|kernel|weights)$)", name))
            }.items()
        )
        scopes = [scope for _, scope in found] + list(last)
        return tuple(self._dense(scope) for scope in scopes)

    def _dense(self, scope: str) -> Dense:
        for kernel, bias in (("w", "b"), ("kernel", "bias"), ("weights", "biases")):
            if f"{scope}/{kernel}" in self.arrays:
                return read_dense(self.arrays, f"{scope}/{kernel}", f"{scope}/{bias}")
        return read_dense(self.arrays, f"{scope}/w", f"{scope}/b")

    def _actor_critic(
        self, observation: Space, action: Space
    ) -> tuple[object, dict[str, NDArray[np.floating]]]:
        shared = self._chain(r"model/shared_fc(\d+)")
        nets = {
            name: (*shared, *self._chain(rf"model/{prefix}_fc(\d+)"))
            for name, prefix in (("policy_net", "pi"), ("value_net", "vf"))
        }
        if shared:
            self.notes.append(
                "the layers that policy and value share are in both, since stable_baselines3 shares none: "
                "it plays the same, but trains them apart"
            )
        state: dict[str, NDArray[np.floating]] = {}
        if self._images():
            state |= image_state(self.arrays, "features_extractor", "model", observation)
        for name, chain in nets.items():
            state |= sequential(f"mlp_extractor.{name}", chain)
        for name, scope in (("action_net", "model/pi"), ("value_net", "model/vf")):
            head = self._dense(scope)
            state |= {f"{name}.weight": head.weight, f"{name}.bias": head.bias}
        if "model/pi/logstd" in self.arrays:
            state["log_std"] = self.arrays["model/pi/logstd"].read().ravel()
        return {
            "pi": [each.units for each in nets["policy_net"]],
            "vf": [each.units for each in nets["value_net"]],
        }, state

    def _dqn(
        self, observation: Space, action: Space
    ) -> tuple[object, dict[str, NDArray[np.floating]]]:
        state: dict[str, NDArray[np.floating]] = {}
        sizes: list[int] = []
        for scope, name in (
            ("deepq/model", "q_net"),
            ("deepq/target_q_func/model", "q_net_target"),
        ):
            chain = self._chain(rf"{scope}/action_value/fully_connected(?:_(\d+))?")
            values = self._chain(rf"{scope}/state_value/fully_connected(?:_(\d+))?")
            if values:
                chain = self._dueling(chain, values)
            if self._images():
                state |= image_state(
                    self.arrays, f"{name}.features_extractor", f"{scope}/action_value", observation
                )
            state |= sequential(f"{name}.q_net", chain)
            sizes = hidden_sizes(chain)
        if any("/state_value/" in name for name in self.arrays):
            self.notes.append(
                "the dueling network is one network with value and advantages side by side, since stable_baselines3 has "
                "no dueling: it plays the same, but trains all of its weights"
            )
        return sizes, state

    def _dueling(self, chain: Chain, values: Chain) -> Chain:
        """Return one chain for advantages and value. Raises UnsupportedError where the activation allows none."""
        if len(values) == len(chain):
            return dueling(chain, values)
        if len(chain) > 1 or self.activation != "relu":
            msg = (
                "its value has hidden layers and its advantages have none (a DQN of images), which lie side by side with "
                f"relu only; it has {self.activation}"
            )
            raise UnsupportedError(msg, hint=_TO_FILE)
        return dueling_without_hidden(chain[0], values)

    def _sac(
        self, observation: Space, action: Space
    ) -> tuple[object, dict[str, NDArray[np.floating]]]:
        policy = self._chain(r"model/pi/fc(\d+)")
        state = sequential("actor.latent_pi", policy)
        for name, scope in (("mu", "model/pi/dense"), ("log_std", "model/pi/dense_1")):
            head = self._dense(scope)
            state |= {f"actor.{name}.weight": head.weight, f"actor.{name}.bias": head.bias}
        sizes: list[int] = []
        for number in (1, 2):
            scope = f"model/values_fn/qf{number}"
            chain = self._chain(rf"{scope}/fc(\d+)", f"{scope}/qf{number}")
            for name in ("critic", "critic_target"):
                state |= sequential(f"{name}.qf{number - 1}", chain)
            sizes = hidden_sizes(chain)
        self.notes.append(
            "SAC of stable-baselines 2 has a value with a target, that of stable_baselines3 targets of the action values: "
            "these begin as copies, and the value is left out"
        )
        return {"pi": [each.units for each in policy], "qf": sizes}, state

    def _td3(
        self, observation: Space, action: Space
    ) -> tuple[object, dict[str, NDArray[np.floating]]]:
        state: dict[str, NDArray[np.floating]] = {}
        sizes: dict[str, list[int]] = {}
        for scope, suffix in (("model", ""), ("target", "_target")):
            policy = self._chain(rf"{scope}/pi/fc(\d+)", f"{scope}/pi/dense")
            state |= sequential(f"actor{suffix}.mu", policy)
            sizes["pi"] = hidden_sizes(policy)
            for number in (1, 2):
                each = f"{scope}/values_fn/qf{number}"
                chain = self._chain(rf"{each}/fc(\d+)", f"{each}/qf{number}")
                state |= sequential(f"critic{suffix}.qf{number - 1}", chain)
                sizes["qf"] = hidden_sizes(chain)
        return sizes, state

    def _ddpg(
        self, observation: Space, action: Space
    ) -> tuple[object, dict[str, NDArray[np.floating]]]:
        clip = clip_of(self.arrays, self.facts.settings, observation)
        if clip is not None:
            self.notes.append(
                f"observations are clipped to {clip.low:g} ... {clip.high:g}, which is a layer of its own here: "
                "two more units for each number"
            )
        if self.activation != "relu":
            msg = f"its critic takes the action behind the first layer, which only relu lets through; it has {self.activation}"
            raise UnsupportedError(msg, hint=_TO_FILE)
        state: dict[str, NDArray[np.floating]] = {}
        sizes: dict[str, list[int]] = {}
        for scope, suffix in (("model", ""), ("target", "_target")):
            policy = clipped(self._chain(rf"{scope}/pi/fc(\d+)", f"{scope}/pi/pi"), clip)
            chain = self._chain(rf"{scope}/qf/fc(\d+)", ddpg_value(self.arrays, scope))
            critic = late_action(chain, int(np.prod(action.shape)), clip)
            critic = scaled(critic, *returns_of(self.arrays))
            state |= sequential(f"actor{suffix}.mu", policy)
            state |= sequential(f"critic{suffix}.qf0", critic)
            sizes = {"pi": hidden_sizes(policy), "qf": hidden_sizes(critic)}
        self.notes.append(
            "the critic of stable-baselines 2 takes the action behind its first layer; here relu(a) and relu(-a) lead it past"
        )
        return sizes, state
