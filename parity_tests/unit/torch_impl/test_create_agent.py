from __future__ import annotations

import pytest

from experience.arguments import choose_defaults
from torch_impl.actor_critic import ActorCritic
from torch_impl.create_agent import create_agent


def test_agents_are_torch_whatever_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_PYTORCH", "0")
    args = choose_defaults(env="Pendulum-v1", hidden_sizes=(4, 4))
    args.obs_dims, args.acts_dims = (3,), (1,)

    assert isinstance(create_agent(args), ActorCritic)
