"""PPO1, PPO2, A2C, ACER, ACKTR, TRPO, GAIL: one policy with a value, without or with an LSTM."""

from __future__ import annotations

import re
from dataclasses import dataclass

from converters.agents.action_rules import binary, gaussian, greedy, several_categories
from converters.agents.facts import GraphHints
from converters.agents.network import VECTOR, AgentNetwork, Parameter
from converters.agents.observations import flat
from converters.agents.spaces import BOX, DISCRETE, MULTI_BINARY, MULTI_DISCRETE, Space
from converters.agents.stable_baselines.images import add_images
from converters.agents.stable_baselines.settings import Policy
from converters.architecture import ActionRule
from converters.errors import AmbiguousTargetError, MismatchError

_HIDDEN = re.compile(r"(shared|pi|vf)_fc(\d{1,9})")
_LSTM = "lstm1"


@dataclass(frozen=True, slots=True)
class Heads:
    """Where the variables of one policy are.

    Attributes:
        scope: in front of all of them: "model".
        pi: name of the policy's head below it.
        vf: of the value's head.
        q: of the head of action values.
    """

    scope: str
    pi: str = "pi"
    vf: str = "vf"
    q: str = "q"


def add_actor_critic(
    network: AgentNetwork, policy: Policy, x: str, observation: Space, *, activation: str
) -> ActionRule:
    """Add the networks of the scope "model" and return how it acts.

    Args:
        network: gets everything.
        policy: what is known of it.
        x: the observation as float32.
        observation: its space.
        activation: of the hidden layers.

    Raises:
        AmbiguousTargetError: The kind of action is not known and follows from nothing.
        MismatchError: Variables are missing.
    """
    hidden = _hidden_layers(network)
    images = any(
        name.startswith("model/") and len(array.shape) == 4
        for name, array in network.arrays.items()
    )
    x = add_images(network, policy, "model", x) if images else flat(network, x, observation)
    state = ""
    if f"model/{_LSTM}/wx" in network.arrays:
        for name in _before_lstm(network, hidden):
            x = _dense(network, x, name, activation)
            hidden.remove(name)
        x = add_lstm(network, x, f"model/{_LSTM}")
        state = "state"
    for name in [each for each in hidden if each.startswith("shared")]:
        x = _dense(network, x, name, activation)
        hidden.remove(name)
    latents = {"pi": x, "vf": x}
    for prefix, block in (("pi", "policy"), ("vf", "value")):
        names = [name for name in hidden if name.startswith(prefix)]
        with network.block(block):
            for name in names:
                latents[prefix] = _dense(network, latents[prefix], name, activation)
            if prefix == "vf":
                value = network.linear(
                    latents["vf"], "vf", "model/vf/w", "model/vf/b", name="value"
                )
                network.outputs["value"] = network.call(
                    "torch.squeeze", value, dim=-1, name="value"
                )
            else:
                scores = network.linear(latents["pi"], "pi", "model/pi/w", "model/pi/b", name="pi")
    if "model/q/w" in network.arrays:
        with network.block("action_values"):
            values = network.linear(latents["vf"], "q", "model/q/w", "model/q/b", name="q_values")
        network.outputs["q_value"] = network.outputs["q_values"] = values
    if state:
        network.outputs["snew"] = network.outputs["state"]
    return add_distribution(network, policy, scores, state)


def _hidden_layers(network: AgentNetwork) -> list[str]:
    """Return the names of the hidden layers in order of their numbers: "shared_fc0", "pi_fc0", ..."""
    found = {
        match[0]: int(match[2])
        for name in network.arrays
        if name.startswith("model/") and (match := _HIDDEN.match(name.removeprefix("model/")))
    }
    return sorted(found, key=lambda name: (found[name], name))


def _dense(network: AgentNetwork, x: str, name: str, activation: str) -> str:
    x = network.linear(x, name, f"model/{name}/w", f"model/{name}/b")
    return network.activation(activation, x)


def _before_lstm(network: AgentNetwork, hidden: list[str]) -> list[str]:
    """Return the hidden layers whose results go into the LSTM.

    Without `net_arch`, all `pi_fc` come before it; with it, the shared layers whose numbers are below the LSTM's place in
    the list, which is the number that is missing.
    """
    shared = [name for name in hidden if name.startswith("shared")]
    features = network.arrays[f"model/{_LSTM}/wx"].shape[0]
    units = network.arrays[f"model/{_LSTM}/wh"].shape[0]
    if not shared:
        names = [name for name in hidden if name.startswith("pi")]
        head = network.array("model/pi/w").shape[0]
        goes_in = names and network.last_size(f"model/{names[-1]}/w") == features and head == units
        behind = names and network.array(f"model/{names[0]}/w").shape[0] == units
        order = list(network.arrays)
        first = (
            order.index(f"model/{names[0]}/w") < order.index(f"model/{_LSTM}/wx") if names else True
        )
        return names if goes_in and (not behind or first) else []
    numbers = [int(name.rpartition("fc")[2]) for name in shared]
    before = [
        name for name, number in zip(shared, numbers, strict=True) if number == shared.index(name)
    ]
    if network.last_size(f"model/{before[-1]}/w") != features:
        msg = f"the LSTM takes {features} features, the layers before it give another number"
        raise MismatchError(msg)
    return before


def add_lstm(network: AgentNetwork, x: str, scope: str) -> str:
    """Return what the LSTM of that scope makes of x; its state and mask are inputs, the next state an output."""
    features, units = network.array(f"{scope}/wx").shape[0], network.array(f"{scope}/wh").shape[0]
    state = network.input("state", (2 * units,), "float32", default="zeros")
    mask = network.input("mask", (), "float32", default="zeros")
    normalized = f"{scope}/gx" in network.arrays
    parameters = [Parameter(f"{scope}/wx", "input.weight", "in out -> out in")]
    hidden = Parameter(f"{scope}/wh", "hidden.weight", "in out -> out in")
    if normalized:
        bias = Parameter(f"{scope}/b", "bias", VECTOR)
        norms = [
            Parameter(f"{scope}/{kind}{letter}", f"{name}_norm.{role}", VECTOR)
            for letter, name in (("x", "input"), ("h", "hidden"), ("c", "cell"))
            for kind, role in (("g", "weight"), ("b", "bias"))
        ]
        parameters = [bias, *parameters, hidden, *norms]
    else:
        parameters += [Parameter(f"{scope}/b", "input.bias", VECTOR), hidden]
    op = "agent.LayerNormLSTM" if normalized else "agent.LSTM"
    x = network.layer(
        op,
        "lstm",
        (x, state, mask),
        parameters,
        name="hidden",
        further=("new_state",),
        kwargs={"features": features, "units": units},
    )
    network.outputs["state"] = network.steps[-1].further_outputs[0]
    return x


def add_distribution(
    network: AgentNetwork, policy: Policy, scores: str, state: str, scope: str = "model"
) -> ActionRule:
    """Add what the distribution of actions gives, and return how the policy acts.

    Args:
        network: gets the steps.
        policy: what is known of it.
        scores: what the policy's head gives.
        state: name of the output with the next state, "" if there is none.
        scope: of the policy's variables.
    """
    space = policy.action
    if f"{scope}/pi/logstd" in network.arrays:
        return _gaussian(network, space, scores, state, f"{scope}/pi/logstd")
    space = space or _stated_space(policy, network, scores)
    kind = space.kind
    network.outputs["logits"] = scores
    if kind == DISCRETE:
        network.outputs["proba"] = network.call("F.softmax", scores, dim=-1, name="proba")
        best = network.call("torch.argmax", scores, dim=-1, name="deterministic_action")
        network.outputs["deterministic_action"] = best
        return greedy("logits", state=state)
    if kind == MULTI_BINARY:
        proba = network.call("torch.sigmoid", scores, name="proba")
        best = network.call("torch.round", proba, name="deterministic_action")
        network.outputs |= {"proba": proba, "deterministic_action": best}
        return binary("proba", "deterministic_action", state=state)
    if kind != MULTI_DISCRETE:
        msg = f"the space of actions '{kind}' is not known"
        raise AmbiguousTargetError(msg)
    return _several(network, space, scores, state)


def _several(network: AgentNetwork, space: Space, scores: str, state: str) -> ActionRule:
    parts, best, first = [], [], 0
    for number, size in enumerate(space.sizes):
        cut = (("slice", None, None, None), ("slice", first, first + size, None))
        name = f"logits{number}"
        network.outputs[name] = network.call("operator.getitem", scores, name=name, index=cut)
        best.append(network.call("torch.argmax", network.outputs[name], dim=-1, name="best"))
        parts.append(name)
        first += size
    action = network.call("torch.stack", *best, dim=-1, name="deterministic_action")
    network.outputs["deterministic_action"] = action
    return several_categories(tuple(parts), state=state)


def _gaussian(
    network: AgentNetwork, space: Space | None, mean: str, state: str, variable: str
) -> ActionRule:
    """Add a normal distribution whose deviation, `variable`, does not depend on the state."""
    size = network.array(variable).shape[-1]
    rank = len(network.array(variable).shape)
    layout = "() out -> out" if rank == 2 else VECTOR
    parameter = Parameter(variable, "log_std", layout)
    kwargs = {"actions": size}
    log_std = network.layer(
        "agent.LogStd", "log_std", (mean,), (parameter,), name="logstd", kwargs=kwargs
    )
    std = network.call("torch.exp", log_std, name="std")
    network.outputs |= {"mean": mean, "std": std, "logstd": log_std, "deterministic_action": mean}
    return gaussian(space if space is not None and space.kind == BOX else None, state=state)


def _stated_space(policy: Policy, network: AgentNetwork, scores: str) -> Space:
    """Return the space of actions that the user states, or that the graph shows; logits may be of three kinds.

    Raises:
        AmbiguousTargetError: Nothing is known of it.
    """
    size = network.width(scores)
    stated = policy.given.get("actions")
    if stated == MULTI_BINARY:
        return Space(MULTI_BINARY, (size,), dtype="int8")
    if stated == DISCRETE:
        return Space(DISCRETE, (), (size,), dtype="int64")
    if isinstance(stated, list) and all(isinstance(each, int) for each in stated):
        sizes = tuple(int(each) for each in stated)
        if sum(sizes) == size and min(sizes) > 0:
            return Space(MULTI_DISCRETE, (len(sizes),), sizes, dtype="int64")
        msg = f"--set actions={stated} makes {sum(sizes)} logits, the policy has {size}"
        raise AmbiguousTargetError(msg)
    of_graph = _graph_space(policy.graph, size)
    if of_graph is not None:
        return of_graph
    if policy.settings or policy.graph is not None:
        msg = f"what the {size} logits of the policy choose is not in the file"
        hint = f"--set actions=Discrete, actions=MultiBinary, or actions=[{size - 2},2] for several choices"
        raise AmbiguousTargetError(msg, hint=hint)
    network.notes.append(
        "the file does not state the space of actions: taken for one discrete action"
    )
    return Space(DISCRETE, (), (size,), dtype="int64")


def _graph_space(graph: GraphHints | None, size: int) -> Space | None:
    """Return the space of actions by what the graph does with the logits: cuts, rounds or compares them."""
    if graph is None:
        return None
    parts = graph.splits.get("model", ())
    if parts and sum(parts) == size:
        return Space(MULTI_DISCRETE, (len(parts),), parts, dtype="int64")
    choices = graph.choices.get("output", frozenset())
    if "Round" in choices:
        return Space(MULTI_BINARY, (size,), dtype="int8")
    action = graph.placeholders.get("loss/action_ph")
    if "ArgMax" in choices or (action is not None and len(action[0]) == 1):
        return Space(DISCRETE, (), (size,), dtype="int64")
    return None
