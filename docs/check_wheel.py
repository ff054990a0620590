"""Builds the wheel and tries it as a user would: in a new environment, away from this folder.

    python docs/check_wheel.py [--share-packages]

The new environment gets the wheel with its dependencies, or with --share-packages those of the running environment,
which needs no network. The working folder has a package `benchmarks` of its own, as users' folders do: the command
must not take it for ours. The exit status is that of the first step that fails.
"""
# ruff: noqa: T201  this is a script for people: it prints

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIXTURE = ROOT / "parity_tests" / "fixtures" / "tf215_dqn_seed"
PACKAGES = ("experience", "legacy_tf", "torch_impl", "converters", "parity_tests", "benchmarks")


def run(command: list[str], folder: Path) -> str:
    """Return what the command printed.

    Raises:
        SystemExit: It failed; its output is shown.
    """
    print("$", " ".join([Path(command[0]).name, *command[1:]]), flush=True)
    # Nothing of this checkout or of the running environment may reach the new one.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise SystemExit(done.returncode)
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """Return the wheel of this checkout, built into `folder`."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    # With the build tool at hand nothing has to be fetched for it.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    run([*pip, *isolation, "--wheel-dir", str(folder), str(ROOT)], folder)
    (wheel,) = folder.glob("torchward-*.whl")
    return wheel


def make_environment(folder: Path, wheel: Path, *, share: bool) -> Path:
    """Return the folder of commands of a new environment with the wheel."""
    venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    dependencies = ["--no-deps"] if share else []
    run([python, "-m", "pip", "install", "--quiet", *dependencies, str(wheel)], folder.parent)
    if share:
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = Path(run([python, "-c", where], folder.parent).strip())
        # Behind the environment's own packages, so that torchward is the wheel's; its lines of the running
        # environment (.pth files, editable installations) are not followed.
        (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return scripts


def try_command(scripts: Path, folder: Path) -> None:
    """Convert, verify and inspect a file of TensorFlow 2.15 with the installed command, and import the packages."""
    (folder / "benchmarks").mkdir(parents=True)
    (folder / "benchmarks" / "__init__.py").write_text(
        "raise RuntimeError('the user\\'s own package was imported')\n", encoding="utf-8"
    )
    torchward, source = str(scripts / "torchward"), str(FIXTURE / "model.h5")
    print(
        run([torchward, "convert", source, "-o", "agent.pth", "--source-code", "model.py"], folder)
    )
    expected = str(FIXTURE / "expected.npz")
    print(run([torchward, "verify", source, "agent.pth", "--expected", expected], folder))
    format_name = json.loads(run([torchward, "inspect", source, "--json"], folder))["format"]
    run([torchward, "bench", "--help"], folder)
    run([torchward, "doctor"], folder)
    print("format:", format_name)
    # Outside of the folder with the user's own package, every package is the wheel's.
    places = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in [{', '.join(PACKAGES)}]), sep='\\n')"
    for place in run([str(scripts / "python"), "-c", places], folder.parent).splitlines():
        if not Path(place).is_relative_to(scripts.parent):
            message = f"{place} is not of the new environment"
            raise SystemExit(message)


def main() -> None:
    """Build, install, try."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--share-packages",
        action="store_true",
        help="use the dependencies of the running environment; installs nothing but the wheel",
    )
    share = parser.parse_args().share_packages
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "dist").mkdir()
        wheel = build_wheel(folder / "dist")
        scripts = make_environment(folder / "environment", wheel, share=share)
        try_command(scripts, folder / "work")
        print(f"{wheel.name} works.")


if __name__ == "__main__":
    main()
