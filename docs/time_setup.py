"""Times a fresh virtual environment and the installation into it, for each requirement, in turns.

python docs/time_setup.py torch d3rlpy==2.8.1 .

Everything is fetched and built as wheels before, so neither the network nor a compiler is part of the seconds. Torch is
the version of constraints.txt for all, in the build that pip finds first.
"""
# ruff: noqa: T201  this is a script for people: it prints, and runs pip with what they name

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 1_000_000


@dataclass(slots=True)
class Setup:
    """What the environments of one requirement took.

    Attributes:
        environment: seconds for the empty environment, one a round.
        installation: seconds for what is installed into it, one a round.
        megabytes: of the installed files.
    """

    environment: list[float] = field(default_factory=list)
    installation: list[float] = field(default_factory=list)
    megabytes: float = 0.0

    @property
    def totals(self) -> list[float]:
        """Seconds of both together, one a round."""
        return [sum(pair) for pair in zip(self.environment, self.installation, strict=True)]


def torch_requirement() -> str:
    """Return the line of constraints.txt that fixes torch."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    match = re.search(r"^torch==.*$", text, re.MULTILINE)
    if match is None:
        msg = "constraints.txt has no line torch==..."
        raise ValueError(msg)
    return match[0]


def build_wheels(requirement: str, folder: Path) -> list[Path]:
    """Fetch or build the wheels of a requirement and of all it needs, and return them."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([*command, requirement, torch_requirement()], check=True)
    return sorted(folder.glob("*.whl"))


def set_up(wheels: list[Path], folder: Path, setup: Setup) -> None:
    """Make an environment in `folder`, install the wheels into it, and add what it took."""
    start = time.perf_counter()
    venv.create(folder, with_pip=True)
    setup.environment.append(time.perf_counter() - start)
    python = folder / "bin" / "python"
    start = time.perf_counter()
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-index"]
    subprocess.run([*command, *map(str, wheels)], check=True)
    setup.installation.append(time.perf_counter() - start)
    sizes = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
    setup.megabytes = sum(sizes) / MEGABYTE


def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(prog="python docs/time_setup.py")
    parser.add_argument("requirements", nargs="+", help="as pip takes them; a folder for a project")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        wheels = {
            requirement: build_wheels(requirement, base / f"wheels{number}")
            for number, requirement in enumerate(given.requirements)
        }
        setups = {requirement: Setup() for requirement in wheels}
        for _ in range(given.rounds):
            for requirement, setup in setups.items():
                with tempfile.TemporaryDirectory(dir=base) as folder:
                    set_up(wheels[requirement], Path(folder), setup)
    print(f"{given.rounds} rounds in turns: median seconds, least to most; {torch_requirement()}")
    for requirement, setup in setups.items():
        totals = setup.totals
        print(
            f"{requirement:<16} {statistics.median(totals):5.1f} s "
            f"({min(totals):.1f} to {max(totals):.1f}; the empty environment "
            f"{statistics.median(setup.environment):.1f}), {len(wheels[requirement])} packages, "
            f"{setup.megabytes:,.0f} MB"
        )


if __name__ == "__main__":
    main()
