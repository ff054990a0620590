"""What a measurement depends on: machine, threads, versions, compiler. No host name, no user, no folders."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "tensorflow", "keras", "stable_baselines3", "numpy", "h5py", "gymnasium")


def describe(threads: int) -> dict[str, str]:
    """Return the facts by the name they are shown under, in the order in which they are shown."""
    facts = {
        "processor": processor_name(),
        "cores": str(available_cores()),
        "threads per process": str(threads),
        "device": "CPU (GPUs are hidden from the measured processes)",
        "memory": _memory_text(),
        "busy at start": _load_text(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    facts |= package_versions()
    facts["C++ compiler"] = compiler_name() or "none: PyTorch compiled variants run eager"
    return facts


def package_versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Return the installed version of each package, "not installed" where there is none."""
    versions: dict[str, str] = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    if versions.get("tensorflow") == "not installed":
        # The CPU build is another distribution of the same module.
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions["tensorflow"] = metadata.version("tensorflow-cpu") + " (cpu)"
    return versions


def available_cores() -> int:
    """Return how many cores this process may use (a container may be given fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, the architecture where the system does not tell it."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def compiler_name(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the C++ compiler that torch.compile would find, None if there is none."""
    candidates = (environment.get("CXX"), "g++", "clang++", "c++")
    path = environment.get("PATH")
    return next(
        (Path(name).name for name in candidates if name and shutil.which(name, path=path)), None
    )


def _memory_text() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown"
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{total / 1024**3:.0f} GiB"


def _load_text() -> str:
    if not hasattr(os, "getloadavg"):
        return "unknown"
    return f"{os.getloadavg()[0]:.1f} processes on {available_cores()} cores (last minute)"
