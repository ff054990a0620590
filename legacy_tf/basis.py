"""Algorithms that change the rewards of another one, the basis: return decomposition and IRCR.

They are classes without networks of their own for acting; making an agent of one of them combines it with the class
of the basis that the arguments name.

Mirror: torch_impl/basis.py.
"""

from __future__ import annotations

from typing import TypeVar

from legacy_tf.actor_critic import ActorCritic
from legacy_tf.ddpg import DDPG
from legacy_tf.sac import SAC
from legacy_tf.td3 import TD3
from legacy_tf.value_dqn import ValueDQN

BASES: dict[str, type[ActorCritic]] = {"ddpg": DDPG, "td3": TD3, "sac": SAC, "dqn": ValueDQN}
"""Classes by the name that `--basis_alg` has for them."""

Around = TypeVar("Around", bound=ActorCritic)


def with_basis(around: type[Around], basis: str) -> type[Around]:
    """Return the class of both; methods of `around` come first and reach those of the basis with `super()`.

    Args:
        around: class that changes rewards; returned as it is if it has a basis.
        basis: key of `BASES`.

    Raises:
        ValueError: There is no such basis.
    """
    if basis not in BASES:
        msg = f"no basis algorithm {basis!r}; there are: {', '.join(BASES)}"
        raise ValueError(msg)
    if issubclass(around, tuple(BASES.values())):
        return around
    return type(f"{around.__name__}{BASES[basis].__name__}", (around, BASES[basis]), {})
