"""The networks of RLlib's policies with TensorFlow: fully connected, of images, and an LSTM around either.

    fc_1, ..., fc_out                        fc_value_1, ..., value_out
    conv1, ..., conv_out, post_fcnet_1, ...  conv_value_1, ..., conv_value_out; or value_out on shared features
    lstm, logits, values                     around the features of one of them, whose own heads are then unused

A last convolution has no padding, all before it have TensorFlow's SAME. Keras numbers names that come again, `conv1_1`.
Source: ray 1.13, rllib/models/tf/{fcnet,visionnet,recurrent_net}.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from converters.agents.facts import AgentFacts
from converters.agents.network import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    LINEAR,
    VECTOR,
    AgentNetwork,
    Parameter,
)
from converters.agents.rllib_settings import EXPORT_HINT, Settings, strides_of
from converters.agents.spaces import BOX, DISCRETE, MULTI_DISCRETE, Space, read_space
from converters.errors import MismatchError, UnsupportedError
from converters.registry import Plain

STATES = ("state_out_0", "state_out_1")
"""Hidden values and cell of an LSTM, which the next step takes as `state_in_0` and `state_in_1`."""


def has_images(names: Collection[str]) -> bool:
    """Tell whether variables are those of the network of images."""
    return "conv1/kernel" in names or "conv_out/kernel" in names


def is_recurrent(names: Collection[str]) -> bool:
    """Tell whether an LSTM is around the network."""
    return {"logits/kernel", "values/kernel"} <= set(names) and bool(_lstm_scope(names))


def add_scores_and_value(
    network: AgentNetwork, facts: AgentFacts, settings: Settings, x: str
) -> tuple[str, str]:
    """Add a policy and its value; return the inputs of the distribution, and the value."""
    if is_recurrent(network.arrays):
        return _recurrent(network, facts, settings, x)
    if has_images(network.arrays):
        return _images(network, facts, settings, x)
    with network.block("policy"):
        hidden = _hidden(network, x, "fc", settings.activation)
        scores = _dense(network, hidden, "fc_out", output="action_dist_inputs")
        if settings.holds("no_final_linear"):
            scores = network.activation(settings.activation, scores, output="action_dist_inputs")
        if "log_std" in network.arrays:
            scores = _with_log_std(network, scores)
    with network.block("value"):
        own = "fc_value_1/kernel" in network.arrays
        behind = _hidden(network, x, "fc_value", settings.activation) if own else hidden
        return scores, _squeezed(network, _dense(network, behind, "value_out"))


def image_features(
    network: AgentNetwork, facts: AgentFacts, settings: Settings, x: str, suffix: str = ""
) -> str:
    """Return the flat features of a network of images whose last convolution, `conv_out`, is none of a policy."""
    x = _convolutions(network, facts, settings, x, f"conv{{}}{suffix}", last=f"conv_out{suffix}")
    x = network.call(
        "torch.flatten", network.call("torch.permute", x, dims=CHANNELS_LAST), start_dim=1
    )
    return _behind(network, settings, x, suffix, first=0)


def image_scores(
    network: AgentNetwork, facts: AgentFacts, settings: Settings, x: str, suffix: str
) -> str:
    """Return what a network of images gives in one place: its last layer, `conv_out`, is a convolution of it."""
    x = _flat(network, _convolutions(network, facts, settings, x, f"conv{{}}{suffix}"))
    return _pointwise(network, x, f"conv_out{suffix}")


def _images(
    network: AgentNetwork, facts: AgentFacts, settings: Settings, x: str
) -> tuple[str, str]:
    """Add the network of images, whose convolutions leave one place.

    Raises:
        UnsupportedError: With `no_final_linear`.
    """
    if settings.holds("no_final_linear"):
        msg = "a policy of RLlib on images with no_final_linear"
        raise UnsupportedError(msg, hint=EXPORT_HINT)
    activation = settings.stated("post_fcnet_activation", "relu")
    with network.block("policy"):
        features = _flat(network, _convolutions(network, facts, settings, x, "conv{}"))
        scores = _pointwise(network, features, "conv_out")
        names = _numbered(network, "post_fcnet", first=1)
        for name in names:
            features = network.activation(activation, scores)
            scores = _dense(network, features, name)
    with network.block("value"):
        if "conv_value_out/kernel" in network.arrays:
            value = _flat(network, _convolutions(network, facts, settings, x, "conv_value_{}"))
            value = _pointwise(network, value, "conv_value_out")
        else:
            value = _dense(network, features, "value_out")
        return scores, _squeezed(network, value)


def _recurrent(
    network: AgentNetwork, facts: AgentFacts, settings: Settings, x: str
) -> tuple[str, str]:
    """Add an LSTM of one step around the features of a network; its two states are inputs and outputs."""
    with network.block("features"):
        if has_images(network.arrays):
            x = _convolutions(network, facts, settings, x, "conv{}")
            x = network.call("torch.permute", x, dims=CHANNELS_LAST)
            x = _behind(
                network, settings, network.call("torch.flatten", x, start_dim=1), "", first=0
            )
        else:
            x = _hidden(network, x, "fc", settings.activation)
    for name in network.arrays:
        if re.match(r"(fc_value|conv_value|value_out)", name):
            network.ignore(name, "the value of the network inside, which an LSTM replaces")
    scope = _lstm_scope(network.arrays)
    features, _ = network.shape_of(f"{scope}/kernel", 2)
    units, _ = network.shape_of(f"{scope}/recurrent_kernel", 2)
    states = [
        network.input(f"state_in_{place}", (units,), "float32", default="zeros") for place in (0, 1)
    ]
    x = _with_previous(network, facts, settings, x, features)
    x = network.call("torch.unsqueeze", x, dim=1)
    kwargs: dict[str, Plain] = {"input_size": features, "units": units, "return_state": True}
    parameters = (
        Parameter(f"{scope}/kernel", "weight_ih", LINEAR),
        Parameter(f"{scope}/recurrent_kernel", "weight_hh", LINEAR),
        Parameter(f"{scope}/bias", "bias", VECTOR),
    )
    x = network.layer(
        "compat.LSTM", "lstm", (x, *states), parameters, further=STATES, kwargs=kwargs
    )
    network.outputs |= dict(zip(STATES, network.steps[-1].further_outputs, strict=True))
    with network.block("policy"):
        scores = _dense(network, x, "logits", output="action_dist_inputs")
    with network.block("value"):
        return scores, _squeezed(network, _dense(network, x, "values"))


def _with_previous(
    network: AgentNetwork, facts: AgentFacts, settings: Settings, x: str, features: int
) -> str:
    """Return features with the action and the reward of the step before beside them, where the LSTM takes them.

    Raises:
        UnsupportedError: Actions of another kind than numbers, boxes and several numbers.
        MismatchError: The LSTM takes another number of features.
    """
    space = read_space(facts.settings.get("action_space"))
    takes_action, takes_reward = _takes_previous(network, settings, x, features, space)
    parts = [x]
    if takes_action:
        if space is None or space.kind not in (BOX, DISCRETE, MULTI_DISCRETE):
            msg = "an LSTM of RLlib that takes the action before, whose space is not known"
            raise UnsupportedError(msg, hint=EXPORT_HINT)
        parts += _previous_action(network, space)
    if takes_reward:
        reward = network.input("prev_reward", (), "float32", default="zeros")
        parts.append(network.call("torch.unsqueeze", reward, dim=1))
    return x if len(parts) == 1 else network.call("torch.cat", *parts, dim=-1)


def _takes_previous(
    network: AgentNetwork, settings: Settings, x: str, features: int, space: Space | None
) -> tuple[bool, bool]:
    """Tell whether the LSTM takes the action and the reward before: by the settings, else by its width."""
    keys = ("lstm_use_prev_action", "lstm_use_prev_reward")
    stated = (settings.holds(keys[0]), settings.holds(keys[1]))
    if has_images(network.arrays):
        return stated
    size = 0 if space is None else space.features
    widths = {
        flags: network.width(x) + flags[0] * size + flags[1]
        for flags in ((False, False), (True, False), (False, True), (True, True))
    }
    fitting = [flags for flags, width in widths.items() if width == features]
    if any(key in settings.values for key in keys) or len(fitting) != 1:
        fitting = [flags for flags in fitting if flags == stated]
    if not fitting:
        msg = f"the LSTM takes {features} features, what goes into it are {widths[stated]}"
        raise MismatchError(msg, hint=EXPORT_HINT)
    return fitting[0]


def _previous_action(network: AgentNetwork, space: Space) -> list[str]:
    """Return the action before as features: numbers one-hot."""
    if space.kind == BOX:
        action = network.input("prev_action", space.shape, "float32", default="zeros")
        return [action if len(space.shape) == 1 else _flat(network, action)]
    shape = () if space.kind == DISCRETE else (len(space.sizes),)
    action = network.input("prev_action", shape, "int64", default="zeros")
    parts = []
    for place, size in enumerate(space.sizes):
        number = action
        if shape:
            cut = (("slice", None, None, None), place)
            number = network.call("operator.getitem", action, index=cut)
        parts.append(network.call("compat.one_hot", number, size=size, dtype="float32"))
    return parts


def _convolutions(
    network: AgentNetwork,
    facts: AgentFacts,
    settings: Settings,
    x: str,
    form: str,
    *,
    last: str = "",
) -> str:
    """Return what convolutions make of images, channels in front: SAME padding, but none for the last.

    Args:
        network: gets the layers.
        facts: of the agent.
        settings: of the model.
        x: images, channels last.
        form: of the names of layers, with a place for the number.
        last: name of the last one, if it has no number.

    Raises:
        MismatchError: The strides are not known, or of another number.
    """
    names: list[str] = []
    while f"{form.format(len(names) + 1)}/kernel" in network.arrays:
        names.append(form.format(len(names) + 1))
    names += [last] if last else []
    return add_convolutions(network, settings, x, names, strides_of(facts, settings))


def add_convolutions(
    network: AgentNetwork,
    settings: Settings,
    x: str,
    names: Sequence[str],
    strides: Sequence[int | tuple[int, int]],
) -> str:
    """Return what named convolutions make of images, as `_convolutions` does."""
    if len(strides) != len(names):
        msg = f"found {len(names)} convolutions and {len(strides)} strides"
        raise MismatchError(msg, hint="--set strides=[4,2,1]")
    activation = settings.stated("conv_activation", "relu")
    x = network.call("torch.permute", x, dims=CHANNELS_FIRST)
    for place, (name, stride) in enumerate(zip(names, strides, strict=True)):
        padding = "VALID" if place == len(names) - 1 else "SAME"
        x = network.convolution(
            x, name, f"{name}/kernel", f"{name}/bias", stride=stride, padding=padding
        )
        x = network.activation(activation, x)
    return x


def _behind(network: AgentNetwork, settings: Settings, x: str, suffix: str, *, first: int) -> str:
    """Return what the dense layers behind convolutions make of flat features."""
    for name in _numbered(network, "post_fcnet", suffix, first=first):
        x = network.activation(
            settings.stated("post_fcnet_activation", "relu"), _dense(network, x, name)
        )
    return x


def _pointwise(network: AgentNetwork, x: str, name: str) -> str:
    """Return a convolution of one place, which is a dense layer of its channels."""
    *_, channels, filters = network.shape_of(f"{name}/kernel", 4)
    parameters = (
        Parameter(f"{name}/kernel", "weight", "() () in out -> out in"),
        Parameter(f"{name}/bias", "bias", VECTOR),
    )
    kwargs: dict[str, Plain] = {"in_features": channels, "out_features": filters}
    return network.layer("nn.Linear", name, (x,), parameters, kwargs=kwargs)


def _flat(network: AgentNetwork, x: str) -> str:
    return network.call("torch.flatten", x, start_dim=1)


def _squeezed(network: AgentNetwork, value: str) -> str:
    return network.call("torch.squeeze", value, dim=-1, name="value")


def _dense(network: AgentNetwork, x: str, name: str, *, output: str = "x") -> str:
    return network.linear(x, name, f"{name}/kernel", f"{name}/bias", name=output)


def _hidden(network: AgentNetwork, x: str, prefix: str, activation: str) -> str:
    for name in _numbered(network, prefix, first=1):
        x = network.activation(activation, _dense(network, x, name))
    return x


def _numbered(network: AgentNetwork, name: str, suffix: str = "", *, first: int) -> list[str]:
    found: list[str] = []
    while f"{name}_{first + len(found)}{suffix}/kernel" in network.arrays:
        found.append(f"{name}_{first + len(found)}{suffix}")
    return found


def _lstm_scope(names: Collection[str]) -> str:
    """Return the scope of the LSTM's variables; "" if there is none."""
    scopes = ("lstm/lstm_cell", "lstm")
    return next((scope for scope in scopes if f"{scope}/recurrent_kernel" in names), "")


def _with_log_std(network: AgentNetwork, mean: str) -> str:
    """Return means and the free logarithm of the deviation beside them."""
    (size,) = network.shape_of("log_std", 1)
    parameter = Parameter("log_std", "log_std", "out -> out")
    log_std = network.layer(
        "agent.LogStd", "log_std", (mean,), (parameter,), name="log_std", kwargs={"actions": size}
    )
    return network.call("torch.cat", mean, log_std, dim=-1, name="action_dist_inputs")
