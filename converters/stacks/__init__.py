"""Weights without an architecture that can only be usual networks: the networks, and what had to be assumed.

A file of weights alone says which matrices there are, not what is between them. Where every matrix feeds the next one in
one order only, and the names say which network is which, the usual one is meant. What the file does not say is listed
for the user, who may know better. Anything else is not guessed at.
"""

from __future__ import annotations

from converters.checkpoint import Checkpoint
from converters.stacks import plain, sonnet
from converters.stacks.networks import model_of

KINDS = (sonnet.find, plain.find)
"""How each kind of file is told; the first that knows the names decides."""


def assume_stack(checkpoint: Checkpoint) -> tuple[Checkpoint, tuple[str, ...]] | None:
    """Return the checkpoint with the graph of its networks, and what was assumed. None: they may be anything."""
    for find in KINDS:
        found = find(checkpoint)
        if found is not None:
            return model_of(checkpoint, found)
    return None
