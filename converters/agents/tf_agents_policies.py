"""How agents of TF-Agents act: the kind of a policy's last layer says which distribution it has."""

from __future__ import annotations

from converters.agents.action_rules import ACTION, greedy
from converters.agents.facts import AgentFacts
from converters.agents.network import Parameter
from converters.agents.tf_agents_encoders import add_features, add_images, is_recurrent
from converters.agents.tf_agents_layers import Layers
from converters.agents.tf_agents_names import ROOT
from converters.architecture import ActionRule, Step
from converters.registry import Plain

LOG_STD_RANGE = (-20.0, 2.0)
"""Of `std_clip_transform`, SAC's own."""


def add_actor(
    layers: Layers, facts: AgentFacts, name: str, x: str, prefix: str
) -> ActionRule | None:
    """Add a policy: the kind of its last layer says which distribution it has."""
    network, scope = layers.network, f"{ROOT}{name}"
    heads = f"{scope}/_projection_networks"
    with network.block(name.lstrip("_")):
        if f"{heads}/_means_projection_layer/kernel" in network.arrays:
            latent = add_features(layers, facts, name, x, scope)
            return _normal(layers, name, latent, heads)
        if f"{heads}/_projection_layer/kernel" in network.arrays:
            latent = add_features(layers, facts, name, x, scope)
            scores = layers.chain(name, latent, [f"{heads}/_projection_layer"], name="scores")
            if layers.draws_categories(network.width(scores)):
                return _categorical(layers, scores)
            return _tanh_normal(layers, scores)
        last = layers.numbered(f"{scope}/_action_layers")
        if is_recurrent(network.arrays, scope) and len(last) == 1:  # ActorRnnNetwork
            latent = add_features(layers, facts, name, x, scope)
            return _deterministic(layers, layers.chain(name, latent, last, name="raw"), prefix)
        perceptron = layers.numbered(f"{scope}/_mlp_layers")
        x, chain = add_images(layers, facts, name, x, [*perceptron, *layers.sequential(scope)])
        deviation = next(
            (
                key
                for key in network.arrays
                if key.startswith(f"{scope}/") and key.endswith("/scale/_sequential_layers/0/bias")
            ),
            None,
        )
        if not chain:
            return None
        raw = layers.chain(name, x, chain, name="raw")
        if deviation is not None:
            return _gaussian(layers, raw, _bias(layers, deviation, raw))
        # ActorNetwork has no other kind of actions; a Sequential may be of either.
        if layers.has_critics or perceptron:
            return _deterministic(layers, raw, prefix)
        return _categorical(layers, raw)


def _normal(layers: Layers, name: str, latent: str, heads: str) -> ActionRule:
    """Add means and deviations of `NormalProjectionNetwork`."""
    mean = layers.chain(name, latent, [f"{heads}/_means_projection_layer"], name="raw_mean")
    if f"{heads}/_stddev_projection_layer/kernel" not in layers.network.arrays:
        return _gaussian(layers, mean, _bias(layers, f"{heads}/_bias/bias", mean))
    raw = layers.chain(name, latent, [f"{heads}/_stddev_projection_layer"], name="raw_std")
    if not layers.is_soft:
        return _gaussian(layers, mean, raw)
    low, high = LOG_STD_RANGE
    layers.assume(
        f"the deviation is exp of what is clipped to {low:g} ... {high:g}, as SAC's agent has it"
    )
    clipped = layers.network.call("torch.clamp", raw, min=low, max=high, name="log_std")
    return _squashed_normal(layers, mean, clipped)


def _tanh_normal(layers: Layers, scores: str) -> ActionRule:
    """Add means and deviations of `TanhNormalProjectionNetwork`, halves of one layer."""
    network = layers.network
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
    return _squashed_normal(layers, mean, log_std)


def _squashed_normal(layers: Layers, mean: str, log_std: str) -> ActionRule:
    network = layers.network
    network.outputs |= {"mean": mean, "std": network.call("torch.exp", log_std, name="std")}
    return _bounded(layers, network.call("torch.tanh", mean, name="squashed_action"), noise=True)


def _gaussian(layers: Layers, mean: str, raw: str) -> ActionRule:
    """Add a normal distribution whose mean tanh brings to the bounds of actions."""
    network = layers.network
    layers.assume(
        "the deviation is softplus of its bias, and tanh brings the mean to the bounds of actions"
    )
    inside = network.call("torch.tanh", mean, name="squashed_mean")
    network.outputs["squashed_mean"] = inside
    network.outputs["std"] = network.call("F.softplus", raw, name="std")
    if layers.bounds is None:
        layers.without_bounds("squashed_mean")
        return ActionRule(
            (_step("torch.detach", "squashed_mean"),), (_draw("squashed_mean", ACTION),)
        )
    low, high = layers.bounds
    scaled = network.call("agent.scale_action", inside, low=low, high=high, name="mean")
    network.outputs |= {"mean": scaled, "deterministic_action": scaled}
    clip = _step("agent.clip_action", "drawn", low=low, high=high)
    return ActionRule((_step("torch.detach", "mean"),), (_draw("mean", "drawn"), clip))


def _deterministic(layers: Layers, raw: str, prefix: str) -> ActionRule | None:
    inside = layers.network.call("torch.tanh", raw, name=f"{prefix}squashed_action")
    if prefix:
        layers.network.outputs[f"{prefix}squashed_action"] = inside
        return None
    return _bounded(layers, inside, noise=False)


def _bounded(layers: Layers, inside: str, *, noise: bool) -> ActionRule:
    """Add an action of -1 to 1, and where its bounds were stated that of the environment.

    Args:
        layers: of the agent.
        inside: the action.
        noise: whether random actions are drawn before tanh; otherwise training adds noise of its own.
    """
    network = layers.network
    network.outputs["squashed_action"] = inside
    scale: tuple[Step, ...] = (_step("torch.detach", "squashed"),)
    best = "squashed_action"
    if layers.bounds is None:
        layers.without_bounds(best)
    else:
        low, high = layers.bounds
        best = "deterministic_action"
        network.outputs[best] = network.call(
            "agent.scale_action", inside, low=low, high=high, name=best
        )
        scale = (_step("agent.scale_action", "squashed", low=low, high=high),)
    still = (_step("torch.detach", best),)
    squash = _step("torch.tanh", "drawn", output="squashed")
    return ActionRule(still, (_draw("mean", "drawn"), squash, *scale) if noise else still)


def _categorical(layers: Layers, scores: str) -> ActionRule:
    network = layers.network
    network.outputs["logits"] = scores
    network.outputs["deterministic_action"] = network.call(
        "torch.argmax", scores, dim=-1, name="deterministic_action"
    )
    return greedy("logits")


def _bias(layers: Layers, key: str, like: str) -> str:
    """Return a bias of the deviation, the same for every observation."""
    size = layers.network.array(key).shape[-1]
    parameter = Parameter(key, "bias", "out -> out")
    return layers.network.layer(
        "agent.StateIndependentBias",
        "std_bias",
        (like,),
        (parameter,),
        kwargs={"actions": size},
    )


def _step(op: str, *inputs: str, output: str = ACTION, **kwargs: Plain) -> Step:
    return Step(op, inputs, output, None, kwargs)


def _draw(mean: str, output: str) -> Step:
    return _step("agent.sample_normal", mean, "std", output=output)
