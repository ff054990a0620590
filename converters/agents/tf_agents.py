"""Agents of TF-Agents, from checkpoints of `common.Checkpointer`: networks by the attributes that hold them.

    agent/_q_network/_encoder/_postprocessing_layers/1/kernel, .../_q_value_layer/kernel     DQN; C51 has one more level
    agent/_actor_net/_encoder/..., .../_projection_networks/_means_projection_layer, _bias   PPO, REINFORCE
    agent/_actor_network/_mlp_layers/1/kernel                                                DDPG, TD3
    agent/_critic_network_1/_observation_layers, _action_layers, _joint_layers               and SAC

Networks below other names, of policies without an agent, of behavioral cloning: `tf_agents_names`. Activations, transformations of the deviation and the bounds of actions are arguments of the program: TF-Agents's defaults
are taken, and said to be. A policy that PolicySaver wrote says all this: convert that folder where there is one.
Source: tf_agents 0.19, networks/, agents/sac/tanh_normal_projection_network.py, utils/tensor_normalizer.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converters.agents.action_rules import greedy
from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork, Parameter
from converters.agents.observations import INPUT
from converters.agents.tf_agents_encoders import (
    CELL,
    STATES,
    UNROLLED,
    add_features,
    add_images,
    head_of,
)
from converters.agents.tf_agents_layers import HINT, Layers
from converters.agents.tf_agents_names import (
    ACTORS,
    CRITICS,
    NETWORKS,
    Q_NETWORKS,
    ROOT,
    VALUES,
    below_agent,
    recognizes,
)
from converters.agents.tf_agents_policies import add_actor
from converters.architecture import ActionRule, Step
from converters.checkpoint import ArrayInfo
from converters.errors import UnsupportedError
from converters.readers.pickles.holding import array_info

LIBRARY = "tf-agents"
NORMALIZER = f"{ROOT}_observation_normalizer/"
NORMALIZER_CLIP, NORMALIZER_EPSILON = 5.0, 1e-3
ATOMS = 51
"""Of C51, unless the number of outputs says otherwise."""
GIVEN = ("activation", "strides", "actions", "action_low", "action_high", "v_min", "v_max")
"""What --set may state."""
_AVERAGE = re.compile(rf"{NORMALIZER}_(avg|mean_moving_avg)/0$")
_FIRST_LAYER = re.compile(
    r"/_((?:input_)?encoder/_postprocessing_layers|(?:mlp|sequential|observation|input)_layers)/[01]/kernel$"
)
_BEHIND_FLATTEN = re.compile(
    r"/_((?:input_)?encoder/_postprocessing_layers|(?:mlp|observation|input)_layers)/1/kernel$"
)


__all__ = ["LIBRARY", "plan", "recognizes"]


def plan(
    arrays: Mapping[str, ArrayInfo], facts: AgentFacts
) -> tuple[AgentNetwork, ActionRule | None, str]:
    """Return the networks of an agent, how it acts, and its class name.

    Raises:
        UnsupportedError: Layers that are not dense, or a setting that is not known.
        AmbiguousTargetError: There are several agents, or a policy's last layer may be of either kind of actions.
    """
    convolves = any(len(array.shape) == 4 for array in arrays.values())
    known = [name for name in GIVEN if name != "strides" or convolves]
    unknown = sorted(set(facts.given) - set(known))
    if unknown:
        msg = f"--set {unknown[0]} says nothing of this agent of TF-Agents"
        raise UnsupportedError(msg, hint=f"known: {', '.join(known)}")
    found = below_agent(arrays)
    agent = _Agent(AgentNetwork(found.arrays), facts, is_policy=found.is_policy)
    rule = agent.add()
    agent.check_all_used()
    network = agent.network
    network.moved = {found.origins.get(name, name) for name in network.moved}
    network.ignored = {found.origins.get(n, n): why for n, why in network.ignored.items()}
    return network, rule, "TFAgent"


class _Agent:
    """One agent while its networks are added."""

    def __init__(self, network: AgentNetwork, facts: AgentFacts, *, is_policy: bool) -> None:
        self.network = network
        self.facts = facts
        self.layers = Layers(network, facts, is_policy=is_policy)

    def add(self) -> ActionRule | None:
        """Add everything there is; return how the agent acts, None if the file does not say."""
        network = self.network
        raw = network.input(INPUT, self._shape(), "float32")
        x = self._normalized(raw)
        raw, x = self._flat(raw, x)
        rule: ActionRule | None = None
        for name in self.layers.held(Q_NETWORKS):
            rule = self._q_network(name, x, Q_NETWORKS[name]) or rule
        for name in self.layers.held(ACTORS):
            rule = add_actor(self.layers, self.facts, name, x, ACTORS[name]) or rule
        for name in self.layers.held(VALUES):
            self._value(name, x)
        for name in self.layers.held(CRITICS):
            self._critic(name, raw, CRITICS[name])
        self._temperature()
        if rule is not None and set(STATES) <= set(network.outputs):
            rule = replace(rule, state=" ".join(STATES))
        return rule

    def _temperature(self) -> None:
        """Add SAC's temperature by its logarithm, where there is one."""
        network, name = self.network, f"{ROOT}log_alpha"
        if name in network.arrays:
            parameter = Parameter(name, "value", "->")
            network.outputs["log_alpha"] = network.layer(
                "agent.Variable", "log_alpha", (), (parameter,), kwargs={"shape": ()}
            )

    def check_all_used(self) -> None:
        """Raise UnsupportedError if a network has parts that none of the known ones took."""
        network = self.network
        left = [
            array.name
            for name, array in network.arrays.items()
            if name not in network.moved
            and name not in network.ignored
            and name.startswith(ROOT)
            and name.split("/")[1] in NETWORKS
        ]
        if left:
            msg = f"'{left[0]:.200}' belongs to no dense layer whose place is known"
            raise UnsupportedError(msg, hint=HINT)

    def _shape(self) -> tuple[int, ...] | None:
        """Return the shape of an observation; None: images, whose size is not in the file."""
        arrays = self.network.arrays
        for name, array in arrays.items():
            if _AVERAGE.match(name):
                return array.shape
        if any(_FIRST_LAYER.search(name) and len(a.shape) == 4 for name, a in arrays.items()):
            return None
        return (self._features(),)

    def _flat(self, raw: str, x: str) -> tuple[str, str]:
        """Return observations flat, as they are and normalized, where networks begin with a `Flatten`, the first of their layers.

        They stay as they are where that has nothing to do: where a normalizer says that they are vectors, or before convolutions.
        """
        network = self.network
        arrays = network.arrays.items()
        begins = any(_BEHIND_FLATTEN.search(name) for name, _ in arrays)
        vectors = any(len(array.shape) == 1 for name, array in arrays if _AVERAGE.match(name))
        if vectors or not begins or any(len(array.shape) == 4 for _, array in arrays):
            return raw, x
        flat = network.call("torch.flatten", x, start_dim=1)
        return (flat if x == raw else network.call("torch.flatten", raw, start_dim=1)), flat

    def _features(self) -> int:
        """Return the length of an observation: what the first layer of a network takes."""
        arrays = self.network.arrays
        normalized = [array.shape[0] for name, array in arrays.items() if _AVERAGE.match(name)]
        firsts = [array.shape[0] for name, array in arrays.items() if _FIRST_LAYER.search(name)]
        joint = [
            array.shape[0]
            for name, array in arrays.items()
            if re.search(r"/_critic_network(_1)?/_joint_layers/[01]/kernel$", name)
        ]
        cells = [a.shape[0] for name, a in arrays.items() if name.endswith((CELL, UNROLLED))]
        return (normalized or firsts or joint or cells or [1])[0]

    def _normalized(self, x: str) -> str:
        """Return observations as PPO normalizes them: by all that was seen, or by a moving average."""
        network = self.network
        kept = {
            name.removeprefix(NORMALIZER): a
            for name, a in network.arrays.items()
            if name.startswith(NORMALIZER)
        }
        if not kept:
            return x
        if any(not name.endswith("/0") for name in kept):
            msg = "the agent normalizes observations of several parts"
            raise UnsupportedError(msg, hint=HINT)
        mean, variance = kept.get("_avg/0"), _variance(kept)
        mean = mean if mean is not None else kept.get("_mean_moving_avg/0")
        if mean is None or variance is None:
            msg = (
                f"the normalizer of observations has {', '.join(kept)}; needed _avg, _m2 and _count"
            )
            raise UnsupportedError(msg, hint=HINT)
        network.arrays = {**network.arrays, "normalizer/mean": mean, "normalizer/var": variance}
        for name in kept:
            network.ignore(f"{NORMALIZER}{name}", "in the normalizer's mean and variance")
        axes = " ".join(f"a{place}" for place in range(len(mean.shape)))
        parameters = [
            Parameter(f"normalizer/{name}", name, f"{axes} -> {axes}") for name in ("mean", "var")
        ]
        x = network.layer(
            "agent.VecNormalize",
            "normalizer",
            (x,),
            parameters,
            name="normalized_observation",
            kwargs={"shape": mean.shape, "clip": NORMALIZER_CLIP, "epsilon": NORMALIZER_EPSILON},
        )
        network.outputs["normalized_observation"] = x
        return x

    def _q_network(self, name: str, x: str, prefix: str) -> ActionRule | None:
        network = self.network
        categorical = any(key.startswith(f"{ROOT}{name}/_q_network/") for key in network.arrays)
        scope = f"{ROOT}{name}/_q_network" if categorical else f"{ROOT}{name}"
        with network.block(name.lstrip("_")):
            head = head_of(self.layers, scope)
            features = add_features(self.layers, self.facts, name, x, scope, head=head)
            values = self.layers.chain(name, features, [head], name=f"{prefix}q_values")
            if categorical:
                shape = _actions_and_atoms(network.width(values))
                if shape:
                    values = network.call("torch.reshape", values, shape=(-1, *shape))
                    self.layers.assume(
                        f"{name.lstrip('_')} gives {shape[0]} actions of {shape[1]} atoms"
                    )
                network.outputs[f"{prefix}logits"] = values
                return None if prefix or not shape else self._on_atoms(values, shape[1])
        network.outputs[f"{prefix}q"] = network.outputs[f"{prefix}q_values"] = values
        if prefix:
            return None
        network.outputs["deterministic_action"] = network.call(
            "torch.argmax", values, dim=-1, name="deterministic_action"
        )
        return greedy("q_values")

    def _on_atoms(self, logits: str, atoms: int) -> ActionRule:
        """Add the best action of C51, and the action values if the values of the atoms are stated.

        Atoms lie at equal distances, so their places say which action is best: the bounds, which only the code knows,
        scale and move the values of all actions alike.
        """
        network, given = self.network, self.facts.given
        low, high = given.get("v_min"), given.get("v_max")
        first, step, stated = 0.0, 1.0, False
        if isinstance(low, (int, float)) and isinstance(high, (int, float)):
            first, step, stated = float(low), (high - low) / (atoms - 1), True
        elif low is not None or high is not None:
            msg = "the values of its atoms are two numbers"
            raise UnsupportedError(msg, hint="--set v_min=-10 --set v_max=10")
        support = tuple(first + place * step for place in range(atoms))
        chances = network.call("F.softmax", logits, dim=-1)
        values = network.call("agent.expectation", chances, support=support)
        if stated:
            network.outputs["q"] = network.outputs["q_values"] = values
        best = network.call("torch.argmax", values, dim=-1, name="deterministic_action")
        network.outputs["deterministic_action"] = best
        still = (Step("torch.detach", ("deterministic_action",), "action", None, {}),)
        return ActionRule(still, still)

    def _value(self, name: str, x: str) -> None:
        network, scope = self.network, f"{ROOT}{name}"
        with network.block(name.lstrip("_")):
            features = add_features(self.layers, self.facts, name, x, scope, states="value_state")
            value = self.layers.chain(name, features, [f"{scope}/_postprocessing_layers"])
            network.outputs["value"] = network.call("torch.squeeze", value, dim=-1, name="value")

    def _critic(self, name: str, x: str, output: str) -> None:
        network, scope = self.network, f"{ROOT}{name}"
        joint = self.layers.numbered(f"{scope}/_joint_layers")
        before = self.layers.numbered(f"{scope}/_observation_layers")
        actions = self.layers.numbered(f"{scope}/_action_layers")
        if f"{scope}/{CELL}" in network.arrays:
            for key in network.arrays:
                if key.startswith(f"{scope}/"):
                    network.ignore(key, "a critic with an LSTM, which acting does not need")
            return
        if not joint:
            return
        width = network.array(f"{joint[0]}/kernel").shape[0]
        seen = network.last_size(f"{before[-1]}/kernel") if before else self._features()
        size = network.array(f"{actions[0]}/kernel").shape[0] if actions else width - seen
        if not any(value.name == "action" for value in network.inputs):
            network.input("action", (size,), "float32", default="absent")
        with network.block(name.lstrip("_")):
            one, before = add_images(self.layers, self.facts, name, x, before)
            if before:
                one = self.layers.chain(name, one, before, last=self.layers.hidden(name))
            other = (
                self.layers.chain(name, "action", actions, last=self.layers.hidden(name))
                if actions
                else "action"
            )
            joined = network.call("torch.cat", one, other, dim=-1)
            value = self.layers.chain(name, joined, joint)
            value = network.call("torch.squeeze", value, dim=-1, name=output)
        network.outputs[output] = value
        if not name.endswith(("_1", "_2")):
            network.outputs[output.removesuffix("1")] = value


def _variance(kept: Mapping[str, ArrayInfo]) -> ArrayInfo | None:
    """Return the variance that a normalizer divides by: of a moving average, or squares by their count."""
    if "_var_moving_avg/0" in kept:
        return kept["_var_moving_avg/0"]
    squares, count = kept.get("_m2/0"), kept.get("_count/0")
    if squares is None or count is None or squares.shape != count.shape:
        return None
    values = np.asarray(squares.read()) / np.asarray(count.read())
    return array_info("normalizer/var", values)


def _actions_and_atoms(outputs: int) -> tuple[int, ...]:
    """Return how the outputs of C51 are arranged; as they are, if that is not certain."""
    if outputs % ATOMS == 0:
        return (outputs // ATOMS, ATOMS)
    splits = [
        (n, outputs // n) for n in range(2, outputs) if outputs % n == 0 and n <= outputs // n
    ]
    return splits[0] if len(splits) == 1 else ()
