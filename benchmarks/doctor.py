"""`torchward doctor`: what is installed, what is missing, and what to type."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

# What can be done, the packages it takes, and the extra that brings them.
ABILITIES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("convert, inspect", ("numpy", "h5py"), ""),
    ("verify, load", ("torch",), ""),
    ("write .onnx", ("onnx", "onnxscript"), "onnx"),
    ("train", ("torch", "gymnasium"), "rl"),
    ("dataset", ("h5py", "gymnasium", "minari", "PIL"), "offline"),
    ("parity", ("torch", "tensorflow", "keras"), "legacy"),
    ("bench", ("torch", "tensorflow", "gymnasium"), "legacy,rl"),
    ("report", ("matplotlib", "jinja2"), "report"),
)


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of text.")
    ] = False,
) -> None:
    """Show what is installed, what is missing and what to type.

    Example: torchward doctor
    """
    data = examine()
    lines = [json.dumps(data)] if as_json else format_examination(data)
    sys.stdout.write("\n".join(lines) + "\n")


def examine() -> dict[str, object]:
    """Return versions, abilities and devices as plain data. Imports torch if it is there, never TensorFlow."""
    abilities = {}
    for name, packages, extra in ABILITIES:
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        install = f"pip install 'torchward{f'[{extra}]' if extra else ''}'" if missing else None
        found = {
            package: installed for package in packages if (installed := installed_version(package))
        }
        abilities[name] = {
            "ready": not missing,
            "versions": found,
            "missing": missing,
            "install": install,
        }
    return {
        "python": platform.python_version(),
        "torchward": installed_version("torchward") or "not installed",
        "system": f"{platform.system().lower()} {platform.machine()}",
        "cores": os.cpu_count(),
        "compiler": shutil.which("c++") is not None or shutil.which("g++") is not None,
        "abilities": abilities,
        "device": _device(),
    }


def format_examination(data: dict[str, object]) -> list[str]:
    """Return the lines that `torchward doctor` prints."""
    lines = [
        f"torchward {data['torchward']}   python {data['python']}   {data['system']}   {data['cores']} cores"
    ]
    abilities = data["abilities"]
    rows = [
        (
            name,
            "ready" if entry["ready"] else f"needs {', '.join(entry['missing'])}",
            ", ".join(f"{package} {number}" for package, number in entry["versions"].items())
            if entry["ready"]
            else entry["install"],
        )
        for name, entry in (abilities.items() if isinstance(abilities, dict) else ())
    ]
    width = max((len(state) for _, state, _ in rows), default=0)
    lines += [f"{name:18}{state:{width}}  {what}" for name, state, what in rows]
    compiler = (
        "found: torch.compile works"
        if data["compiler"]
        else "none: torch.compile falls back to eager"
    )
    lines.append(f"{'C++ compiler':18}{compiler}")
    lines.append(f"{'device':18}{data['device']}")
    return lines


def installed_version(package: str) -> str | None:
    """Return the version of an installed distribution; TensorFlow has several names for one package."""
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _device() -> str:
    if importlib.util.find_spec("torch") is None:
        return "unknown: torch is not installed"
    import torch  # only to ask for devices

    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu: no CUDA, no MPS found"
