"""DQN, SAC, TD3, DDPG: policies and action values with target copies."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping

from converters.agents.action_rules import greedy, squashed
from converters.agents.network import AgentNetwork, Parameter
from converters.agents.observations import flat
from converters.agents.spaces import Space
from converters.agents.stable_baselines.images import add_images
from converters.agents.stable_baselines.settings import Policy
from converters.architecture import ActionRule
from converters.errors import UnsupportedError
from converters.registry import Plain

LOG_STD_BOUNDS = (-20.0, 2.0)
"""Of SAC (sac/policies.py, LOG_STD_MIN and LOG_STD_MAX)."""
_DENSE = re.compile(r"fully_connected(?:_(\d{1,9}))?/weights")


class OffPolicy:
    """One agent while its networks are added.

    Args:
        network: gets everything.
        policy: what is known of it.
        observation: its space.
        activation: of the hidden layers.
    """

    def __init__(
        self, network: AgentNetwork, policy: Policy, observation: Space, *, activation: str
    ) -> None:
        self.network = network
        self.policy = policy
        self.observation = observation
        self.activation = activation

    def add_dqn(self, x: str) -> ActionRule:
        """Add Q-network and target of a DQN; dueling: the value plus the advantages minus their mean."""
        network = self.network
        for scope, block, name in (
            ("deepq/model", "q_network", "q_values"),
            ("deepq/target_q_func/model", "target_q_network", "target_q_values"),
        ):
            if any(key.startswith(f"{scope}/action_value/") for key in network.arrays):
                with network.block(block):
                    network.outputs[name] = self._action_values(scope, x, name)
        values = network.outputs["q_values"]
        network.outputs["q"] = values
        network.outputs["proba"] = network.call("F.softmax", values, dim=-1, name="proba")
        best = network.call("torch.argmax", values, dim=-1, name="deterministic_action")
        network.outputs["deterministic_action"] = best
        if "deepq/eps" in network.arrays:
            network.ignore("deepq/eps", "how often training acted at random; predict does not")
        return greedy("q_values")

    def _action_values(self, scope: str, x: str, name: str) -> str:
        return self.dueling(scope, self._features(f"{scope}/action_value", x), name)

    def dueling(self, scope: str, features: str, name: str) -> str:
        """Return action values of features: advantages alone, or a value plus the advantages minus their mean."""
        network = self.network
        with network.block("action_value"):
            scores = self.fully_connected(f"{scope}/action_value", features)
        if not any(key.startswith(f"{scope}/state_value/") for key in network.arrays):
            return scores
        with network.block("state_value"):
            value = self.fully_connected(f"{scope}/state_value", features)
        mean = network.call("torch.mean", scores, dim=1, keepdim=True, name="mean")
        centered = network.call("operator.sub", scores, mean, name="advantage")
        return network.call("operator.add", value, centered, name=name)

    def fully_connected(self, scope: str, x: str) -> str:
        """Return a chain of dense layers by the names of `tf.contrib.layers`, each normalized where the file has it."""
        network = self.network
        numbers = sorted(
            int(match[1] or 0)
            for name in network.arrays
            if name.startswith(f"{scope}/")
            and (match := _DENSE.fullmatch(name.removeprefix(f"{scope}/")))
        )
        for number in numbers:
            suffix = f"_{number}" if number else ""
            layer = f"{scope}/fully_connected{suffix}"
            x = network.linear(x, f"fully_connected{suffix}", f"{layer}/weights", f"{layer}/biases")
            norm = f"{scope}/LayerNorm{suffix}"
            if f"{norm}/gamma" in network.arrays:
                x = network.layer_norm(x, f"layer_norm{suffix}", norm)
            if number != numbers[-1]:
                x = network.activation(self.activation, x)
        return x

    def _features(self, scope: str, x: str) -> str:
        """Return what a network's layers take: flat observations, or features of images with variables in `scope`."""
        if self._takes_images(scope):
            return add_images(self.network, self.policy, scope, x)
        return flat(self.network, x, self.observation)

    def _takes_images(self, scope: str) -> bool:
        return any(
            len(array.shape) == 4 and name.startswith(f"{scope}/")
            for name, array in self.network.arrays.items()
        )

    def add_sac(self, x: str) -> ActionRule:
        """Add policy, value, target value and both action values of SAC."""
        network = self.network
        with network.block("policy"):
            features = self._hidden("model/pi", self._features("model/pi", x))
            mean = self._dense("model/pi/dense", features, "mean")
            raw = self._dense("model/pi/dense_1", features, "log_std")
            low, high = LOG_STD_BOUNDS
            log_std = network.call("torch.clamp", raw, min=low, max=high, name="log_std")
        std = network.call("torch.exp", log_std, name="std")
        best = network.call("torch.tanh", mean, name="deterministic_action")
        network.outputs |= {"mean": mean, "std": std, "deterministic_action": best}
        features = self._shared_features("model/values_fn", "features", x)
        network.outputs["value"] = self._value("model/values_fn/vf", "value", features)
        network.outputs["vf"] = network.outputs["value"]
        self._target_value(x)
        self._twins("model/values_fn", features, "")
        if "model/log_ent_coef" in network.arrays:
            parameter = Parameter("model/log_ent_coef", "value", "->")
            network.outputs["log_ent_coef"] = network.layer(
                "agent.Variable",
                "log_ent_coef",
                (),
                (parameter,),
                name="log_ent_coef",
                kwargs={"shape": ()},
            )
        return squashed(self.policy.action, noise=True)

    def _target_value(self, x: str) -> None:
        """Add SAC's target of the value, unless the file lacks a part of it."""
        network = self.network
        names = [name for name in network.arrays if name.startswith("target/values_fn/")]
        if self._takes_images("model/values_fn") and not self._takes_images("target/values_fn"):
            for name in names:  # up to 2.7, `save` left the target's convolutions out
                network.ignore(name, "the file lacks its network for images")
        elif any(name.startswith("target/values_fn/vf/") for name in names):
            features = self._shared_features("target/values_fn", "target_features", x)
            target = self._value("target/values_fn/vf", "target_value", features)
            network.outputs |= {"target_value": target, "target_vf": target}

    def add_td3(self, x: str) -> ActionRule:
        """Add policy and both action values of TD3, and their targets."""
        network = self.network
        for scope, prefix in (("model", ""), ("target", "target_")):
            if not any(name.startswith(f"{scope}/pi/") for name in network.arrays):
                continue
            self._bounded_policy(scope, prefix, x, head="dense")
            features = self._shared_features(f"{scope}/values_fn", f"{prefix}features", x)
            self._twins(f"{scope}/values_fn", features, prefix)
        return squashed(self.policy.action, noise=False)

    def add_ddpg(self, x: str) -> ActionRule:
        """Add policy and action value of DDPG, and their targets; the critic takes the action behind its first layer."""
        network = self.network
        x = self.normalized(x)
        for scope, prefix in (("model", ""), ("target", "target_")):
            if not any(name.startswith(f"{scope}/pi/") for name in network.arrays):
                continue
            self._bounded_policy(scope, prefix, x, head="pi")
            taken = self._action()
            with network.block(f"{prefix}q1"):
                features = self._hidden(
                    f"{scope}/qf", self._features(f"{scope}/qf", x), action=taken
                )
                head = ddpg_value(network.arrays, scope)
                value = self._dense(head, features, f"{prefix}q1")
            network.outputs[f"{prefix}q1"] = self._denormalized(value, prefix)
        network.outputs["q"] = network.outputs["qf"] = network.outputs["q1"]
        for name in network.arrays:
            if name.startswith(("noise/", "noise_adapt/")):
                network.ignore(
                    name, "a copy of the policy with noise in its parameters, remade while training"
                )
        return squashed(self.policy.action, noise=False)

    def _bounded_policy(self, scope: str, prefix: str, x: str, *, head: str) -> None:
        """Add a policy that gives an action in -1..1; its last layer is called `head`."""
        network, name = self.network, action_name(prefix)
        with network.block(f"{prefix}policy"):
            features = self._hidden(f"{scope}/pi", self._features(f"{scope}/pi", x))
            action = self._dense(f"{scope}/pi/{head}", features, "x")
            network.outputs[name] = network.call("torch.tanh", action, name=name)

    def normalized(self, x: str, *, epsilon: float = 0.0) -> str:
        """Return the observation as DDPG's networks take it: normalized if it was trained so, and clipped.

        Args:
            x: the observation.
            epsilon: beside the deviation.
        """
        found = running_statistics(self.network.arrays, "obs_rms")
        if found is not None:
            x = self._statistics("agent.RunningMeanStd", "normalizer", found, x, epsilon=epsilon)
        low, high = self._range("observation_range", "input/clip_by_value", (-5.0, 5.0))
        return self.network.call("torch.clamp", x, min=low, max=high)

    def _denormalized(self, value: str, prefix: str) -> str:
        """Return an action value in the units of the rewards; the target's is not clipped (ddpg/ddpg.py, `setup_model`)."""
        network = self.network
        low, high = self._range("return_range", "loss/clip_by_value", (-math.inf, math.inf))
        if not prefix and (math.isfinite(low) or math.isfinite(high)):
            bounds = {"min": low, "max": high}
            finite = {name: bound for name, bound in bounds.items() if math.isfinite(bound)}
            value = network.call("torch.clamp", value, name="q1", **finite)
        found = running_statistics(network.arrays, "ret_rms")
        if found is None:
            return value
        if prefix:
            return network.again("returns", value, name=f"{prefix}q1")
        return self._statistics("agent.Denormalize", "returns", found, value, name="q1")

    def _range(self, setting: str, node: str, default: tuple[float, float]) -> tuple[float, float]:
        """Return the bounds of a setting: as stated, as the graph's node has them, or the library's."""
        graph = self.policy.graph
        of_graph = default if graph is None else graph.clips.get(node, default)
        return stated_range(self.policy.settings, setting, of_graph)

    def _statistics(
        self, op: str, attribute: str, scope: str, x: str, *, name: str = "x", **kwargs: Plain
    ) -> str:
        """Return what a layer of the running statistics in a scope makes of x."""
        network = self.network
        shape = network.array(f"{scope}/runningsum").shape
        axes = " ".join(f"a{number}" for number in range(len(shape)))
        parameters = [
            *(
                Parameter(f"{scope}/{each}", each, f"{axes} -> {axes}")
                for each in ("runningsum", "runningsumsq")
            ),
            Parameter(f"{scope}/count", "count", "->"),
        ]
        kwargs = {"shape": shape, **kwargs}
        return network.layer(op, attribute, (x,), parameters, name=name, kwargs=kwargs)

    def _hidden(self, scope: str, x: str, *, action: str | None = None) -> str:
        """Return the layers fc0, fc1, ... ; `action` is joined behind the first."""
        network, number = self.network, 0
        while f"{scope}/fc{number}/kernel" in network.arrays:
            x = network.linear(
                x, f"fc{number}", f"{scope}/fc{number}/kernel", f"{scope}/fc{number}/bias"
            )
            norm = f"{scope}/LayerNorm" + (f"_{number}" if number else "")
            if f"{norm}/gamma" in network.arrays:
                x = network.layer_norm(x, f"layer_norm{number}", norm)
            x = network.activation(self.activation, x)
            if number == 0 and action is not None:
                x = network.call("torch.cat", x, action, dim=-1)
            number += 1
        return x

    def _dense(self, scope: str, x: str, name: str) -> str:
        attribute = {"dense": "mean", "dense_1": "log_std"}.get(scope.rpartition("/")[2], "output")
        return self.network.linear(x, attribute, f"{scope}/kernel", f"{scope}/bias", name=name)

    def _shared_features(self, scope: str, block: str, x: str) -> str:
        if self._takes_images(scope):
            with self.network.block(block):
                return add_images(self.network, self.policy, scope, x)
        return flat(self.network, x, self.observation)

    def _value(self, scope: str, block: str, features: str) -> str:
        with self.network.block(block):
            return self._dense(f"{scope}/vf", self._hidden(scope, features), block)

    def _twins(self, scope: str, features: str, prefix: str) -> None:
        """Add the two action values of (observation, action)."""
        network = self.network
        joined = network.call("torch.cat", features, self._action(), dim=-1)
        for number in (1, 2):
            name = f"{prefix}q{number}"
            with network.block(name):
                hidden = self._hidden(f"{scope}/qf{number}", joined)
                value = self._dense(f"{scope}/qf{number}/qf{number}", hidden, name)
            network.outputs |= {name: value, f"{prefix}qf{number}": value}

    def _action(self) -> str:
        """Return the input of actions, between -1 and 1; without it there are no action values."""
        network = self.network
        if any(value.name == "action" for value in network.inputs):
            return "action"
        scope = "model/pi/pi" if "model/pi/pi/kernel" in network.arrays else "model/pi/dense"
        size = network.last_size(f"{scope}/kernel")
        return network.input("action", (size,), "float32", default="absent")


def ddpg_value(arrays: Collection[str], scope: str) -> str:
    """Return where the critic's last layer is: "qf_output" since 2.6, "qf" before."""
    later = f"{scope}/qf/qf_output"
    return later if f"{later}/kernel" in arrays else f"{scope}/qf/qf"


def running_statistics(arrays: Iterable[str], name: str) -> str | None:
    """Return the scope of the running statistics "obs_rms" or "ret_rms"; None: the agent keeps none."""
    end = re.compile(rf"(?:^|/){name}/count$")
    return next((each.removesuffix("/count") for each in arrays if end.search(each)), None)


def stated_range(
    settings: Mapping[str, object], name: str, default: tuple[float, float]
) -> tuple[float, float]:
    """Return a setting that is a pair of numbers. Raises UnsupportedError where it is none."""
    stated = settings.get(name)
    low, high = stated if isinstance(stated, (tuple, list)) and len(stated) == 2 else default
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        msg = f"'{name}' is no pair of numbers"
        raise UnsupportedError(msg)
    return float(low), float(high)


def action_name(prefix: str) -> str:
    """Return what the policy's action is called among the outputs; `prefix` is "target_" for the target's."""
    return f"{prefix}action" if prefix else "deterministic_action"
