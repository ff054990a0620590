"""Mixed precision: the layers of networks in bfloat16, all else in float32.

Weights, optimizers, targets, log densities, losses and the temperature stay in float32; bfloat16 has its range, so
losses need no scaling. SAC's log(1 - a^2 + 1e-6) would be nothing but rounding in bfloat16, whose numbers below 1 are
0.004 apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn


def find_obstacle(device: torch.device, dtype: str) -> str | None:
    """Return why mixed precision is of no use here, None if it is.

    On a CPU with bfloat16 instructions (avx512_bf16) an update of SAC took 0.7 of the time in float32, compiled, and 0.8 in eager
    PyTorch; without them products in bfloat16 are emulated.
    """
    if dtype != "float32":
        return f"the agent is of {dtype}"
    if device.type == "cuda":
        return None if torch.cuda.is_bf16_supported() else "this GPU has no bfloat16"
    if not _cpu_has_bfloat16():
        return "this CPU has no instructions for bfloat16 and would be slower with it"
    return None


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which layers compute in bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16)


def return_float32(networks: Iterable[nn.Module]) -> None:
    """Let the last layers of the networks return float32: those that are no hidden ones by their names."""
    for network in networks:
        for name, layer in network.named_children():
            if isinstance(layer, nn.Linear) and "_dense" not in name:
                layer.register_forward_hook(_to_float32)


def _to_float32(layer: nn.Module, inputs: object, output: Tensor) -> Tensor:
    return output.float()


def _cpu_has_bfloat16() -> bool:
    # Both exist since torch 2.4 and 2.6; there is no public name for them.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in checks)
