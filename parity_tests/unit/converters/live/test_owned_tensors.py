"""Dense copies of tensors, however these lie in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import torchward
from converters.live import owned_tensors
from converters.live.owned_tensors import owned_tensor
from parity_tests import FIXTURES

MODEL = FIXTURES / "k231_dqn_cartpole" / "model.h5"


@pytest.fixture(params=[1, 2**40], ids=["large", "small"])
def _size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take all tensors for large ones, or for small ones."""
    monkeypatch.setattr(owned_tensors, "_LARGE_BYTES", request.param)


@pytest.mark.usefixtures("_size")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ((7,), (0,)),
        ((), ()),
        ((5, 3), (1, 0)),
        ((5, 3), (0, 1)),
        ((3, 2, 5, 4), (3, 2, 0, 1)),
        ((20, 30, 5, 4), (3, 2, 0, 1)),
        ((2, 3, 1, 5, 4), (4, 3, 0, 1, 2)),
        ((0, 3), (1, 0)),
    ],
    ids=["bias", "scalar", "transposed", "dense", "kernel", "many cells", "3D kernel", "empty"],
)
def test_copy_is_dense_and_equal(
    shape: tuple[int, ...], order: tuple[int, ...], dtype: torch.dtype
) -> None:
    stored = torch.arange(torch.Size(shape).numel()).to(dtype).reshape(shape)
    tensor = stored.permute(order)

    copy = owned_tensor(tensor)

    assert copy.is_contiguous()
    assert copy.dtype == dtype
    assert torch.equal(copy, tensor)
    assert not stored.numel() or copy.data_ptr() != stored.data_ptr()


@pytest.mark.slow
def test_loaded_module_does_not_change_with_its_file(tmp_path: Path) -> None:
    torchward.convert(MODEL, tmp_path / "m.pth")
    model = torchward.load(tmp_path / "m.pth")
    before: dict[str, Tensor] = {name: x.clone() for name, x in model.state_dict().items()}

    with (tmp_path / "m.pth").open("r+b") as file:
        file.write(b"\xff" * (tmp_path / "m.pth").stat().st_size)

    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
