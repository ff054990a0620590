from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from parity_tests.harness import run_probe
from parity_tests.pairs import AgentPair
from parity_tests.probes import PROBES
from parity_tests.report import ProbeResult

Side = Callable[[type], SimpleNamespace]


@pytest.fixture
def run(linear_pair: AgentPair, linear_agent: type, side: Side) -> Callable[..., ProbeResult]:
    def run_against(
        torch_agent: type, probe: str, dtype: str = "float64", **changes: Any
    ) -> ProbeResult:
        pair = dataclasses.replace(linear_pair, **changes)
        modules: Any = (side(linear_agent), side(torch_agent))
        return run_probe(pair, pair.configs[0], probe, dtype, modules=modules)

    return run_against


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("probe", [name for name in PROBES if name != "resume"])
def test_an_agent_is_in_parity_with_itself(
    run: Callable[..., ProbeResult], linear_agent: type, probe: str, dtype: str
) -> None:
    result = run(linear_agent, probe, dtype)
    assert result.error is None, result.details
    assert result.in_parity
    assert result.comparisons


def test_a_probe_that_does_not_apply_is_skipped_with_its_reason(
    run: Callable[..., ProbeResult], linear_agent: type
) -> None:
    result = run(linear_agent, "resume")
    assert result.skipped == "there is no file format to convert"
    assert result.in_parity


def test_a_pair_without_target_networks_needs_no_update_target(
    run: Callable[..., ProbeResult], linear_agent: type[Any], side: Side, linear_pair: AgentPair
) -> None:
    class WithoutTarget(linear_agent):  # type: ignore[misc, valid-type]
        update_target = None

    pair = dataclasses.replace(linear_pair, without={"target_sync": "no target network"})
    modules: Any = (side(WithoutTarget), side(WithoutTarget))
    result = run_probe(pair, pair.configs[0], "trajectory", "float64", modules=modules)
    assert result.in_parity, result.details


def test_an_agent_that_raises_is_a_failure_with_the_reason(
    run: Callable[..., ProbeResult], linear_agent: type[Any]
) -> None:
    class Broken(linear_agent):  # type: ignore[misc, valid-type]
        def update(self, batch: Any, noise: Any = None) -> dict[str, float]:
            message = "no optimizer\nsecond line"
            raise RuntimeError(message)

    result = run(Broken, "update")
    assert result.error == "RuntimeError: no optimizer"
    assert not result.in_parity


def test_a_gradient_that_the_torch_side_lacks_is_a_failure(
    run: Callable[..., ProbeResult], linear_agent: type[Any]
) -> None:
    class WithoutBias(linear_agent):  # type: ignore[misc, valid-type]
        def loss_and_gradients(self, batch: Any, noise: Any = None) -> Any:
            loss, gradients = super().loss_and_gradients(batch, noise)
            return loss, {"out/kernel": gradients["out/kernel"]}

    failed = [each for each in run(WithoutBias, "gradient").comparisons if not each.in_parity]
    assert [each.name for each in failed] == ["gradient of out/bias"]
    assert "missing on the torch side" in str(failed[0].problem)


def test_a_figure_that_only_one_side_returns_is_a_failure(
    run: Callable[..., ProbeResult], linear_agent: type[Any]
) -> None:
    class Talkative(linear_agent):  # type: ignore[misc, valid-type]
        def update(self, batch: Any, noise: Any = None) -> dict[str, float]:
            return {**super().update(batch, noise), "norm": 1.0}

    failed = [each.name for each in run(Talkative, "update").comparisons if not each.in_parity]
    assert failed == ["update 1: norm", "update 2: norm", "update 3: norm"]


def test_gradients_that_change_the_weights_are_caught(
    run: Callable[..., ProbeResult], linear_agent: type[Any]
) -> None:
    class Training(linear_agent):  # type: ignore[misc, valid-type]
        def loss_and_gradients(self, batch: Any, noise: Any = None) -> Any:
            found = super().loss_and_gradients(batch, noise)
            self.online = {name: array + 0.1 for name, array in self.online.items()}
            return found

    failed = [each.name for each in run(Training, "gradient").comparisons if not each.in_parity]
    assert failed == ["torch: unchanged out/kernel", "torch: unchanged out/bias"]


def test_a_float32_error_within_the_limit_that_no_rounding_explains_is_caught(
    run: Callable[..., ProbeResult], linear_agent: type[Any]
) -> None:
    class Rounded(linear_agent):  # type: ignore[misc, valid-type]
        def get_q_values(self, state: Any) -> Any:
            exact = super().get_q_values(state)
            # The frameworks may differ by 2e-6, but the order of four terms makes 5e-7 at most.
            return (exact * (1 + np.float32(1.5e-6))).astype(exact.dtype)

    result = run(Rounded, "forward", "float32")
    failed = [each.name for each in result.comparisons if not each.in_parity]
    assert failed
    assert all(name.endswith("rounding") for name in failed)


def test_a_copy_that_changes_nothing_on_both_sides_is_caught(
    linear_pair: AgentPair, linear_agent: type[Any], side: Side
) -> None:
    class NeverCopied(linear_agent):  # type: ignore[misc, valid-type]
        def update_target(self) -> None:
            pass

    modules: Any = (side(NeverCopied), side(NeverCopied))
    result = run_probe(
        linear_pair, linear_pair.configs[0], "target_sync", "float64", modules=modules
    )
    problems = [each.problem for each in result.comparisons if not each.in_parity]
    assert problems == ["the copy changed nothing", "the copy changed nothing"]


def test_a_target_network_that_is_not_saved_is_caught(
    run: Callable[..., ProbeResult], linear_agent: type[Any]
) -> None:
    class Forgetful(linear_agent):  # type: ignore[misc, valid-type]
        @classmethod
        def load(cls, path: Any) -> Any:
            agent = super().load(path)
            agent.target = dict(agent.online)
            return agent

    failed = [each.name for each in run(Forgetful, "save_load").comparisons if not each.in_parity]
    assert failed
    assert all(name.startswith("torch: ") for name in failed)
