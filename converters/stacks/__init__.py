"""Weights without an architecture that can only be usual networks: the networks, and what had to be assumed.

A file of weights alone says which matrices there are, not what is between them. Where every matrix feeds the next one in
one order only, and the names say which network is which, the usual one is meant. What the file does not say is listed
for the user, who may know better. Anything else is not guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from converters.checkpoint import Checkpoint
from converters.errors import UnsupportedError
from converters.stacks import plain, sonnet
from converters.stacks.networks import ACTIVATIONS, Found, model_of

KINDS = (sonnet.find, plain.find)
"""How each kind of file is told; the first that knows the names decides."""


ACTIVATION, LAST_ACTIVATION = "activation", "last_activation"
"""What --set may state: after hidden layers, and after the last layer of every network."""


def assume_stack(
    checkpoint: Checkpoint, stated: Mapping[str, object] | None = None
) -> tuple[Checkpoint, tuple[str, ...]] | None:
    """Return the checkpoint with the graph of its networks, and what was assumed. None: they may be anything.

    Args:
        checkpoint: weights without an architecture.
        stated: activations by the user, in the place of the usual ones.

    Raises:
        UnsupportedError: What is stated is no activation, or nothing that weights alone leave open.
    """
    for find in KINDS:
        found = find(checkpoint)
        if found is not None:
            return model_of(checkpoint, _as_stated(found, stated or {}))
    return None


def _as_stated(found: Found, stated: Mapping[str, object]) -> Found:
    known = (ACTIVATION, LAST_ACTIVATION)
    for name, value in stated.items():
        if name not in known or value not in ACTIVATIONS:
            msg = f"--set {name}={value!s:.60} says nothing of weights without an architecture"
            hint = f"known: {' and '.join(known)}, each of {', '.join(ACTIVATIONS)}"
            raise UnsupportedError(msg, hint=hint)
    networks = []
    for network in found.networks:
        hidden = str(stated.get(ACTIVATION, network.hidden))
        # What only feeds others ends in the activation of hidden layers.
        inner = network.output is None and network.last == network.hidden
        last = hidden if inner else str(stated.get(LAST_ACTIVATION, network.last))
        networks.append(replace(network, hidden=hidden, last=last))
    return replace(found, networks=networks)
