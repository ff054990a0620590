from __future__ import annotations

import pytest
import torch

from torch_impl.devices import find_device
from torch_impl.placement import get_device


@pytest.mark.parametrize(("there", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_cuda_where_there_is_some(
    there: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)

    assert find_device("auto") == torch.device(chosen)


def test_who_prefers_no_gpu_gets_the_cpu_although_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)

    assert get_device(prefer_gpu=False, say=None) == torch.device("cpu")
    assert get_device(say=None) == torch.device("cuda")
