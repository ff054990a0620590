"""Rows of embeddings that a batch does not look up: the optimizers of Keras up to 2.10 leave most of them as they are.

TensorFlow gives such an optimizer the gradient of the rows that were looked up and no others; torch gives zeros for the
others, which the formulas would take for a gradient, and move them on with their momentum.

Source: keras 2.15.0, optimizers/legacy/<name>.py, _resource_apply_sparse; tensorflow 2.15.1, core/kernels/training_ops.cc.
"""

from __future__ import annotations

from torch import Tensor

from torch_impl.keras_compat.parameter_groups import Group

Kept = list[tuple[Tensor, Tensor, Tensor]]
"""A tensor, a copy of it, and (rows,), true where a row is to stay: parameter by parameter."""


def rows_to_keep(
    group: Group,
    parameters: list[Tensor],
    gradients: list[Tensor],
    tensors: list[list[Tensor]],
) -> Kept:
    """Return what an update must not change of the parameters that the option `row_wise` names.

    A row counts as not looked up where its gradient is all zeros, which one that was looked up may have, too.

    Args:
        group: with its option `row_wise`.
        parameters: with gradients.
        gradients: of `parameters`, in their order.
        tensors: lists in that order whose rows stay: the parameters themselves, and slots.
    """
    if not group["row_wise"]:
        return []
    named = {id(group["params"][place]) for place in group["row_wise"]}
    kept: Kept = []
    for place, (parameter, gradient) in enumerate(
        zip(parameters, gradients, strict=True)
    ):
        if id(parameter) in named:
            idle = gradient.flatten(1).eq(0).all(1)
            kept += [(each[place], each[place].clone(), idle) for each in tensors]
    return kept


def put_back(kept: Kept) -> None:
    """Undo what an update did to rows that stay."""
    for tensor, before, idle in kept:
        tensor[idle] = before[idle]
