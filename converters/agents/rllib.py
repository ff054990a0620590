"""Agents of RLlib with TensorFlow's fully connected network: PPO, A2C, IMPALA, APPO, policy gradients.

    fc_1/kernel, ..., fc_out/kernel                  from observation to the inputs of the action distribution
    fc_value_1/kernel, ..., value_out/kernel         the value, by its own layers or on the policy's last one
    log_std                                          with `free_log_std`

Source: ray 1.13, rllib/models/tf/{fcnet,tf_action_dist}.py, rllib/utils/spaces/space_utils.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from converters.agents.action_rules import ACTION, greedy, several_categories
from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork, Parameter
from converters.agents.observations import INPUT
from converters.agents.rllib_complex import add_complex, before_preprocessing, is_complex
from converters.agents.rllib_models import STATES, add_scores_and_value, has_images, is_recurrent
from converters.agents.rllib_settings import EXPORT_HINT, read_settings
from converters.agents.rllib_values import DDPG, DQN, SAC, add_ddpg, add_dqn, add_sac, kind_of
from converters.agents.spaces import (
    BOX,
    DISCRETE,
    MULTI_DISCRETE,
    Space,
    read_parts,
    read_space,
)
from converters.architecture import ActionRule, Step
from converters.checkpoint import ArrayInfo
from converters.errors import MismatchError, UnsupportedError
from converters.registry import Plain

FILTER_CLIP = 10.0
_HIDDEN = re.compile(r"fc_(\d{1,9})/kernel")
_KNOWN = re.compile(
    r"(default_policy/)?((fc|conv|post_fcnet)(_value)?(_out)?_?\d*|value_out|log_std|lstm|logits|values|filter)[_/\d]*(/|$)"
)
"""Layers of policies, also those of a target that acting does not need, and of a network inside an LSTM."""
_SLOT = re.compile(r"/(?:Adam|RMSProp|Momentum)(?:_\d+)?$|(?:^|/)beta[12]_power(?:_\d+)?$")


def recognizes(names: Collection[str]) -> bool:
    """Tell whether variables are those of a network with a value, or of an LSTM around one."""
    plain = {"fc_out/kernel", "value_out/kernel"} <= set(names)
    if plain or is_recurrent(names) or is_complex(names):
        return True
    heads = {"value_out/kernel", "conv_value_out/kernel"} & set(names)
    return has_images(names) and "conv_out/kernel" in names and bool(heads)


def plan(
    arrays: Mapping[str, ArrayInfo], facts: AgentFacts
) -> tuple[AgentNetwork, ActionRule | None, str]:
    """Return the networks of an agent, how it acts (None: its actions have parts of several kinds), and its class name.

    Raises:
        UnsupportedError: Another network than the fully connected one.
        MismatchError: Variables are missing, or the filter of observations is not in the file.
    """
    network = AgentNetwork({name: a for name, a in arrays.items() if not _SLOT.search(name)})
    for name in arrays:
        if _SLOT.search(name):
            network.ignore(name, "state of an optimizer")
    kind = kind_of(network.arrays, facts)
    if kind is None and not recognizes(arrays):
        shown = ", ".join(list(arrays)[:4])
        msg = (
            f"its variables ({shown}, ...) are not those of RLlib's networks for vectors and images"
        )
        raise UnsupportedError(msg, hint=EXPORT_HINT)
    network.training = optimizer_settings(facts)
    if kind in (DDPG, SAC):  # their networks have rates of their own
        network.training.pop("learning_rate", None)
    x = _observation(network, facts)
    actions = read_space(facts.settings.get("action_space"))
    if actions is not None and actions.is_bounded and "normalize_actions" not in facts.settings:
        network.notes.append(
            "the file does not say whether actions are normalized; taken for RLlib's default: they are, from -1 to 1"
        )
    if kind == DDPG:
        return network, add_ddpg(network, facts, x), "RLlibAgent"
    if kind == SAC:
        return network, add_sac(network, facts, x), "RLlibAgent"
    settings = read_settings(network, facts)
    if kind == DQN:
        return network, add_dqn(network, facts, settings, x), "RLlibAgent"
    add = add_complex if is_complex(network.arrays) else add_scores_and_value
    scores, value = add(network, facts, settings, x)
    _check_all_known(network)
    network.outputs |= {"action_dist_inputs": scores, "value": value, "vf_preds": value}
    rule = _acting(network, facts, scores)
    if is_recurrent(arrays) and rule is not None:
        rule = replace(rule, state=" ".join(STATES))
    return network, rule, "RLlibAgent"


def _check_all_known(network: AgentNetwork) -> None:
    """Raise UnsupportedError if there are layers of another kind than the policy's: it is none of the known networks."""
    names = (name for name in network.arrays if name not in network.moved)
    left = [name for name in names if not _KNOWN.match(name)]
    if left:
        msg = f"its variable '{left[0]:.200}' has no place in RLlib's networks of policies"
        raise UnsupportedError(msg, hint=EXPORT_HINT)


def optimizer_settings(facts: AgentFacts) -> dict[str, object]:
    """Return what the settings say of Adam, whose epsilon is TensorFlow 1's where they do not."""
    rate, epsilon = facts.settings.get("lr"), facts.settings.get("adam_epsilon")
    stated = {"epsilon": epsilon if isinstance(epsilon, float) else 1e-8}
    if not isinstance(rate, (int, float)) or facts.settings.get("lr_schedule"):
        return {**stated}
    return {**stated, "learning_rate": rate}


def _observation(network: AgentNetwork, facts: AgentFacts) -> str:
    """Return the observation as the network takes it: one-hot, flat, filtered."""
    firsts = (
        "fc_1/kernel",
        "lstm/lstm_cell/kernel",
        "fc_out/kernel",
        "actor_hidden_0/kernel",
        "actor_out/kernel",
    )
    first = next((name for name in firsts if name in network.arrays), None)
    features = None if first is None else network.array(first).shape[0]
    space = read_space(facts.settings.get("observation_space"))
    original = before_preprocessing(facts)
    raw = space if space is not None and space.sizes else read_space(original)
    if raw is not None and raw.sizes:
        space = raw
    parts = [part.describe() for part in read_parts(original) or ()]
    if parts:
        network.notes.append(
            f"an observation is {len(parts)} parts in one row, as RLlib's preprocessor makes it: {', '.join(parts)}"
        )
    shape = space.shape if space is not None and space.kind == BOX else (features or 1,)
    is_image = has_images(network.arrays) and not is_complex(network.arrays)
    # Without the space, nothing says how large images are.
    if space is not None and space.sizes:
        # What RLlib's preprocessor does with numbers; what it made of them is taken, too.
        shape = (space.features,)
        x = network.input(INPUT, space.shape, "int64")
        x = network.call("agent.one_hot_numbers", x, sizes=space.sizes)
    else:
        x = network.input(INPUT, None if is_image and space is None else shape, "float32")
    if "filter/mean" in network.arrays:
        axes = " ".join(f"a{number}" for number in range(len(shape)))
        parameters = [
            Parameter(f"filter/{name}", name, f"{axes} -> {axes}") for name in ("mean", "deviation")
        ]
        kwargs: dict[str, Plain] = {"shape": shape, "clip": FILTER_CLIP}
        x = network.layer("agent.MeanStdFilter", "filter", (x,), parameters, kwargs=kwargs)
    elif facts.settings.get("observation_filter") not in (None, "NoFilter"):
        msg = f"the statistics of the filter {facts.settings['observation_filter']!r:.40} are not in the file"
        raise MismatchError(msg)
    if len(shape) == 1 or is_image:
        return x
    return network.call("torch.flatten", x, start_dim=1)


def _acting(network: AgentNetwork, facts: AgentFacts, scores: str) -> ActionRule | None:
    """Add what the distribution of actions gives, and return how the policy acts; None for parts of several kinds.

    Raises:
        UnsupportedError: A space of actions that is not known.
    """
    stated = facts.settings.get("action_space")
    space = read_space(stated)
    if space is None and stated is not None:
        return _parts(network, read_parts(stated), scores)
    if space is None:
        space = Space(DISCRETE, (), (network.width(scores),), dtype="int64")
        network.notes.append("the file does not say what the actions are; taken for discrete ones")
    if space.kind == DISCRETE:
        network.outputs["logits"] = scores
        best = network.call("torch.argmax", scores, dim=-1, name="deterministic_action")
        network.outputs["deterministic_action"] = best
        return greedy("logits")
    if space.kind == MULTI_DISCRETE:
        return _several(network, space, scores)
    if space.kind != BOX:
        msg = f"actions in a space of the kind {space.kind}"
        raise UnsupportedError(msg, hint="Box, Discrete and MultiDiscrete are known")
    return _gaussian(
        network, space, scores, scaled=facts.settings.get("normalize_actions") is not False
    )


def _parts(network: AgentNetwork, spaces: list[Space] | None, scores: str) -> ActionRule | None:
    """Add what the parts of a Tuple or a Dict of actions are drawn from; where all are numbers, an action is a row of them.

    Raises:
        UnsupportedError: A part, or the whole, is of a kind that is not known.
    """
    if not spaces or any(space.kind not in (BOX, DISCRETE, MULTI_DISCRETE) for space in spaces):
        msg = "actions in a space that is not known"
        raise UnsupportedError(
            msg, hint="Box, Discrete and MultiDiscrete are, and Tuple and Dict of them"
        )
    sizes = [size for space in spaces for size in space.sizes]
    if all(space.sizes for space in spaces):
        return _several(network, Space(MULTI_DISCRETE, (len(sizes),), tuple(sizes)), scores)
    first = 0
    for number, space in enumerate(spaces):
        for part, size in enumerate(space.sizes):
            name = f"logits{number}" if space.kind == DISCRETE else f"logits{number}_{part}"
            network.outputs[name] = _columns(network, scores, first, size, name)
            first += size
        if not space.sizes:
            size = space.features
            mean = _columns(network, scores, first, size, f"mean{number}")
            log_std = _columns(network, scores, first + size, size, "log_std")
            network.outputs[f"mean{number}"] = mean
            network.outputs[f"std{number}"] = network.call("torch.exp", log_std, name="std")
            first += 2 * size
    network.notes.append(
        "actions have parts of several kinds: the distribution of each part is an output, and there is no act()"
    )
    return None


def _several(network: AgentNetwork, space: Space, scores: str) -> ActionRule:
    parts, best, first = [], [], 0
    for number, size in enumerate(space.sizes):
        name = f"logits{number}"
        network.outputs[name] = _columns(network, scores, first, size, name)
        best.append(network.call("torch.argmax", network.outputs[name], dim=-1, name="best"))
        parts.append(name)
        first += size
    action = network.call("torch.stack", *best, dim=-1, name="deterministic_action")
    network.outputs["deterministic_action"] = action
    return several_categories(tuple(parts))


def _columns(network: AgentNetwork, scores: str, first: int, size: int, name: str) -> str:
    """Return some columns of the scores."""
    index = (("slice", None, None, None), ("slice", first or None, first + size, None))
    return network.call("operator.getitem", scores, name=name, index=index)


def _gaussian(network: AgentNetwork, space: Space, scores: str, *, scaled: bool) -> ActionRule:
    """Add mean and deviation, halves of the scores; actions of -1 to 1 are brought to the environment's range."""
    size = network.width(scores) // 2
    mean = _columns(network, scores, 0, size, "mean")
    log_std = _columns(network, scores, size, size, "log_std")
    std = network.call("torch.exp", log_std, name="std")
    network.outputs |= {"mean": mean, "std": std, "deterministic_action": mean}
    drawn = Step("agent.sample_normal", ("mean", "std"), "drawn", None, {})
    bounds = space.bounds if space.is_bounded else None
    if bounds is None:
        still = Step("torch.detach", ("mean",), ACTION, None, {})
        return ActionRule((still,), (drawn, Step("torch.detach", ("drawn",), ACTION, None, {})))
    low, high = bounds
    limits = {"low": low, "high": high}

    def bounded(value: str) -> tuple[Step, ...]:
        flat = ACTION if len(space.shape) == 1 else "flat_action"
        clip = Step("agent.clip_action", ("scaled" if scaled else value,), flat, None, limits)
        scale = Step("agent.scale_action", (value,), "scaled", None, limits)
        shape = {"shape": (-1, *space.shape)}
        shaped = () if flat == ACTION else (Step("torch.reshape", (flat,), ACTION, None, shape),)
        return (scale, clip, *shaped) if scaled else (clip, *shaped)

    return ActionRule(bounded("mean"), (drawn, *bounded("drawn")))
