from __future__ import annotations

import pytest
import torch

from converters.optimizers.options import SCHEDULES
from converters.optimizers.rules import RULES, OptimizerRule
from converters.optimizers.uneven import ADAM, FACTORED, MUON, WHOLE
from torch_impl.keras_compat import optimizers, schedules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_rule_fits_its_torch_class(rule: OptimizerRule) -> None:
    chosen = getattr(optimizers, rule.target.rsplit(".", 1)[1])
    switches = {slot.when: 0.5 for block in rule.blocks for slot in block if slot.when}
    optimizer = chosen([torch.nn.Parameter(torch.zeros(1))], **switches)
    group = optimizer.param_groups[0]
    assert set(rule.options) | set(rule.legacy_options({})) <= set(group)
    kinds = (FACTORED, WHOLE) if rule.kind == "Adafactor" else (ADAM, MUON)
    uneven = {s.key for kind in kinds for s in kind.slots if s} if rule.choose_kind else set()
    even = {slot.key for block in rule.blocks for slot in block}
    assert even | uneven == set(optimizer.slots(group))
    assert rule.number is None or rule.number in group


def test_schedules_are_those_of_torch_impl() -> None:
    assert set(SCHEDULES) == set(schedules.SCHEDULES)
