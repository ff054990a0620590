from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from torch_impl.dqn import DQNAgent
from torch_impl.placement import benchmark_computation, benchmark_device, get_device, to_device


class Pair(NamedTuple):
    states: Tensor
    names: list[str]


def test_without_a_wish_for_a_gpu_the_cpu_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    device = get_device(prefer_gpu=False)

    assert device == torch.device("cpu")
    assert capsys.readouterr().out == f"Using device: cpu ({torch.get_num_threads()} threads)\n"


def test_the_choice_is_that_of_the_agents() -> None:
    assert get_device(say=None) == DQNAgent(device="auto").device


def test_nothing_is_said_to_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    get_device(say=None)

    assert capsys.readouterr().out == ""


def test_every_tensor_of_a_nest_is_moved_and_its_shape_is_kept() -> None:
    # The device "meta" stands for another one: it is in every build of torch, and has no data to wait for.
    data: dict[str, Any] = {
        "states": torch.zeros(2, 3),
        "steps": [torch.zeros(1), (torch.zeros(4), "text", 7, None)],
        "pair": Pair(torch.zeros(5), ["left", "right"]),
    }

    moved = to_device(data, "meta")

    assert moved["states"].device.type == "meta"
    assert isinstance(moved["steps"], list)
    assert isinstance(moved["steps"][1], tuple)
    assert [t.device.type for t in (moved["steps"][0], moved["steps"][1][0])] == ["meta", "meta"]
    assert moved["steps"][1][1:] == ("text", 7, None)
    assert type(moved["pair"]) is Pair
    assert moved["pair"].states.device.type == "meta"
    assert moved["pair"].names == ["left", "right"]
    assert data["states"].device.type == "cpu"


def test_kinds_of_mappings_and_their_order_are_kept() -> None:
    moved = to_device(OrderedDict(b=torch.zeros(1), a=torch.zeros(1)), "meta")

    assert type(moved) is OrderedDict
    assert list(moved) == ["b", "a"]


def test_what_is_there_already_is_not_copied() -> None:
    tensor = torch.zeros(3)

    assert to_device([tensor], "cpu")[0] is tensor


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")], ids=["name", "object"])
def test_a_product_takes_time_on_a_device_given_by_name_or_as_object(
    device: str | torch.device,
) -> None:
    assert 0 < benchmark_computation(device, 20) < 1


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_cuda_is_waited_for_before_and_behind_every_product(
    device: str | torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Compared as `device == "cuda"`, only the first of the three would be waited for.
    waited: list[torch.device] = []
    monkeypatch.setattr("torch_impl.placement.find_device", torch.device)
    monkeypatch.setattr("torch.cuda.synchronize", waited.append)
    monkeypatch.setattr("torch.randn", lambda *_, **__: torch.zeros(2, 2))
    monkeypatch.setattr("torch.Generator", lambda _: torch.default_generator.clone_state())

    benchmark_computation(device, 2, rounds=3)

    assert waited == [torch.device(device)] * 6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_compared_with_the_cpu() -> None:
    assert set(benchmark_device(500)) == {"cpu", "cuda"}


def test_the_cpu_is_measured_everywhere() -> None:
    assert benchmark_device(20, rounds=1)["cpu"] > 0


@pytest.mark.parametrize(("size", "rounds"), [(0, 5), (10, 0)])
def test_nothing_cannot_be_measured(size: int, rounds: int) -> None:
    with pytest.raises(ValueError, match="needed at least 1"):
        benchmark_computation("cpu", size, rounds=rounds)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="is not available"):
        benchmark_computation("xpu:7", 10)
