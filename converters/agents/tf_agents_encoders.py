"""What comes before the heads of TF-Agents' networks: dense layers, convolutions, and an LSTM between dense layers.

    _encoder/_postprocessing_layers/0/kernel                    (h, w, in, out): a convolution without padding, then Flatten
    _lstm_encoder/_input_encoder, _lstm_network/cell, _output_encoder      ActorDistributionRnn and ValueRnn
    _input_encoder, _lstm_network/cell, _output_encoder                    QRnn; its last layer is the head
    _input_layers, _dynamic_unroll/cell, _output_layers                    ActorRnn

Source: tf_agents 0.19, networks/{encoding_network,lstm_encoding_network,q_rnn_network}.py, agents/ddpg/actor_rnn_network.py,
keras_layers/dynamic_unroll_layer.py.
"""

from __future__ import annotations

from collections.abc import Collection

from converters.agents.facts import AgentFacts
from converters.agents.network import CHANNELS_FIRST, CHANNELS_LAST, LINEAR, VECTOR, Parameter
from converters.agents.tf_agents_layers import HINT, Layers
from converters.errors import UnsupportedError
from converters.registry import Plain

STATES = ("state_out_0", "state_out_1")
"""Hidden values and cell of the policy's LSTM, which the next step takes as `state_in_0` and `state_in_1`."""
CELL = "_lstm_network/cell/kernel"
UNROLLED = "_dynamic_unroll/cell/kernel"
_MASK = "mask"


def is_recurrent(names: Collection[str], scope: str) -> bool:
    """Tell whether a network has an LSTM."""
    cells = (CELL, UNROLLED, f"_lstm_encoder/{CELL}")
    return any(f"{scope}/{cell}" in names for cell in cells)


def add_features(
    layers: Layers,
    facts: AgentFacts,
    name: str,
    x: str,
    scope: str,
    *,
    states: str = "state",
    head: str = "",
) -> str:
    """Return what the layers before the heads make of observations.

    Args:
        layers: of the agent.
        facts: what was stated.
        name: attribute of the network.
        x: observations.
        scope: of the network's arrays.
        states: of an LSTM, what its inputs and outputs are called: "state" gives `state_in_0` and `state_out_0`.
        head: a layer that is left out, since it is the head of a `Sequential`.
    """
    if is_recurrent(layers.network.arrays, scope):
        return _recurrent(layers, facts, name, x, scope, states)
    found = [layer for layer in layers.encoder(scope) if layer != head]
    return _encoded(layers, facts, name, x, found)


def head_of(layers: Layers, scope: str) -> str:
    """Return the layer with the values of a Q-network: of its own, or the last one of a `Sequential` or behind the LSTM."""
    last = layers.numbered(f"{scope}/_output_encoder") or layers.sequential(scope)
    return last[-1] if last else f"{scope}/_q_value_layer"


def _encoded(layers: Layers, facts: AgentFacts, name: str, x: str, found: list[str]) -> str:
    """Return the convolutions and dense layers of an `EncodingNetwork`."""
    x, dense = add_images(layers, facts, name, x, found)
    return layers.chain(name, x, dense, last=layers.hidden(name)) if dense else x


def add_images(
    layers: Layers, facts: AgentFacts, name: str, x: str, found: list[str]
) -> tuple[str, list[str]]:
    """Return what the convolutions among layers make of images, flat, and the layers behind them."""
    images = [layer for layer in found if len(layers.network.array(f"{layer}/kernel").shape) == 4]
    if images:
        x = _convolutions(layers, facts, name, x, images)
    return x, [layer for layer in found if layer not in images]


def _convolutions(layers: Layers, facts: AgentFacts, name: str, x: str, images: list[str]) -> str:
    """Return the flat features of images.

    Raises:
        UnsupportedError: Strides were not stated, or not one for every convolution.
    """
    network = layers.network
    stated = facts.given.get("strides")
    strides = [each for each in stated if isinstance(each, int)] if isinstance(stated, list) else []
    if len(strides) != len(images):
        told = f"; stated are {len(strides)}" if strides else ""
        msg = f"{name.lstrip('_')} has {len(images)} convolutions, whose strides are not in the file{told}"
        raise UnsupportedError(msg, hint=f"--set strides=[2,1], or {HINT}")
    layers.assume(
        f"{name.lstrip('_')} takes images as they are, without a layer that prepares them"
    )
    x = network.call("torch.permute", x, dims=CHANNELS_FIRST)
    for place, (layer, stride) in enumerate(zip(images, strides, strict=True)):
        own = f"encoder_{place}"
        x = network.convolution(
            x, own, f"{layer}/kernel", f"{layer}/bias", stride=stride, padding="VALID"
        )
        x = network.activation(layers.hidden(name), x)
    x = network.call("torch.permute", x, dims=CHANNELS_LAST)
    return network.call("torch.flatten", x, start_dim=1)


def _recurrent(
    layers: Layers, facts: AgentFacts, name: str, x: str, scope: str, states: str
) -> str:
    """Return one step of an LSTM between dense layers; where an episode begins, its states are zeros."""
    network = layers.network
    inner = scope if f"{scope}/{CELL}" in network.arrays else f"{scope}/_lstm_encoder"
    before, cell, after = (
        "_input_encoder/_postprocessing_layers",
        "_lstm_network/cell",
        "_output_encoder",
    )
    if f"{scope}/{UNROLLED}" in network.arrays:
        inner, before, cell, after = (
            scope,
            "_input_layers",
            "_dynamic_unroll/cell",
            "_output_layers",
        )
    x = _encoded(layers, facts, name, x, layers.numbered(f"{inner}/{before}"))
    cell = f"{inner}/{cell}"
    size, _ = network.shape_of(f"{cell}/kernel", 2)
    units, _ = network.shape_of(f"{cell}/recurrent_kernel", 2)
    given = {value.name for value in network.inputs}
    names = [f"{states}_in_{place}" for place in (0, 1)]
    for each in names:
        if each not in given:
            network.input(each, (units,), "float32", default="zeros")
    if _MASK not in given:
        network.input(_MASK, (), "float32", default="zeros")
    begins = network.call("torch.unsqueeze", _MASK, dim=1)
    goes_on = network.call("operator.sub", begins, left=1.0)
    kept = [network.call("operator.mul", each, goes_on) for each in names]
    kwargs: dict[str, Plain] = {"input_size": size, "units": units, "return_state": True}
    parameters = (
        Parameter(f"{cell}/kernel", "weight_ih", LINEAR),
        Parameter(f"{cell}/recurrent_kernel", "weight_hh", LINEAR),
        Parameter(f"{cell}/bias", "bias", VECTOR),
    )
    step = network.call("torch.unsqueeze", x, dim=1)
    further = tuple(f"{states}_out_{place}" for place in (0, 1))
    x = network.layer(
        "compat.LSTM", "lstm", (step, *kept), parameters, further=further, kwargs=kwargs
    )
    made = network.steps[-1].further_outputs
    for output, value in zip(further, made, strict=True):
        network.outputs.setdefault(output, value)  # those of a target network are not given back
    behind = layers.numbered(f"{inner}/{after}")
    if f"{scope}/{CELL}" in network.arrays:
        behind = behind[:-1]  # the last one is the head
    return layers.chain(name, x, behind, last=layers.hidden(name)) if behind else x
