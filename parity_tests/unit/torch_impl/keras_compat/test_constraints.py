"""Constraints of weights, worked out by hand, and where they act in a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from converters.optimizers.constraints import CONSTRAINTS, find_constraint
from torch_impl.keras_compat import optimizers
from torch_impl.keras_compat.constraints import KINDS, constrained

# (out, in) of a Linear; in Keras (in, out): axis 0 there is the last here. Norms over it: 5 and 13.
WEIGHT = torch.tensor([[3.0, -4.0, 0.0], [0.0, 5.0, 12.0]], dtype=torch.float64)
ORDER = [[2, 3], [1, 0], [3, 2]]
CASES: list[tuple[dict[str, Any], list[float]]] = [
    ({"kind": "MaxNorm", "max_value": 6.0, "axis": 0}, [1.0, 6 / 13]),
    ({"kind": "UnitNorm", "axis": 0}, [1 / 5, 1 / 13]),
    (
        {"kind": "MinMaxNorm", "min_value": 6.0, "max_value": 7.0, "rate": 0.5, "axis": [0]},
        [5.5 / 5, 10 / 13],
    ),
]


@pytest.mark.parametrize(("constraint", "factors"), CASES, ids=[c["kind"] for c, _ in CASES])
def test_norm_is_taken_over_the_axis_of_keras(
    constraint: dict[str, Any], factors: list[float]
) -> None:
    wanted = WEIGHT * torch.tensor(factors, dtype=torch.float64)[:, None]
    found = constrained(WEIGHT, {**constraint, "keras_order": ORDER})
    # Keras divides by the norm plus 1e-7.
    torch.testing.assert_close(found, wanted, rtol=3e-8, atol=0)
    in_torch_layout = constrained(WEIGHT, constraint)
    assert not torch.allclose(in_torch_layout, wanted, rtol=1e-2)


def test_negative_weights_become_zero() -> None:
    assert constrained(WEIGHT, {"kind": "NonNeg"}).min() == 0


def test_unknown_constraint_is_refused() -> None:
    with pytest.raises(ValueError, match="'Orthogonal' is none of"):
        constrained(WEIGHT, {"kind": "Orthogonal"})


def test_constraint_acts_after_the_step_on_updated_parameters_only() -> None:
    moved, still = (torch.nn.Parameter(torch.tensor([-1.0, 1.0])) for _ in range(2))
    limits = [{"kind": "NonNeg"}, {"kind": "NonNeg"}]
    optimizer = optimizers.SGD([moved, still], 1.0, constraints=limits)
    moved.grad = torch.tensor([-3.0, 3.0])
    optimizer.step()
    assert moved.tolist() == [2.0, 0.0]
    assert still.tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ("non_neg", {"kind": "NonNeg"}),
        (
            {"class_name": "MaxNorm", "config": {"max_value": 3, "axis": [0, 1]}},
            {"kind": "MaxNorm", "max_value": 3, "axis": [0, 1]},
        ),
        ({"name": "maxnorm", "m": 2, "axis": 0}, {"kind": "MaxNorm", "max_value": 2, "axis": 0}),
        ({"class_name": "mine>UnitNorm", "config": {"order": 1}}, None),
        ({"class_name": "MaxNorm", "config": {"max_value": float("nan")}}, None),
        ({"class_name": "MaxNorm", "config": {"axis": ["a"]}}, None),
        ({"class_name": "RadialConstraint", "config": {}}, None),
        (None, None),
        (3, None),
    ],
)
def test_stored_constraint_is_found_or_left_alone(
    stored: object, found: dict[str, object] | None
) -> None:
    assert find_constraint(stored, None) == found


def test_table_has_the_kinds_and_their_options() -> None:
    assert dict(CONSTRAINTS.values()) == dict(KINDS)
