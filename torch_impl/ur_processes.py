"""Training shared by the processes that `torchrun` started: joining them, and doing things once.

    torchrun --nproc-per-node 2 -m torchward train ur --data samples.npz --output weights.json

It has no legacy mirror.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


def is_first() -> bool:
    """Return whether this process writes the files and prints: the first one, or the only one."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait_for_all() -> None:
    """Return when every process is here."""
    if dist.is_initialized():
        dist.barrier()


@contextmanager
def joined_processes(device: str) -> Iterator[None]:
    """Join the processes of `torchrun`, if it started this one, and leave them at the end.

    Args:
        device: "cpu", or "auto" and others for CUDA where there is one; each process takes one GPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # This module takes the group of its import as defaults of its functions (torch 2.13). The first optimizer imports
    # it: within the group that would keep gloo's threads alive, and those end the process with an abort at its exit.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()
