"""The networks of an agent of the RRD suite as one module, beside the settings that `torch_impl` makes the agent from.

Inputs are what the original's graph takes: an observation, and for critics and rewards an action and the observation
after it. Names of layers are those of the agent's own networks, so one set of arrays fills both.

Source: the original repository's algorithm/basis_alg/{ddpg,td3,sac,dqn}.py, algorithm/rrd.py and utils/tf_utils.py.
Mirror: torch_impl/{policies,values,rewards,image_networks,normalizer}.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.agents.action_rules import greedy
from converters.agents.network import CHANNELS_FIRST, CHANNELS_LAST, AgentNetwork, Parameter
from converters.agents.observations import INPUT
from converters.architecture import ActionRule, Architecture, Step
from converters.checkpoint import ArrayInfo
from converters.registry import Plain

ACTION_INPUT, NEXT_INPUT = "action", "next_observation"
STRIDES = {"conv1": 4, "conv2": 2, "conv3": 1}
"""Of convolutions, which are in the suite's code and not in its files."""
LOG_STD_RANGE = (-20.0, 2.0)
MINIMUM_STD = 1e-2
_ALL = ("slice", None, None, None)


def describe_networks(
    variables: Mapping[str, ArrayInfo],
    networks: Mapping[str, str],
    *,
    algorithm: str,
    sizes: tuple[Sequence[int], int],
    name: str,
    dtype: str,
) -> Architecture:
    """Return the module of an agent.

    Args:
        variables: by their names in the file.
        networks: scope to the name of a network.
        algorithm: "dqn", "ddpg", "td3" or "sac".
        sizes: shape of an observation, and number of actions or of an action's numbers.
        name: of the class.
        dtype: of the parameters.
    """
    agent = _Agent(AgentNetwork(variables), {name: scope for scope, name in networks.items()})
    shape, actions = tuple(sizes[0]), sizes[1]
    rule = agent.add(algorithm, shape, actions, dtype)
    agent.network.steps = [
        replace(step, frozen=(step.attribute or "").startswith("target_"))
        for step in agent.network.steps
    ]
    return agent.network.architecture(name, rule, dtype)


class _Agent:
    """One agent while its networks are added; `scopes` has the scope of every network by its name."""

    def __init__(self, network: AgentNetwork, scopes: Mapping[str, str]) -> None:
        self.network = network
        self.scopes = scopes

    def add(self, algorithm: str, shape: tuple[int, ...], actions: int, dtype: str) -> ActionRule:
        """Add everything there is, and return how the agent acts."""
        network = self.network
        x = self._normalized(network.input(INPUT, shape, dtype))
        if algorithm == "dqn":
            rule = self._values_of_actions(x)
        else:
            rule = self._stochastic(x, actions) if algorithm == "sac" else self._deterministic(x)
        if algorithm != "dqn" or "reward" in self.scopes:
            network.input(ACTION_INPUT, (actions,), dtype, default="absent")
        if algorithm != "dqn":
            self._critics(x)
        if "reward" in self.scopes:
            self._reward(x, network.input(NEXT_INPUT, shape, dtype, default="absent"), shape)
        return rule

    def _normalized(self, x: str) -> str:
        """Return an observation as the networks take it; a second one goes through the same statistics."""
        network, scope = self.network, self.scopes.get("normalizer")
        if scope is None:
            return x
        if any(step.attribute == "normalizer" for step in network.steps):
            return network.again("normalizer", x, name="normalized")
        parts = ("sum", "sum_sqr", "cnt", "mean", "std")
        axes = " ".join(f"a{place}" for place in range(len(network.array(f"{scope}/mean").shape)))
        parameters = [
            Parameter(
                f"{scope}/{part}", part, "one -> one" if part == "cnt" else f"{axes} -> {axes}"
            )
            for part in parts
        ]
        kwargs: dict[str, Plain] = {"shape": network.array(f"{scope}/mean").shape}
        return network.layer(
            "agent.SumNormalizer", "normalizer", (x,), parameters, name="normalized", kwargs=kwargs
        )

    def _layer(
        self, of: str, layer: str, x: str, *, activation: str = "relu", name: str = "x"
    ) -> str:
        scope, network = self.scopes[of], self.network
        x = network.linear(x, layer, f"{scope}/{layer}/kernel", f"{scope}/{layer}/bias", name=name)
        return network.activation(activation, x, output=name)

    def _deterministic(self, x: str) -> ActionRule:
        network = self.network
        for prefix in ("", "target_"):
            of = f"{prefix}policy"
            with network.block(of):
                hidden = self._layer(of, "pi_dense2", self._layer(of, "pi_dense1", x))
                output = f"{prefix}deterministic_action"
                network.outputs[output] = self._layer(
                    of, "pi", hidden, activation="tanh", name=output
                )
        still = (Step("torch.detach", ("deterministic_action",), "action", None, {}),)
        return ActionRule(still, still)

    def _stochastic(self, x: str, actions: int) -> ActionRule:
        network = self.network
        with network.block("policy"):
            hidden = self._layer("policy", "pi_dense2", self._layer("policy", "pi_dense1", x))
            both = self._layer("policy", "pi", hidden, activation="linear")
            mean, raw = (
                network.call(
                    "operator.getitem", both, name=name, index=(_ALL, ("slice", *half, None))
                )
                for name, half in (
                    ("mean", (None, actions)),
                    ("raw_log_std", (actions, 2 * actions)),
                )
            )
            low, high = LOG_STD_RANGE
            log_std = network.call("torch.clamp", raw, min=low, max=high, name="log_std")
            std = network.call("torch.exp", log_std)
            std = network.call("torch.clamp", std, min=MINIMUM_STD, name="std")
        best = network.call("torch.tanh", mean, name="deterministic_action")
        network.outputs |= {"mean": mean, "std": std, "deterministic_action": best}
        alpha = Parameter(f"{self.scopes['temperature']}/log_alpha", "log_alpha", "->")
        network.outputs["alpha"] = network.layer(
            "agent.Temperature", "temperature", (), (alpha,), name="alpha", kwargs={}
        )
        drawn = Step("agent.sample_normal", ("mean", "std"), "drawn", None, {})
        squash = Step("torch.tanh", ("drawn",), "action", None, {})
        still = Step("torch.detach", ("deterministic_action",), "action", None, {})
        return ActionRule((still,), (drawn, squash))

    def _critics(self, x: str) -> None:
        """Add the values of observation and action, and of the policy's own action where it is deterministic."""
        network = self.network
        for of in self.scopes:
            prefix, stem = ("target_", of[7:]) if of.startswith("target_") else ("", of)
            if not stem.startswith(("value", "q_value")):
                continue
            output = f"{prefix}q{stem[-1] if stem[-1].isdigit() else ''}"
            with network.block(of):
                network.outputs[output] = self._critic(of, x, ACTION_INPUT, output)
            if output == "q":
                with network.block(of):
                    network.outputs["q_pi"] = self._again(
                        of, x, network.outputs["deterministic_action"]
                    )

    def _critic(self, of: str, x: str, action: str, output: str) -> str:
        network, scope = self.network, self.scopes[of]
        features = network.shape_of(f"{scope}/q_dense1/kernel", 2)[0]
        sees_action = features != network.inputs[0].shape[-1] if network.inputs[0].shape else True
        joined = network.call("torch.cat", x, action, dim=-1) if sees_action else x
        hidden = self._layer(of, "q_dense1", joined)
        if not sees_action:
            hidden = network.call("torch.cat", hidden, action, dim=-1)
        return self._layer(
            of, "q", self._layer(of, "q_dense2", hidden), activation="linear", name=output
        )

    def _again(self, of: str, x: str, action: str) -> str:
        """Return the value of another action by the critic of DDPG, whose first layer sees no action."""
        network = self.network
        hidden = network.activation("relu", network.again(f"{of}.q_dense1", x))
        hidden = network.call("torch.cat", hidden, action, dim=-1)
        hidden = network.activation("relu", network.again(f"{of}.q_dense2", hidden))
        return network.again(f"{of}.q", hidden, name="q_pi")

    def _values_of_actions(self, x: str) -> ActionRule:
        network = self.network
        for of, output in (("value", "q"), ("target_value", "target_q")):
            with network.block(of):
                network.outputs[output] = self._dueling(of, "q", x, output)
        network.outputs["q_values"] = network.outputs["q"]
        best = network.call(
            "torch.argmax", network.outputs["q"], dim=-1, name="deterministic_action"
        )
        network.outputs["deterministic_action"] = best
        return greedy("q_values")

    def _dueling(self, of: str, letter: str, x: str, output: str) -> str:
        network, scope = self.network, self.scopes[of]
        if f"{scope}/{letter}_conv1/kernel" not in network.arrays:
            hidden = self._layer(of, f"{letter}_dense2", self._layer(of, f"{letter}_dense1", x))
            return self._layer(of, letter, hidden, activation="linear", name=output)
        x = self._convolutions(of, letter, x)
        scores = self._layer(of, f"{letter}_dense_act", x)
        scores = self._layer(of, f"{letter}_act", scores, activation="linear", name=output)
        if f"{scope}/{letter}_base/kernel" not in network.arrays:
            return scores
        base = self._layer(of, f"{letter}_dense_base", x)
        base = self._layer(of, f"{letter}_base", base, activation="linear", name="base")
        total = network.call("operator.add", base, scores)
        mean = network.call("torch.mean", scores, dim=1, keepdim=True, name="mean")
        return network.call("operator.sub", total, mean, name=output)

    def _convolutions(self, of: str, letter: str, x: str) -> str:
        """Return the flat features of images, in the order of TensorFlow: channels last."""
        network, scope = self.network, self.scopes[of]
        x = network.call("torch.permute", x, dims=CHANNELS_FIRST)
        for layer, stride in STRIDES.items():
            kernel = f"{scope}/{letter}_{layer}"
            x = network.convolution(
                x,
                f"{letter}_{layer}",
                f"{kernel}/kernel",
                f"{kernel}/bias",
                stride=stride,
                padding="SAME",
            )
            x = network.activation("relu", x)
        x = network.call("torch.permute", x, dims=CHANNELS_LAST)
        return network.call("torch.flatten", x, start_dim=1)

    def _reward(self, x: str, after: str, shape: tuple[int, ...]) -> None:
        """Add the predicted reward of a step: of observation, action and the change; on images one for every action."""
        network = self.network
        after = self._normalized(after)
        change = network.call("operator.sub", x, after, name="change")
        with network.block("reward"):
            if len(shape) == 1:
                joined = network.call("torch.cat", x, ACTION_INPUT, change, dim=-1)
                hidden = self._layer(
                    "reward", "r_dense2", self._layer("reward", "r_dense1", joined)
                )
                reward = self._layer("reward", "r", hidden, activation="linear", name="reward")
            else:
                joined = network.call("torch.cat", x, change, dim=-1)
                scores = self._dueling("reward", "r", joined, "scores")
                taken = network.call("operator.mul", scores, ACTION_INPUT)
                reward = network.call("torch.sum", taken, dim=-1, keepdim=True, name="reward")
        network.outputs |= {"reward": reward, "rewards_pred": reward}
