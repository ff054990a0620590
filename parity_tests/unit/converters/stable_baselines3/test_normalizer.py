from __future__ import annotations

from dataclasses import replace

import pytest

from converters.checkpoint import Checkpoint
from converters.errors import ConversionError, MismatchError, UnsupportedError
from converters.plan import plan_conversion
from converters.readers import read_checkpoint
from converters.stable_baselines3.normalizer import normalizer_bytes
from parity_tests import FIXTURES

pytestmark = pytest.mark.slow  # stable_baselines3 takes seconds to import


@pytest.fixture
def checkpoint() -> Checkpoint:
    pytest.importorskip("stable_baselines3")
    return read_checkpoint(FIXTURES / "sb_ppo2_pendulum_vecnorm" / "vecnormalize.pkl")


@pytest.mark.parametrize(
    ("name", "value", "kind", "message"),
    [
        ("clip_reward", "ten", UnsupportedError, "its clip_reward is no number"),
        ("action_space", None, UnsupportedError, "does not say what its action_space is"),
        ("observation_space", "action_space", MismatchError, r"shape \(3,\); needed \(1,\)"),
    ],
)
def test_what_the_wrapper_cannot_hold_is_refused_in_one_line(
    checkpoint: Checkpoint, name: str, value: object, kind: type[ConversionError], message: str
) -> None:
    plan = plan_conversion(checkpoint)
    facts = checkpoint.agent
    assert facts is not None
    found = facts.settings[value] if value == "action_space" else value  # of another shape
    damaged = replace(facts, settings={**facts.settings, name: found})

    with pytest.raises(kind, match=message):
        normalizer_bytes(replace(checkpoint, agent=damaged), plan)
