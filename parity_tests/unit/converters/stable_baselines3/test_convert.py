from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from converters.errors import VerificationError
from converters.stable_baselines3 import convert

OLD = np.array([[0.5], [-0.25]], np.float32)


@pytest.mark.parametrize(
    "new",
    [OLD + np.float32(1e-3), OLD * np.float32(np.nan), OLD[:, 0]],
    ids=["off", "NaN", "another shape"],
)
def test_agent_that_acts_otherwise_is_not_written(new: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(convert, "_old_agent", lambda _: SimpleNamespace(act=lambda _: OLD))
    monkeypatch.setattr(convert, "sample_observations", lambda *_: OLD)
    model: Any = SimpleNamespace(predict=lambda *_, **__: (new, None))
    agent: Any = SimpleNamespace(algorithm="SAC")

    with pytest.raises(VerificationError, match="SAC of stable_baselines3 acts otherwise"):
        convert.compare_actions(SimpleNamespace(), agent, model)  # type: ignore[arg-type]
