"""What linear algebra gives in TensorFlow and torch has otherwise. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def log_determinant(x: Tensor) -> Tensor:
    """Return the logarithm of the determinant of positive definite matrices, of which the lower triangle is read."""
    root = torch.linalg.cholesky(x)
    return 2 * torch.log(torch.diagonal(root, dim1=-2, dim2=-1)).sum(-1)


def lu_factor(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return both triangles of a matrix in one, and where each of its rows went."""
    factors, swaps = torch.linalg.lu_factor(x)
    turned, _, _ = torch.lu_unpack(factors, swaps, unpack_data=False)
    return factors, turned.argmax(-1)


def pseudo_inverse(x: Tensor, *, rcond: float | None = None) -> Tensor:
    """Return the inverse of what is not nearly 0 in a matrix; TensorFlow calls ten times as much so as torch.

    Args:
        x: (..., rows, columns).
        rcond: singular values up to this share of the largest count as 0; None: 10 max(rows, columns) epsilon.
    """
    if rcond is None:
        rcond = 10 * max(x.shape[-2:]) * torch.finfo(x.dtype).eps
    found: Tensor = torch.linalg.pinv(x, rtol=rcond)
    return found


def least_squares(a: Tensor, b: Tensor, *, rcond: float | None = None) -> Tensor:
    """Return the shortest x for which a x is nearest to b.

    Args:
        a: (rows, columns).
        b: (rows,) or (rows, columns of x).
        rcond: singular values below this share of the largest count as 0; None: max(rows, columns) epsilon; what is
            negative counts as epsilon.

    Source: keras 3.15.1, backend/tensorflow/linalg.py, `lstsq`.
    """
    epsilon = torch.finfo(a.dtype).eps
    least = epsilon * max(a.shape) if rcond is None else rcond
    inverse: Tensor = torch.linalg.pinv(a, rtol=epsilon if least < 0 else least)
    return inverse @ b


def matrix_rank(x: Tensor, *, tol: float | None = None) -> Tensor:
    """Return how many singular values are above a bound; None: max(rows, columns) epsilon times the largest."""
    values: Tensor = torch.linalg.svdvals(x)
    if tol is None:
        share = max(x.shape[-2:]) * torch.finfo(x.dtype).eps
        return (values > share * values.amax(-1, keepdim=True)).sum(-1)
    return (values > tol).sum(-1)


def solve_triangle(a: Tensor, b: Tensor, *, lower: bool) -> Tensor:
    """Return x of a x = b, of whose a one triangle is read; b may be a vector."""
    alone = b.dim() == a.dim() - 1
    columns = b.unsqueeze(-1) if alone else b
    found: Tensor = torch.linalg.solve_triangular(a, columns, upper=not lower)
    return found.squeeze(-1) if alone else found
