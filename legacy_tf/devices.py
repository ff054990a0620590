"""Which device an agent runs on, and what it says about it.

Mirror: torch_impl/devices.py.
"""

from __future__ import annotations

import tensorflow as tf


def find_device(name: str) -> str:
    """Return the device of that name; "auto" is the first GPU if there is one, else the CPU.

    Raises:
        ValueError: There is no such device.
    """
    names = [
        f"{d.device_type}:{d.name.rpartition(':')[2]}" for d in tf.config.list_logical_devices()
    ]
    if name == "auto":
        return next((found for found in names if found.startswith("GPU")), "CPU:0")
    if name not in names:
        msg = f"device {name!r} is not available; there are {', '.join(names)}"
        raise ValueError(msg)
    return name


def describe_device(device: str) -> dict[str, object]:
    """Return "device_type" and "is_cuda", and on CUDA name, count, version and memory (MB)."""
    is_cuda = device.startswith("GPU") and tf.test.is_built_with_cuda()
    info: dict[str, object] = {"device_type": device, "is_cuda": is_cuda}
    if is_cuda:
        gpus = tf.config.list_physical_devices("GPU")
        current = int(device.rpartition(":")[2])
        memory = tf.config.experimental.get_memory_info(device)
        info |= {
            "gpu_name": tf.config.experimental.get_device_details(gpus[current]).get("device_name"),
            "gpu_count": len(gpus),
            "cuda_version": tf.sysconfig.get_build_info().get("cuda_version"),
            "current_device": current,
            "memory_allocated_mb": memory["current"] / 1024**2,
            "memory_peak_mb": memory["peak"] / 1024**2,
        }
    return info
