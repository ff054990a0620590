"""IRCR: every step of an episode gets the episode's return, scaled to [0, 1], as its reward (Gangwani et al. 2020).

Mirror: legacy_tf/ircr.py.
"""

from __future__ import annotations

from typing import Any, Self

from experience.actor_critics import Settings
from torch_impl.actor_critic import ActorCritic
from torch_impl.basis import with_basis


class IRCR(ActorCritic):
    """Another algorithm as it is: `IRCR(args)` is one of the basis that `args.basis_alg` names.

    What IRCR does lies in the replay buffer, which gives batches with rewards changed.

    Reads of the arguments: basis_alg, and what the basis reads.
    """

    def __new__(cls, args: Settings, **_: Any) -> Self:  # noqa: ANN401  of the constructor
        """Return an agent of this class and of its basis."""
        return super().__new__(with_basis(cls, args.basis_alg))
