"""Every registered pair through every probe: what `torchward parity` runs, as tests."""

from __future__ import annotations

import pytest

from parity_tests.harness import RunRequest, run_probe
from parity_tests.pairs import AgentPair, Config
from parity_tests.report import format_failure

CASES = [
    pytest.param(*run, id="-".join((run[0].name, run[1].name, run[2], run[3])))
    for run in RunRequest().runs()
]


@pytest.mark.tf
@pytest.mark.parametrize(("pair", "config", "probe", "dtype"), CASES)
def test_both_agents_of_the_pair_agree(
    pair: AgentPair, config: Config, probe: str, dtype: str
) -> None:
    result = run_probe(pair, config, probe, dtype)
    if result.skipped is not None:
        pytest.skip(result.skipped)
    assert result.in_parity, f"\n{format_failure(result)}\n{result.details}"
