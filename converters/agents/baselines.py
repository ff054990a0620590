"""Agents of OpenAI baselines: deepq, ppo2, a2c, acer-like policies with values, and ddpg.

The files hold every variable of the session by name, slots of optimizers too, and no settings: activations are the
library's defaults unless --set says otherwise. All formulas are those of baselines of 2018 and 2019 (`common/models.py`,
`common/policies.py`, `deepq/models.py`, `ddpg/models.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from converters.agents.action_rules import greedy, squashed
from converters.agents.facts import AgentFacts
from converters.agents.network import CHANNELS_FIRST, CHANNELS_LAST, AgentNetwork
from converters.agents.observations import INPUT
from converters.agents.spaces import BOX, DISCRETE, Space, read_space
from converters.agents.stable_baselines.actor_critic import add_distribution, add_lstm
from converters.agents.stable_baselines.images import add_images
from converters.agents.stable_baselines.off_policy import OffPolicy, action_name
from converters.agents.stable_baselines.settings import Policy
from converters.architecture import ActionRule
from converters.checkpoint import ArrayInfo
from converters.errors import MismatchError, UnsupportedError

DEFAULT_ACTIVATION = "tanh"
"""Of `models.mlp`; the dense layers behind a DQN's network have relu."""
CONV_ONLY = ((8, 4), (4, 2), (3, 1))
"""Kernel size and stride of `conv_only`, padded to SAME."""
_SLOT = re.compile(r"/(?:Adam|RMSProp|Momentum)(?:_\d+)?$|(?:^|/)beta[12]_power(?:_\d+)?$")
_POLICY = re.compile(r"^(?P<scope>\w+)/vf/w$")
_DEEPQ = "deepq/q_func"


def recognizes(names: Collection[str]) -> bool:
    """Tell whether variables have the names of one of the algorithms."""
    return _kind(names) is not None


def _kind(names: Collection[str]) -> str | None:
    if any(name.startswith(f"{_DEEPQ}/") for name in names):
        return "DQN"
    if "actor/dense/kernel" in names and any(name.startswith("critic/") for name in names):
        return "DDPG"
    scopes = [match["scope"] for name in names if (match := _POLICY.match(name))]
    return scopes[0] if any(f"{scope}/pi/" in name for scope in scopes for name in names) else None


def plan(
    arrays: Mapping[str, ArrayInfo], facts: AgentFacts
) -> tuple[AgentNetwork, ActionRule, str]:
    """Return the networks of an agent, how it acts, and its class name.

    Raises:
        UnsupportedError: A network whose parts are not known.
        MismatchError: Variables are missing.
    """
    kind = _kind(arrays)
    if kind is None:
        shown = ", ".join(list(arrays)[:4])
        msg = f"its variables ({shown}, ...) are not those of an agent of baselines"
        raise UnsupportedError(
            msg, hint="--into my_module.py:Net --map names.toml gives every variable its place"
        )
    kept = {name: array for name, array in arrays.items() if not _SLOT.search(name)}
    agent = _Baselines(AgentNetwork(kept), facts)
    for name in arrays:
        if name not in kept:
            agent.network.ignore(name, "state of an optimizer")
    # deepq/build_graph.py takes Adam as it is; ppo2, a2c and acer/model.py state an epsilon.
    agent.network.training = {"epsilon": 1e-8 if kind == "DQN" else 1e-5}
    if kind == "DQN":
        return agent.network, agent.add_deepq(), "DQN"
    if kind == "DDPG":
        return agent.network, agent.add_ddpg(), "DDPG"
    names = {"ppo2_model": "PPO2", "a2c_model": "A2C", "acer_model": "ACER", "acktr_model": "ACKTR"}
    return agent.network, agent.add_policy(kind), names.get(kind, "ActorCritic")


class _Baselines:
    """One agent while its networks are added."""

    def __init__(self, network: AgentNetwork, facts: AgentFacts) -> None:
        self.network = network
        stated = facts.given.get("activation")
        self.stated = stated if isinstance(stated, str) else None
        self.policy = Policy(
            "",
            self.stated,
            None,
            _stored_space(facts),
            None,
            facts.settings,
            facts.given,
            facts.graph,
        )

    def add_deepq(self) -> ActionRule:
        """Add Q-network and target; dueling: the value plus the advantages minus their mean."""
        network = self.network
        x = self._observation(_DEEPQ)
        for scope, block, name in (
            (_DEEPQ, "q_network", "q_values"),
            ("deepq/target_q_func", "target_q_network", "target_q_values"),
        ):
            if any(key.startswith(f"{scope}/") for key in network.arrays):
                with network.block(block):
                    network.outputs[name] = self._action_values(scope, x, name)
        values = network.outputs["q_values"]
        network.outputs["q"] = values
        best = network.call("torch.argmax", values, dim=-1, name="deterministic_action")
        network.outputs["deterministic_action"] = best
        if "deepq/eps" in network.arrays:
            network.ignore("deepq/eps", "how often training acted at random")
        return greedy("q_values")

    def _action_values(self, scope: str, x: str, name: str) -> str:
        network = self.network
        features = self._network(scope, x)
        dense = OffPolicy(network, self.policy, Space(BOX, ()), activation="relu")
        if not any(key.startswith(f"{scope}/action_value/") for key in network.arrays):
            return dense.fully_connected(scope, features)  # models.mlp of 2017
        return dense.dueling(scope, features, name)

    def add_policy(self, scope: str) -> ActionRule:
        """Add a policy and its value, which has a network of its own or shares the policy's."""
        network = self.network
        x = self._observation(f"{scope}/pi")
        with network.block("policy"):
            latent = self._network(f"{scope}/pi", x)
        cell = next(
            (name for name in ("lstm", "lnlstm") if f"{scope}/pi/{name}/wx" in network.arrays), None
        )
        if cell is not None:
            latent = add_lstm(network, latent, f"{scope}/pi/{cell}")
        own_value = any(re.match(rf"{scope}/vf/[^/]+/", name) for name in network.arrays)
        with network.block("value"):
            behind = self._network(f"{scope}/vf", x) if own_value else latent
            value = network.linear(behind, "vf", f"{scope}/vf/w", f"{scope}/vf/b", name="value")
            network.outputs["value"] = network.call("torch.squeeze", value, dim=-1, name="value")
        scores = latent
        if (
            f"{scope}/pi/w" in network.arrays
        ):  # left out where the features are as many as the actions
            scores = network.linear(latent, "pi", f"{scope}/pi/w", f"{scope}/pi/b", name="pi")
        state = "state" if cell is not None else ""
        if state:
            network.outputs["snew"] = network.outputs["state"]
        return add_distribution(network, self.policy, scores, state, scope)

    def add_ddpg(self) -> ActionRule:
        """Add policy and action value, and their targets; the critic takes observation and action joined."""
        network = self.network
        x = self._observation("actor")
        agent = OffPolicy(network, self.policy, Space(BOX, ()), activation="relu")
        x = agent.normalized(x, epsilon=1e-8)
        size = network.last_size("actor/dense/kernel")
        for actor, critic, prefix in (
            ("actor", "critic", ""),
            ("target_actor", "target_critic", "target_"),
        ):
            if f"{actor}/dense/kernel" not in network.arrays:
                continue
            with network.block(f"{prefix}policy"):
                latent = self._network(actor, x)
                raw = network.linear(
                    latent, "output", f"{actor}/dense/kernel", f"{actor}/dense/bias"
                )
                action = network.call("torch.tanh", raw, name=action_name(prefix))
            network.outputs[action_name(prefix)] = action
            if not any(value.name == "action" for value in network.inputs):
                network.input("action", (size,), "float32", default="absent")
            joined = network.call("torch.cat", x, "action", dim=-1)
            with network.block(f"{prefix}q1"):
                latent = self._network(critic, joined)
                value = network.linear(
                    latent, "output", f"{critic}/output/kernel", f"{critic}/output/bias", name="q1"
                )
            network.outputs[f"{prefix}q1"] = value
        network.outputs["q"] = network.outputs["q1"]
        return squashed(None, noise=False)

    def _network(self, scope: str, x: str) -> str:
        """Return what the network of a scope makes of observations: dense layers, convolutions, or nothing."""
        network = self.network
        if f"{scope}/convnet/Conv/weights" in network.arrays:
            return self._conv_only(f"{scope}/convnet", x)
        if any(
            len(array.shape) == 4 and name.startswith(f"{scope}/")
            for name, array in network.arrays.items()
        ):
            return add_images(network, self.policy, scope, x)
        number = 0
        while f"{scope}/mlp_fc{number}/w" in network.arrays:
            name = f"mlp_fc{number}"
            x = network.linear(x, name, f"{scope}/{name}/w", f"{scope}/{name}/b")
            norm = f"{scope}/LayerNorm" + (f"_{number}" if number else "")
            if f"{norm}/gamma" in network.arrays:
                x = network.layer_norm(x, f"layer_norm{number}", norm)
            x = network.activation(self._activation(scope), x)
            number += 1
        return x

    def _activation(self, scope: str) -> str:
        """Return the activation of dense layers: stated, seen in the graph, or the library's."""
        graph = self.policy.graph
        seen = None if graph is None else graph.activation(scope)
        found = self.stated or seen
        note = (
            f"the file does not say which activation the network has; taken for baselines' {DEFAULT_ACTIVATION} "
            "(--set activation=relu changes it)"
        )
        if found is None and note not in self.network.notes:
            self.network.notes.append(note)
        return found or DEFAULT_ACTIVATION

    def _conv_only(self, scope: str, x: str) -> str:
        """Return the convolutions of `conv_only` and of deepq's `cnn_to_mlp`, flat."""
        network = self.network
        x = network.call("torch.permute", x, dims=CHANNELS_FIRST)
        number = 0
        while f"{scope}/Conv{_suffix(number)}/weights" in network.arrays:
            layer = f"{scope}/Conv{_suffix(number)}"
            size = network.array(f"{layer}/weights").shape[0]
            if number >= len(CONV_ONLY) or CONV_ONLY[number][0] != size:
                msg = (
                    f"the convolution '{layer}' has the size {size}; its stride is not in the file"
                )
                raise UnsupportedError(msg)
            x = network.convolution(
                x,
                f"conv{_suffix(number)}",
                f"{layer}/weights",
                f"{layer}/biases",
                stride=CONV_ONLY[number][1],
                padding="SAME",
            )
            x = network.activation("relu", x)
            number += 1
        x = network.call("torch.permute", x, dims=CHANNELS_LAST)
        return network.call("torch.flatten", x, start_dim=1)

    def _observation(self, scope: str) -> str:
        """Return the observation: images divided by 255, numbers flat, indices one-hot."""
        network = self.network
        if any(
            len(array.shape) == 4 and name.startswith(f"{scope}/")
            for name, array in network.arrays.items()
        ):
            shape = self._image_shape()
            x = network.input(INPUT, shape, "float32")
            return network.call("operator.truediv", x, right=255.0)
        space = self.policy.observation
        if space is not None and space.kind == DISCRETE:
            x = network.input(INPUT, (), "int64")
            return network.call("compat.one_hot", x, size=space.sizes[0], dtype="float32")
        return network.input(INPUT, (self._features(scope),), "float32")

    def _image_shape(self) -> tuple[int, ...] | None:
        space, stated = self.policy.observation, self.policy.given.get("observation_shape")
        if space is not None and len(space.shape) == 3:
            return space.shape
        return tuple(stated) if isinstance(stated, list) else None

    def _features(self, scope: str) -> int:
        names = (
            f"{scope}/mlp_fc0/w",
            f"{scope}/lstm/wx",
            f"{scope}/lnlstm/wx",
            f"{scope}/w",
            f"{scope}/fully_connected/weights",
            f"{scope}/action_value/fully_connected/weights",
            f"{scope}/dense/kernel",
        )
        name = next((each for each in names if each in self.network.arrays), None)
        if name is None:
            msg = f"'{scope}' has no layer that takes observations"
            raise MismatchError(msg)
        return self.network.array(name).shape[0]


def _stored_space(facts: AgentFacts) -> Space | None:
    """Return the space of observations in the closure of `make_obs_ph`, if it can be seen."""
    return read_space(facts.settings.get("observation_space"))


def _suffix(number: int) -> str:
    return f"_{number}" if number else ""
