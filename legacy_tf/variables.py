"""Which variables an optimizer trains, by the beginning of their names.

Mirror: torch_impl/variables.py.
"""

from __future__ import annotations

import tensorflow as tf


def get_vars(source: tf.Graph, prefix: str) -> list[tf.Variable]:
    """Return the trained variables whose names begin with `prefix`, in the order in which they were made.

    `main/value` also takes `main/value_1` and `main/value_2`.

    Args:
        source: graph that the variables are in.
        prefix: regular expression for the beginning of the name, as in the original.

    Raises:
        ValueError: No name begins so.
    """
    found = source.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES, scope=prefix)
    if not found:
        known = sorted(
            v.op.name for v in source.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES)
        )
        msg = f"no trained variable begins with {prefix!r}; there are: {', '.join(known) or 'none'}"
        raise ValueError(msg)
    return found
