"""Agents of RLlib that learn action values with TensorFlow: DQN (dueling, distributional), DDPG, TD3 and SAC.

    fc_1, ..., fc_out            DQN: features, the last layer has the activation too; SAC: policy, then q, twin q, and targets
    hidden_0, dense              DQN: advantages, or values
    dense_1, ..., dense_2        DQN: the state's value, by layers without names of their own
    actor_hidden_0, actor_out    DDPG; sequential/q_hidden_0, q_out; sequential_1/twin_q_..., then the targets

Keras numbers names that come again: `fc_out_1` is of the next network that has a layer of this name.
Source: ray 1.13, rllib/agents/{dqn/distributional_q_tf_model,dqn/dqn_tf_policy,ddpg/ddpg_tf_model,sac/sac_tf_model}.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from converters.agents.action_rules import ACTION, greedy
from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork
from converters.agents.rllib_heads import NOISY, Heads
from converters.agents.rllib_models import has_images, image_features, image_scores
from converters.agents.rllib_settings import EXPORT_HINT, Settings, read_settings
from converters.agents.spaces import BOX, DISCRETE, Space, read_space
from converters.architecture import ActionRule, Step
from converters.errors import MismatchError, UnsupportedError
from converters.readers.pickles.rllib import EPSILON

DQN, DDPG, SAC = "DQN", "DDPG", "SAC"
LOG_STD_RANGE = (-5.0, 2.0)
"""MIN_LOG_NN_OUTPUT and MAX_LOG_NN_OUTPUT of rllib/utils/numpy.py."""
_ALL = ("slice", None, None, None)
_CRITIC = re.compile(r"(?P<scope>sequential(?:_\d+)?)/(?P<twin>twin_)?q_out/kernel")


def kind_of(names: Collection[str], facts: AgentFacts) -> str | None:
    """Return the kind of agent that variables are of; None: it has no action values."""
    if "actor_out/kernel" in names:
        return DDPG
    if "log_alpha" in names and {"fc_out_1/kernel", "conv_out_1/kernel"} & set(names):
        return SAC
    heads = (
        *("hidden_0/kernel", "layer_normalization/gamma"),
        f"{NOISY}action_value/output_fc_w",
    )
    stated = (
        "hiddens",
        "target_network_update_freq",
        EPSILON,
    )  # SimpleQ's say the latter ones only
    is_dqn = any(name in names for name in heads) or any(each in facts.settings for each in stated)
    return DQN if is_dqn and {"fc_out/kernel", "conv_out/kernel"} & set(names) else None


def add_dqn(network: AgentNetwork, facts: AgentFacts, settings: Settings, x: str) -> ActionRule:
    """Add the network and its target; the agent acts on the largest value.

    Raises:
        UnsupportedError: A support that is not stated.
    """
    heads = Heads(network, facts)
    last = "conv_out" if has_images(network.arrays) else "fc_out"
    for suffix, block, output in (
        ("", "q_network", "q_values"),
        ("_1", "target_q_network", "target_q_values"),
    ):
        if f"{last}{suffix}/kernel" not in network.arrays:
            continue
        with network.block(block):
            network.outputs[output] = _dqn_values(heads, settings, x, suffix)
    network.outputs["action_dist_inputs"] = network.outputs["q_values"]
    for name in network.arrays:
        if name.startswith("value_out"):
            network.ignore(name, "the model's own value, which DQN does not use")
    best = network.call(
        "torch.argmax", network.outputs["q_values"], dim=-1, name="deterministic_action"
    )
    network.outputs["deterministic_action"] = best
    still = (Step("torch.argmax", ("q_values",), ACTION, None, {"dim": -1}),)
    return ActionRule(still, still)


def _dqn_values(heads: Heads, settings: Settings, x: str, suffix: str) -> str:
    """Return the values of one network."""
    network, facts = heads.network, heads.facts
    scorers = heads.action_value(suffix)
    if has_images(network.arrays):
        features = image_features(network, facts, settings, x, suffix)
    else:
        last = settings.activation if scorers else "linear"
        features = _features(network, x, suffix, settings.activation, last=last)
    if not scorers:
        return features
    with network.block("action_value"):
        scores = heads.apply(features, scorers)
    state = None
    tellers = heads.state_value(suffix, scores)
    if tellers:
        with network.block("state_value"):
            state = heads.apply(features, tellers)
    return heads.expected(scores, state)


def add_ddpg(network: AgentNetwork, facts: AgentFacts, x: str) -> ActionRule:
    """Add policy, one or two critics, and their targets; a sigmoid brings actions to their bounds.

    Raises:
        UnsupportedError: Normalized layers, or a network of images in front.
        MismatchError: The bounds of actions are not in the file.
    """
    if has_images(network.arrays) or any("LayerNorm" in name for name in network.arrays):
        what = "on images" if has_images(network.arrays) else "with add_layer_norm"
        msg = f"a DDPG or TD3 of RLlib {what}"
        raise UnsupportedError(msg, hint=EXPORT_HINT)
    space = read_space(facts.settings.get("action_space"))
    if space is None or space.kind != BOX or space.bounds is None or not space.is_bounded:
        msg = "the bounds of its actions are not in the file"
        raise MismatchError(msg, hint=EXPORT_HINT)
    low, high = space.bounds
    seen_by = _state_features(network, facts, x)
    for suffix, prefix in (("", ""), ("_1", "target_")):
        if f"actor_out{suffix}/kernel" not in network.arrays:
            continue
        with network.block(f"{prefix}policy"):
            latent = seen_by[prefix]
            for name in _numbered(network, "actor_hidden", suffix, first=0):
                latent = network.activation(_stated(facts, "actor"), _linear(network, latent, name))
            raw = _linear(network, latent, f"actor_out{suffix}")
            # 2 * sigmoid(2 x) - 1 is tanh(x).
            inside = network.call("torch.tanh", raw)
            action = network.call(
                "agent.scale_action",
                inside,
                low=low,
                high=high,
                name=f"{prefix}deterministic_action",
            )
        network.outputs[f"{prefix}deterministic_action"] = action
    network.outputs["action_dist_inputs"] = network.outputs["deterministic_action"]
    network.input("action", (len(low),), "float32", default="absent")
    joined = {
        prefix: network.call("torch.cat", features, "action", dim=-1)
        for prefix, features in seen_by.items()
    }
    seen: dict[str, int] = {}
    for name in network.arrays:
        match = _CRITIC.fullmatch(name)
        if match is not None:
            number = "2" if match["twin"] else "1"
            prefix = "target_" if seen.setdefault(number, 0) else ""
            seen[number] += 1
            layers = _numbered(
                network, f"{match['scope']}/{match['twin'] or ''}q_hidden", "", first=0
            )
            _add_critic(
                network,
                f"{prefix}q{number}",
                joined[prefix],
                [*layers, name.removesuffix("/kernel")],
                _stated(facts, "critic"),
            )
    network.outputs["q"] = network.outputs["q1"]
    return _to_environment(facts, space, noise=False)


def _state_features(network: AgentNetwork, facts: AgentFacts, x: str) -> dict[str, str]:
    """Return what policy and critics take, and their targets: observations, or `use_state_preprocessor`'s features of them."""
    if "fc_out/kernel" not in network.arrays:
        return {"": x, "target_": x}
    activation = read_settings(network, facts).activation
    for name in network.arrays:
        if name.startswith("value_out"):
            network.ignore(name, "the model's own value, which DDPG does not use")
    found = {"": x, "target_": x}
    for suffix, prefix in (("", ""), ("_1", "target_")):
        if f"fc_out{suffix}/kernel" in network.arrays:
            with network.block(f"{prefix}features"):
                found[prefix] = _features(network, x, suffix, activation, last=activation)
    return found


def add_sac(network: AgentNetwork, facts: AgentFacts, x: str) -> ActionRule:
    """Add policy, critics, temperature and targets.

    Raises:
        UnsupportedError: Actions of another kind than a box and numbers.
    """
    space = read_space(facts.settings.get("action_space"))
    if space is not None and space.kind == DISCRETE:
        return _add_discrete_sac(network, facts, x)
    if space is None or space.kind != BOX:
        msg = "a SAC of RLlib whose actions are neither a box nor numbers"
        raise UnsupportedError(msg, hint=EXPORT_HINT)
    size = space.features
    networks = _in_turn(network)
    policies = [
        layers for layers in networks if network.last_size(f"{layers[-1]}/kernel") == 2 * size
    ]
    critics = [layers for layers in networks if network.last_size(f"{layers[-1]}/kernel") == 1]
    if not policies or not critics or len(policies) > 2 or len(critics) not in (1, 2, 4):
        msg = f"found {len(policies)} policies and {len(critics)} critics; needed 1 or 2, and 1, 2 or 4"
        raise MismatchError(msg, hint=EXPORT_HINT)
    with network.block("policy"):
        scores = _dense_chain(network, x, policies[0], _model_activation(facts, "policy"))
    for layers in policies[1:]:
        for layer in layers:
            network.ignore(f"{layer}/kernel", "the target of the policy, which SAC does not use")
            network.ignore(f"{layer}/bias", "the target of the policy, which SAC does not use")
    network.input("action", (size,), "float32", default="absent")
    joined = network.call("torch.cat", x, "action", dim=-1)
    own = len(critics) // len(policies)
    for place, layers in enumerate(critics):
        prefix = "target_" if place >= own else ""
        _add_critic(
            network, f"{prefix}q{place % own + 1}", joined, layers, _model_activation(facts, "q")
        )
    network.outputs["q"] = network.outputs["q1"]
    _ignore_unused(network)
    mean, raw = (
        network.call("operator.getitem", scores, name=name, index=(_ALL, ("slice", *half, None)))
        for name, half in (("mean", (None, size)), ("raw_log_std", (size, 2 * size)))
    )
    low, high = LOG_STD_RANGE
    log_std = network.call("torch.clamp", raw, min=low, max=high, name="log_std")
    inside = network.call("torch.tanh", mean, name="deterministic_action")
    network.outputs |= {
        "action_dist_inputs": scores,
        "mean": mean,
        "std": network.call("torch.exp", log_std, name="std"),
        "deterministic_action": inside,
    }
    return _to_environment(facts, space, noise=True)


def _add_discrete_sac(network: AgentNetwork, facts: AgentFacts, x: str) -> ActionRule:
    """Add a policy of numbered actions, and critics that give the values of all of them.

    Raises:
        MismatchError: There are others than a policy and one or two critics, and the same for the targets.
    """
    networks = _image_networks(network) or _in_turn(network)
    if len(networks) not in (2, 3, 4, 6):
        msg = f"found {len(networks)} networks; needed a policy and one or two critics, and their targets"
        raise MismatchError(msg, hint=EXPORT_HINT)
    own = len(networks) if len(networks) < 4 else len(networks) // 2
    with network.block("policy"):
        scores = _all_scores(network, facts, x, networks[0], "policy")
    for place, layers in enumerate(networks):
        if place == own:
            for name in (f"{layer}/{role}" for layer in layers for role in ("kernel", "bias")):
                network.ignore(name, "the target of the policy, which SAC does not use")
        elif place:
            name = f"{'target_' if place > own else ''}q{place % own}"
            with network.block(name):
                network.outputs[name] = _all_scores(network, facts, x, layers, "q")
    _ignore_unused(network)
    best = network.call("torch.argmax", scores, dim=-1, name="deterministic_action")
    network.outputs |= {
        "action_dist_inputs": scores,
        "logits": scores,
        "deterministic_action": best,
    }
    return greedy("logits")


def _all_scores(
    network: AgentNetwork, facts: AgentFacts, x: str, layers: Sequence[str], model: str
) -> str:
    """Return a number for every action."""
    if not has_images(network.arrays):
        return _dense_chain(network, x, layers, _model_activation(facts, model))
    settings = Settings("relu", _model_settings(facts, model))
    return image_scores(network, facts, settings, x, layers[-1].removeprefix("conv_out"))


def _image_networks(network: AgentNetwork) -> list[list[str]]:
    """Return the layers of every network of images, in the order of the file; empty if there are others."""
    if not has_images(network.arrays):
        return []
    names = [name.removesuffix("/kernel") for name in network.arrays if name.endswith("/kernel")]
    found = [name.removeprefix("conv_out") for name in names if name.startswith("conv_out")]
    return [
        [name for name in names if re.fullmatch(rf"conv(\d+|_out){suffix}", name)]
        for suffix in found
    ]


def _ignore_unused(network: AgentNetwork) -> None:
    for name in network.arrays:
        if name.startswith("value_out"):
            network.ignore(name, "a value that SAC does not use")
        elif name.startswith("log_alpha"):
            network.ignore(name, "the temperature of training")


def _add_critic(
    network: AgentNetwork, output: str, joined: str, layers: Sequence[str], activation: str
) -> None:
    with network.block(output):
        network.outputs[output] = _dense_chain(network, joined, layers, activation, name=output)


def _to_environment(facts: AgentFacts, space: Space, *, noise: bool) -> ActionRule:
    """Return the rule of an action that RLlib brings from -1 ... 1 to the environment's bounds, as it does by default."""
    drawn = Step("agent.sample_normal", ("mean", "std"), "drawn", None, {})
    squash = Step("torch.tanh", ("drawn",), "squashed", None, {})

    def bounded(value: str) -> tuple[Step, ...]:
        if space.bounds is None or facts.settings.get("normalize_actions") is False:
            return (Step("torch.detach", (value,), ACTION, None, {}),)
        low, high = space.bounds
        limits = {"low": low, "high": high}
        scale = Step("agent.scale_action", (value,), "scaled", None, limits)
        return (scale, Step("agent.clip_action", ("scaled",), ACTION, None, limits))

    still = bounded("deterministic_action")
    return ActionRule(still, (drawn, squash, *bounded("squashed")) if noise else still)


def _features(network: AgentNetwork, x: str, suffix: str, activation: str, *, last: str) -> str:
    layers = [*_numbered(network, "fc", suffix, first=1), f"fc_out{suffix}"]
    return _dense_chain(network, x, layers, activation, last=last)


def _dense_chain(
    network: AgentNetwork,
    x: str,
    layers: Sequence[str],
    activation: str,
    *,
    last: str = "linear",
    name: str = "x",
) -> str:
    for place, layer in enumerate(layers):
        ends = place == len(layers) - 1
        x = network.activation(
            last if ends else activation, _linear(network, x, layer, name=name if ends else "x")
        )
    return x


def _in_turn(network: AgentNetwork) -> list[list[str]]:
    """Return the layers of every fully connected network, in the order of the file: each ends in its `fc_out`."""
    found: list[list[str]] = [[]]
    for name in network.arrays:
        layer = name.removesuffix("/kernel")
        if layer == name or not layer.startswith("fc_") or layer.startswith("fc_value"):
            continue
        found[-1].append(layer)
        if layer.startswith("fc_out"):
            found.append([])
    return [layers for layers in found if layers]


def _numbered(network: AgentNetwork, name: str, suffix: str, *, first: int) -> list[str]:
    """Return layers "hidden_0", "hidden_1", ... of the network whose names end in `suffix`."""
    found: list[str] = []
    while f"{name}_{first + len(found)}{suffix}/kernel" in network.arrays:
        found.append(f"{name}_{first + len(found)}{suffix}")
    return found


def _linear(network: AgentNetwork, x: str, layer: str, *, name: str = "x") -> str:
    short = layer.rpartition("/")[2]
    return network.linear(x, short, f"{layer}/kernel", f"{layer}/bias", name=name)


def _stated(facts: AgentFacts, network: str) -> str:
    """Return the activation of DDPG's hidden layers."""
    stated = facts.settings.get(f"{network}_hidden_activation")
    return stated if isinstance(stated, str) else "relu"


def _model_activation(facts: AgentFacts, network: str) -> str:
    """Return the activation of SAC's networks."""
    stated = _model_settings(facts, network).get("fcnet_activation")
    return stated if isinstance(stated, str) else "relu"


def _model_settings(facts: AgentFacts, network: str) -> Mapping[object, object]:
    """Return what the settings say of one of SAC's networks: they were renamed once."""
    old = {"policy": "policy_model", "q": "Q_model"}[network]
    for key in (f"{network}_model_config", old):
        model = facts.settings.get(key)
        if isinstance(model, Mapping):
            return model
    return {}
