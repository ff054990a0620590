"""Counts what packages bring with them in this environment, itself and torch included, CUDA's own left out.

python docs/count_packages.py d3rlpy "torchward+minari[hdf5]+pillow"
"""
# ruff: noqa: T201  this is a script for people: it prints

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

REQUIREMENT = re.compile(r"^([-\w.]+)\s*(?:\[([^\]]*)\])?([^;]*)(?:;(.*))?$")
GPU = re.compile(r"^(nvidia|cuda|triton)\b", re.IGNORECASE)


def canonical(name: str) -> str:
    """Return the name as package registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_needed(marker: str, extras: set[str]) -> bool:
    """Tell whether a requirement holds here, on Linux with CPython."""
    from packaging.markers import Marker

    environments = [{"extra": extra} for extra in extras] or [{"extra": ""}]
    return not marker or any(Marker(marker).evaluate(each) for each in environments)


def collect(requirement: str, found: dict[str, str]) -> dict[str, str]:
    """Return names and versions of all installed packages that a requirement needs, itself included."""
    match = REQUIREMENT.match(requirement.strip())
    if match is None:
        raise ValueError(requirement)
    name, extras = match[1], {extra.strip() for extra in (match[2] or "").split(",") if extra}
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return found
    key = canonical(name)
    if key in found and not extras:
        return found
    found[key] = package.version
    for each in package.requires or []:
        inner = REQUIREMENT.match(each)
        if inner is not None and is_needed((inner[4] or "").strip(), extras):
            whole = f"{inner[1]}[{inner[2]}]" if inner[2] else inner[1]
            if canonical(inner[1]) not in found:
                collect(whole, found)
    return found


def main() -> None:
    """Print the number for every package that is named."""
    for requirement in sys.argv[1:]:
        found: dict[str, str] = {}
        for part in requirement.split("+"):
            collect(part, found)
        kept = {name: version for name, version in found.items() if not GPU.match(name)}
        print(f"{requirement}: {len(kept)} packages, without those of CUDA")
        print("  " + ", ".join(f"{name} {version}" for name, version in sorted(kept.items())))


if __name__ == "__main__":
    main()
