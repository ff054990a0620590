"""Which device an agent runs on, and what it says about it.

Mirror: legacy_tf/devices.py.
"""

from __future__ import annotations

import torch


def find_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is CUDA if there is one, else the CPU.

    Raises:
        ValueError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    # torch raises RuntimeError for unknown names and AssertionError in a build without CUDA.
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        msg = f"device {name!r} is not available: {reason}; use device='auto' or device='cpu'"
        raise ValueError(msg) from error


def describe_device(device: torch.device) -> dict[str, object]:
    """Return "device_type" and "is_cuda", and on CUDA name, count, version and memory (MB; total in GB)."""
    info: dict[str, object] = {"device_type": str(device), "is_cuda": device.type == "cuda"}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        info |= {
            "gpu_name": properties.name,
            "gpu_count": torch.cuda.device_count(),
            "cuda_version": torch.version.cuda,
            "current_device": torch.cuda.current_device(),
            "memory_allocated_mb": torch.cuda.memory_allocated(device) / 1024**2,
            "memory_reserved_mb": torch.cuda.memory_reserved(device) / 1024**2,
            "memory_total_gb": properties.total_memory / 1024**3,
        }
    return info
