"""`create_agent` under the name that the migration guide's readers look for; it makes PyTorch agents only.

The chooser of both sides is `experience.agents.create_agent`.
"""

from __future__ import annotations

from typing import cast

from experience import agents
from experience.actor_critics import Settings
from torch_impl.actor_critic import ActorCritic


def create_agent(args: Settings) -> ActorCritic:
    """Return the PyTorch agent of `args.alg`; see `experience.agents.create_agent`."""
    return cast("ActorCritic", agents.create_agent(args, side="torch"))
