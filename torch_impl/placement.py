"""Where data and computations go: a device to ask for, nested data moved there, and how fast a device is.

`devices.find_device` chooses for the agents; this is the same choice for code of one's own. Mirror: none, TensorFlow places by
itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from torch_impl.devices import describe_device, find_device

Data = TypeVar("Data")
WARM_UP_ROUNDS = 2
"""Products before the clock starts: the first one on a GPU loads kernels, the first on a CPU starts threads."""


def get_device(
    prefer_gpu: bool = True, *, say: Callable[[str], object] | None = print
) -> torch.device:
    """Return CUDA if there is one and it is wanted, else the CPU, and say what was chosen.

    Args:
        prefer_gpu: False: the CPU whatever there is.
        say: gets one line; None: nothing is said.
    """
    device = find_device("auto" if prefer_gpu else "cpu")
    if say is not None:
        say(f"Using device: {format_device(device)}")
    return device


def format_device(device: torch.device) -> str:
    """Return "cpu" with the number of threads, or "cuda:0" with name and memory."""
    info = describe_device(device)
    if info["is_cuda"]:
        return f"{device} ({info['gpu_name']}, {info['memory_total_gb']:.1f} GB)"
    return f"{device} ({torch.get_num_threads()} threads)"


def to_device(data: Data, device: torch.device | str) -> Data:
    """Return the data with every tensor in it on the device; containers are new, of the same kind and order.

    Goes into lists, tuples, named tuples and mappings, however nested. What is no tensor comes back as it is, and so does a
    tensor that is on the device already: it is not copied.

    Args:
        data: anything.
        device: as `Tensor.to` takes it.
    """
    moved: Any = data  # Any: of the kind of `data`, which is looked at here
    if isinstance(moved, Tensor):
        return moved.to(device)  # type: ignore[return-value]  # a Tensor
    if isinstance(moved, tuple):
        parts = [to_device(part, device) for part in moved]
        named = hasattr(moved, "_fields")
        return type(moved)(*parts) if named else type(moved)(parts)  # type: ignore[return-value]
    if isinstance(moved, list):
        return type(moved)(to_device(part, device) for part in moved)  # type: ignore[return-value]
    if isinstance(moved, Mapping):
        pairs = {name: to_device(value, device) for name, value in moved.items()}
        return type(moved)(pairs)  # type: ignore[call-arg,return-value]  # as dict and its kinds
    return data


def benchmark_computation(
    device: torch.device | str, size: int = 1000, *, rounds: int = 5
) -> float:
    """Return the seconds of one product of two (size, size) matrices in float32, the shortest of some rounds.

    Work on CUDA runs beside the program, so the clock is read only after it has been waited for, before and behind each
    product. Three matrices are held: 12 MB for 1000, 1.2 GB for 10,000.

    Args:
        device: its kind is asked of torch, so "cuda", "cuda:1" and torch.device("cuda") are all waited for.
        size: rows and columns.
        rounds: products that are timed.

    Raises:
        ValueError: There is no such device, or a number is lower than 1.
    """
    if size < 1 or rounds < 1:
        msg = f"size {size}, rounds {rounds}; needed at least 1"
        raise ValueError(msg)
    place = find_device(str(device))
    generator = torch.Generator(place).manual_seed(0)
    left, right = (torch.randn(size, size, device=place, generator=generator) for _ in range(2))
    product = torch.empty_like(left)
    for _ in range(WARM_UP_ROUNDS):
        torch.mm(left, right, out=product)
    seconds = []
    for _ in range(rounds):
        _wait_for(place)
        begin = time.perf_counter()
        torch.mm(left, right, out=product)
        _wait_for(place)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def benchmark_device(size: int = 1000, *, rounds: int = 5) -> dict[str, float]:
    """Return the seconds of `benchmark_computation` by device: "cpu", and "cuda" if there is one."""
    names = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    return {name: benchmark_computation(name, size, rounds=rounds) for name in names}


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
