"""Agents of TF-Agents, from checkpoints of `common.Checkpointer`: networks by the attributes that hold them.

    agent/_q_network/_encoder/_postprocessing_layers/1/kernel, .../_q_value_layer/kernel     DQN; C51 has one more level
    agent/_actor_net/_encoder/..., .../_projection_networks/_means_projection_layer, _bias   PPO, REINFORCE
    agent/_actor_network/_mlp_layers/1/kernel                                                DDPG, TD3
    agent/_critic_network_1/_observation_layers, _action_layers, _joint_layers               and SAC

Activations, transformations of the deviation and the bounds of actions are arguments of the program: TF-Agents's defaults
are taken, and said to be. A policy that PolicySaver wrote says all this: convert that folder where there is one.
Source: tf_agents 0.19, networks/, agents/sac/tanh_normal_projection_network.py, utils/tensor_normalizer.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np

from converters.agents.action_rules import ACTION, greedy
from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork, Parameter
from converters.agents.observations import INPUT
from converters.architecture import ActionRule, Step
from converters.checkpoint import ArrayInfo
from converters.errors import UnsupportedError
from converters.readers.files.natural_order import natural_key
from converters.readers.pickles.holding import array_info
from converters.registry import Plain

LIBRARY = "tf-agents"
ROOT = "agent/"
Q_NETWORKS = {"_q_network": "", "_target_q_network": "target_"}
ACTORS = {"_actor_net": "", "_actor_network": "", "_target_actor_network": "target_"}
CRITICS = {
    f"_{target}critic_network{suffix}": f"{target}q{suffix.lstrip('_') or '1'}"
    for target in ("", "target_") for suffix in ("", "_1", "_2")
}  # fmt: skip
"""Attribute to the name of what it computes."""
VALUES = ("_value_net", "_value_network")
NORMALIZER = f"{ROOT}_observation_normalizer/"
TANH = ("_actor_net", "_value_net")
"""Attributes of PPO's agent, whose examples and paper have tanh; the default of all networks is relu."""
NORMALIZER_CLIP, NORMALIZER_EPSILON = 5.0, 1e-3
LOG_STD_RANGE = (-20.0, 2.0)
"""Of `std_clip_transform`, SAC's own."""
ATOMS = 51
"""Of C51, unless the number of outputs says otherwise."""
GIVEN = ("activation", "action_low", "action_high")
"""What --set may state."""
_HINT = "convert the folder that PolicySaver wrote: its graph says what it computes"
_NUMBERED = re.compile(r"\d+")
_AVERAGE = re.compile(rf"{NORMALIZER}_(avg|mean_moving_avg)/0$")
_FIRST_LAYER = re.compile(
    r"/_(encoder/_postprocessing_layers|mlp_layers|sequential_layers|observation_layers)/[01]/kernel$"
)


def recognizes(names: Collection[str]) -> bool:
    """Tell whether variables are reached through the attributes of an agent."""
    known = (*Q_NETWORKS, *ACTORS, *CRITICS)
    return any(name.startswith(ROOT) and name.split("/")[1] in known for name in names)


def plan(
    arrays: Mapping[str, ArrayInfo], facts: AgentFacts
) -> tuple[AgentNetwork, ActionRule | None, str]:
    """Return the networks of an agent, how it acts, and its class name.

    Raises:
        UnsupportedError: Layers that are not dense, or a setting that is not known.
    """
    unknown = sorted(set(facts.given) - set(GIVEN))
    if unknown:
        msg = f"--set {unknown[0]} says nothing of an agent of TF-Agents"
        raise UnsupportedError(msg, hint=f"known: {', '.join(GIVEN)}")
    agent = _Agent(AgentNetwork(arrays), facts)
    rule = agent.add()
    agent.check_all_used()
    return agent.network, rule, "TFAgent"


class _Agent:
    """One agent while its networks are added."""

    def __init__(self, network: AgentNetwork, facts: AgentFacts) -> None:
        self.network = network
        stated = facts.given.get("activation")
        self.stated = stated if isinstance(stated, str) else None
        self.attributes = dict.fromkeys(
            name.split("/")[1] for name in network.arrays if name.startswith(ROOT)
        )
        self.bounds = _bounds(facts)

    def add(self) -> ActionRule | None:
        """Add everything there is; return how the agent acts, None if the file does not say."""
        network = self.network
        raw = network.input(INPUT, (self._features(),), "float32")
        x = self._normalized(raw)
        rule: ActionRule | None = None
        for name, prefix in Q_NETWORKS.items():
            if name in self.attributes:
                rule = self._q_network(name, x, prefix) or rule
        for name, prefix in ACTORS.items():
            if name in self.attributes:
                rule = self._actor(name, x, prefix) or rule
        for name in VALUES:
            if name in self.attributes:
                self._value(name, x)
        for name, output in CRITICS.items():
            if name in self.attributes:
                self._critic(name, raw, output)
        if f"{ROOT}log_alpha" in network.arrays:
            parameter = Parameter(f"{ROOT}log_alpha", "value", "->")
            network.outputs["log_alpha"] = network.layer(
                "agent.Variable", "log_alpha", (), (parameter,), kwargs={"shape": ()}
            )
        return rule

    def check_all_used(self) -> None:
        """Raise UnsupportedError if a network has parts that none of the known ones took."""
        network = self.network
        networks = (*Q_NETWORKS, *ACTORS, *CRITICS, *VALUES)
        left = [
            name
            for name in network.arrays
            if name not in network.moved
            and name.startswith(ROOT)
            and name.split("/")[1] in networks
        ]
        if left:
            msg = f"'{left[0]:.200}' belongs to no dense layer whose place is known"
            raise UnsupportedError(msg, hint=_HINT)

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
        return (normalized or firsts or joint or [1])[0]

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
            raise UnsupportedError(msg, hint=_HINT)
        mean, variance = kept.get("_avg/0"), _variance(kept)
        mean = mean if mean is not None else kept.get("_mean_moving_avg/0")
        if mean is None or variance is None:
            msg = (
                f"the normalizer of observations has {', '.join(kept)}; needed _avg, _m2 and _count"
            )
            raise UnsupportedError(msg, hint=_HINT)
        network.arrays = {**network.arrays, "normalizer/mean": mean, "normalizer/var": variance}
        for name in kept:
            network.ignore(f"{NORMALIZER}{name}", "in the normalizer's mean and variance")
        parameters = [
            Parameter(f"normalizer/{name}", name, "out -> out") for name in ("mean", "var")
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
            heads = [f"{scope}/_q_value_layer"]
            values = self._chain(name, x, [*self._encoder(scope), *heads], name=f"{prefix}q_values")
            if categorical:
                shape = _actions_and_atoms(network.width(values))
                if shape:
                    values = network.call("torch.reshape", values, shape=(-1, *shape))
                    self._assume(f"{name.lstrip('_')} gives {shape[0]} actions of {shape[1]} atoms")
                network.outputs[f"{prefix}logits"] = values
                return None
        network.outputs[f"{prefix}q"] = network.outputs[f"{prefix}q_values"] = values
        if prefix:
            return None
        network.outputs["deterministic_action"] = network.call(
            "torch.argmax", values, dim=-1, name="deterministic_action"
        )
        return greedy("q_values")

    def _value(self, name: str, x: str) -> None:
        network, scope = self.network, f"{ROOT}{name}"
        with network.block(name.lstrip("_")):
            value = self._chain(name, x, [*self._encoder(scope), f"{scope}/_postprocessing_layers"])
            network.outputs["value"] = network.call("torch.squeeze", value, dim=-1, name="value")

    def _critic(self, name: str, x: str, output: str) -> None:
        network, scope = self.network, f"{ROOT}{name}"
        joint = self._numbered(f"{scope}/_joint_layers")
        before = self._numbered(f"{scope}/_observation_layers")
        actions = self._numbered(f"{scope}/_action_layers")
        if not joint:
            return
        width = network.array(f"{joint[0]}/kernel").shape[0]
        seen = network.last_size(f"{before[-1]}/kernel") if before else self._features()
        size = network.array(f"{actions[0]}/kernel").shape[0] if actions else width - seen
        if not any(value.name == "action" for value in network.inputs):
            network.input("action", (size,), "float32", default="absent")
        with network.block(name.lstrip("_")):
            one = self._chain(name, x, before, last=self._hidden(name)) if before else x
            other = (
                self._chain(name, "action", actions, last=self._hidden(name))
                if actions
                else "action"
            )
            joined = network.call("torch.cat", one, other, dim=-1)
            value = self._chain(name, joined, joint)
            value = network.call("torch.squeeze", value, dim=-1, name=output)
        network.outputs[output] = value
        if not name.endswith(("_1", "_2")):
            network.outputs[output.removesuffix("1")] = value

    def _actor(self, name: str, x: str, prefix: str) -> ActionRule | None:
        """Add a policy: the kind of its last layer says which distribution it has."""
        network, scope = self.network, f"{ROOT}{name}"
        heads = f"{scope}/_projection_networks"
        with network.block(name.lstrip("_")):
            if f"{heads}/_means_projection_layer/kernel" in network.arrays:
                latent = self._chain(name, x, self._encoder(scope), last=self._hidden(name))
                return self._normal(name, latent, heads)
            if f"{heads}/_projection_layer/kernel" in network.arrays:
                latent = self._chain(name, x, self._encoder(scope), last=self._hidden(name))
                scores = self._chain(name, latent, [f"{heads}/_projection_layer"], name="scores")
                return self._tanh_normal(scores) if self._has_critics else self._categorical(scores)
            layers = [*self._numbered(f"{scope}/_mlp_layers"), *self._sequential(scope)]
            deviation = next(
                (
                    key
                    for key in network.arrays
                    if key.startswith(f"{scope}/")
                    and key.endswith("/scale/_sequential_layers/0/bias")
                ),
                None,
            )
            if not layers:
                return None
            raw = self._chain(name, x, layers, name="raw")
            if deviation is not None:
                return self._gaussian(raw, self._bias(deviation, raw))
            if not self._has_critics:
                return self._categorical(raw)
            return self._deterministic(raw, prefix)

    def _normal(self, name: str, latent: str, heads: str) -> ActionRule:
        """Add means and deviations of `NormalProjectionNetwork`."""
        mean = self._chain(name, latent, [f"{heads}/_means_projection_layer"], name="raw_mean")
        if f"{heads}/_stddev_projection_layer/kernel" not in self.network.arrays:
            return self._gaussian(mean, self._bias(f"{heads}/_bias/bias", mean))
        raw = self._chain(name, latent, [f"{heads}/_stddev_projection_layer"], name="raw_std")
        if not self._has_critics:
            return self._gaussian(mean, raw)
        low, high = LOG_STD_RANGE
        self._assume(
            f"the deviation is exp of what is clipped to {low:g} ... {high:g}, as SAC's agent has it"
        )
        clipped = self.network.call("torch.clamp", raw, min=low, max=high, name="log_std")
        return self._squashed_normal(mean, clipped)

    def _tanh_normal(self, scores: str) -> ActionRule:
        """Add means and deviations of `TanhNormalProjectionNetwork`, halves of one layer."""
        network = self.network
        size = network.width(scores) // 2
        mean, log_std = (
            network.call(
                "operator.getitem",
                scores,
                name=name,
                index=(("slice", None, None, None), ("slice", *half, None)),
            )
            for name, half in (("mean", (None, size)), ("log_std", (size, 2 * size)))
        )
        return self._squashed_normal(mean, log_std)

    def _squashed_normal(self, mean: str, log_std: str) -> ActionRule:
        network = self.network
        network.outputs |= {"mean": mean, "std": network.call("torch.exp", log_std, name="std")}
        return self._bounded(network.call("torch.tanh", mean, name="squashed_action"), noise=True)

    def _gaussian(self, mean: str, raw: str) -> ActionRule:
        """Add a normal distribution whose mean tanh brings to the bounds of actions."""
        network = self.network
        self._assume(
            "the deviation is softplus of its bias, and tanh brings the mean to the bounds of actions"
        )
        inside = network.call("torch.tanh", mean, name="squashed_mean")
        network.outputs["squashed_mean"] = inside
        network.outputs["std"] = network.call("F.softplus", raw, name="std")
        if self.bounds is None:
            self._without_bounds("squashed_mean")
            return ActionRule(
                (_step("torch.detach", "squashed_mean"),), (_draw("squashed_mean", ACTION),)
            )
        low, high = self.bounds
        scaled = network.call("agent.scale_action", inside, low=low, high=high, name="mean")
        network.outputs |= {"mean": scaled, "deterministic_action": scaled}
        clip = _step("agent.clip_action", "drawn", low=low, high=high)
        return ActionRule((_step("torch.detach", "mean"),), (_draw("mean", "drawn"), clip))

    def _deterministic(self, raw: str, prefix: str) -> ActionRule | None:
        inside = self.network.call("torch.tanh", raw, name=f"{prefix}squashed_action")
        if prefix:
            self.network.outputs[f"{prefix}squashed_action"] = inside
            return None
        return self._bounded(inside, noise=False)

    def _bounded(self, inside: str, *, noise: bool) -> ActionRule:
        """Add an action of -1 to 1, and where its bounds were stated that of the environment.

        Args:
            inside: the action.
            noise: whether random actions are drawn before tanh; otherwise training adds noise of its own.
        """
        network = self.network
        network.outputs["squashed_action"] = inside
        scale: tuple[Step, ...] = (_step("torch.detach", "squashed"),)
        best = "squashed_action"
        if self.bounds is None:
            self._without_bounds(best)
        else:
            low, high = self.bounds
            best = "deterministic_action"
            network.outputs[best] = network.call(
                "agent.scale_action", inside, low=low, high=high, name=best
            )
            scale = (_step("agent.scale_action", "squashed", low=low, high=high),)
        still = (_step("torch.detach", best),)
        squash = _step("torch.tanh", "drawn", output="squashed")
        return ActionRule(still, (_draw("mean", "drawn"), squash, *scale) if noise else still)

    def _categorical(self, scores: str) -> ActionRule:
        network = self.network
        network.outputs["logits"] = scores
        network.outputs["deterministic_action"] = network.call(
            "torch.argmax", scores, dim=-1, name="deterministic_action"
        )
        return greedy("logits")

    def _bias(self, key: str, like: str) -> str:
        """Return a bias of the deviation, the same for every observation."""
        size = self.network.array(key).shape[-1]
        parameter = Parameter(key, "bias", "out -> out")
        return self.network.layer(
            "agent.StateIndependentBias",
            "std_bias",
            (like,),
            (parameter,),
            kwargs={"actions": size},
        )

    def _chain(
        self, attribute: str, x: str, layers: list[str], *, last: str = "linear", name: str = "x"
    ) -> str:
        """Return dense layers of x; `last` is the activation after the last one."""
        network = self.network
        hidden = self._hidden(attribute)
        for place, layer in enumerate(layers):
            kernel, bias = f"{layer}/kernel", f"{layer}/bias"
            if len(network.array(kernel).shape) != 2:
                msg = f"'{layer:.200}' is no dense layer; its strides are not in the file"
                raise UnsupportedError(msg, hint=_HINT)
            ends = place == len(layers) - 1
            own = "_".join(part.lstrip("_") for part in layer.split("/")[2:])
            x = network.linear(
                x,
                _short(own),
                kernel,
                bias if bias in network.arrays else None,
                name=name if ends else "x",
            )
            x = network.activation(last if ends else hidden, x)
        if layers:
            self._assume(f"{attribute.lstrip('_')} has {hidden} after its hidden layers")
        return x

    def _encoder(self, scope: str) -> list[str]:
        return [
            *self._numbered(f"{scope}/_encoder/_postprocessing_layers"),
            *self._sequential(scope),
        ]

    def _sequential(self, scope: str) -> list[str]:
        return self._numbered(f"{scope}/_sequential_layers")

    def _numbered(self, scope: str) -> list[str]:
        """Return the layers of a list, in order."""
        found = {
            name.removesuffix("/kernel")
            for name in self.network.arrays
            if name.startswith(f"{scope}/")
            and _NUMBERED.fullmatch(name[len(scope) + 1 :].removesuffix("/kernel"))
        }
        return sorted(found, key=natural_key)

    def _hidden(self, attribute: str) -> str:
        return self.stated or ("tanh" if attribute in TANH else "relu")

    @property
    def _has_critics(self) -> bool:
        return any(name in CRITICS for name in self.attributes)

    def _without_bounds(self, output: str) -> None:
        self._assume(
            f"actions lie between -1 and 1, as '{output}' does (--set action_low=[-2.0] --set action_high=[2.0])"
        )

    def _assume(self, what: str) -> None:
        text = f"assumed, because the file has weights only: {what}; {_HINT}"
        if text not in self.network.assumed:
            self.network.assumed.append(text)


def _step(op: str, *inputs: str, output: str = ACTION, **kwargs: Plain) -> Step:
    return Step(op, inputs, output, None, kwargs)


def _draw(mean: str, output: str) -> Step:
    return _step("agent.sample_normal", mean, "std", output=output)


def _short(path: str) -> str:
    """Return the name of a layer without what every path has."""
    for part in ("q_network_", "postprocessing_layers_", "projection_networks_"):
        path = path.removeprefix(part) if path != part.rstrip("_") else path
    return path.replace("encoder_postprocessing_layers_", "encoder_")


def _variance(kept: Mapping[str, ArrayInfo]) -> ArrayInfo | None:
    """Return the variance that a normalizer divides by: of a moving average, or squares by their count."""
    if "_var_moving_avg/0" in kept:
        return kept["_var_moving_avg/0"]
    squares, count = kept.get("_m2/0"), kept.get("_count/0")
    if squares is None or count is None or squares.shape != count.shape:
        return None
    values = np.asarray(squares.read()) / np.asarray(count.read())
    return array_info("normalizer/var", values)


def _bounds(facts: AgentFacts) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return the bounds of actions that the user stated; None: there are none.

    Raises:
        UnsupportedError: They are no lists of as many numbers.
    """
    stated = [facts.given.get(name) for name in ("action_low", "action_high")]
    if stated == [None, None]:
        return None
    low, high = (
        tuple(float(x) for x in each if isinstance(x, (int, float)))
        if isinstance(each, list)
        else ()
        for each in stated
    )
    if not low or len(low) != len(high):
        msg = f"action_low {stated[0]!r:.60} and action_high {stated[1]!r:.60} are not two lists of as many numbers"
        raise UnsupportedError(msg, hint="--set action_low=[-2.0] --set action_high=[2.0]")
    return low, high


def _actions_and_atoms(outputs: int) -> tuple[int, ...]:
    """Return how the outputs of C51 are arranged; as they are, if that is not certain."""
    if outputs % ATOMS == 0:
        return (outputs // ATOMS, ATOMS)
    splits = [
        (n, outputs // n) for n in range(2, outputs) if outputs % n == 0 and n <= outputs // n
    ]
    return splits[0] if len(splits) == 1 else ()
