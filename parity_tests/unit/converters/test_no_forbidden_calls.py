"""RELIABILITY's promises 1 and 2 as a mechanism: audit hooks of the interpreter watch conversions in a child process.

After one conversion has loaded the library, a hook is set that no code can take off again. It knows what a conversion needs
and writes down everything else: code made from text, pickles, sockets, processes, files besides input, output and library.
"""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251  # a hostile file is written here; nothing is loaded
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import pytest

from parity_tests import FIXTURES

REPOSITORY = Path(__file__).parents[3]
GOOD = (
    ("k122_dqn", "model.h5"),
    ("k224_ddpg_critic_bn", "model.h5"),
    ("tf215_nested_bn", "model.keras"),
    ("k315_actor_critic", "model.keras"),
    ("k315_float64_mlp", "model.h5"),
    ("sb_dqn_cnn_tiny", "model.zip"),
    ("sb_sac_mlp_pendulum", "model.pkl"),
    ("baselines_deepq_cartpole", "model.pkl"),
)
WARM = (
    ("k315_dqn_seed", "model.keras"),
    ("k315_dqn_seed", "model.h5"),
    ("sb_ppo2_mlp_cartpole", "model.zip"),
    ("baselines_ppo2_pendulum", "model.joblib"),
)
"""Converted before anything is watched, so that the modules of the library are loaded."""
BLOCKED = ("torch", "tensorflow", "keras", "tf_keras")

WATCHER = """
import json, os, pkgutil, sys, sysconfig, tempfile

job = json.loads(sys.argv[1])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in job["blocked"]:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
import importlib
import converters, torchward
import converters.readers, converters.layers, converters.optimizers, converters.writers
import converters.readers.hdf5.processes as processes
for package in (converters.readers, converters.layers, converters.optimizers, converters.writers):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
for source, output in job["warm"]:
    torchward.convert(source, output, source_code=output + ".py")
    torchward.convert(source, output + ".safetensors", format="safetensors")
    torchward.inspect(source)

paths = sysconfig.get_paths()
library = tuple(os.path.realpath(folder) + os.sep for folder in (
    paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"],
    os.path.dirname(converters.__file__), os.path.join(os.path.dirname(torchward.__file__), "torch_impl"),
))
archives = [os.path.realpath(path) for path in sys.path if path.endswith(".zip")]  # where modules are looked for
spool = os.path.join(os.path.realpath(tempfile.gettempdir()), "torchward-")
forbidden = ("exec", "compile", "marshal.loads", "marshal.load", "pickle.find_class", "os.system", "os.exec",
             "os.posix_spawn", "os.fork", "os.spawn", "ctypes.", "code.", "import", "socket.", "urllib.", "ftplib.",
             "http.", "smtplib.", "shutil.", "os.symlink", "os.link", "os.chmod", "os.putenv", "webbrowser.")
current, found = None, []

def in_library(path):
    return os.path.realpath(path).startswith(library)

def allowed(event, args):
    if event == "open":
        if isinstance(args[0], int) or args[0] is None:
            return True
        path = os.path.realpath(os.fsdecode(args[0]))
        reading = not (args[1] or "r").strip("rb") if isinstance(args[1], str) else not args[2] & (os.O_WRONLY | os.O_RDWR)
        if path == current["input"]:
            return reading
        if path in archives:
            return reading
        return path.startswith((current["folder"] + os.sep, spool)) or (reading and in_library(path))
    if event == "subprocess.Popen":
        return list(args[1])[-1:] == [str(processes.WORKER)] and list(args[1])[0] == sys.executable
    if event == "compile":  # emitted source is parsed again before it is written
        return current["emits"] and args[1] == "<unknown>"
    if event == "exec":
        return in_library(args[0].co_filename)
    if event == "import":  # a module of the library that is loaded late
        return args[0].partition(".")[0] in (*sys.stdlib_module_names, "converters", "torch_impl", "numpy", "h5py")
    if event in ("marshal.loads", "marshal.load"):
        return sys._getframe(2).f_code.co_filename.startswith("<frozen importlib")
    return not event.startswith(forbidden)

def hook(event, args):
    if current is not None and not allowed(event, args):
        found.append([current["name"], event, repr(args)[:200]])

sys.addaudithook(hook)
outcomes = {}
for item in job["files"]:
    item["input"] = os.path.realpath(item["input"])
    current = item
    try:
        if item["plant"]:
            exec(item["plant"])
        out = os.path.join(item["folder"], "out.pth")
        torchward.convert(item["input"], out, source_code=out + ".py" if item["emits"] else None)
        outcome = "converted"
    except BaseException as error:
        outcome = type(error).__name__
    current = None
    outcomes[item["name"]] = outcome
print(json.dumps({"found": found, "outcomes": outcomes, "imported": [n for n in job["blocked"] if n in sys.modules]}))
"""


class Payload:
    """An object whose pickle runs a command when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def lambda_layer(path: Path, _marker: Path) -> None:
    rewrite_config(path, lambda config: set_class(config, "Lambda"))


def custom_module(path: Path, _marker: Path) -> None:
    def edit(config: Any) -> None:
        layer = config["config"]["layers"][1]
        layer.update(module="os", class_name="system", registered_name="os>system")

    rewrite_config(path, edit)


def hostile_names(path: Path, _marker: Path) -> None:
    def edit(config: Any) -> None:
        config["config"]["name"] = "x'''; __import__('os').system('true')"

    rewrite_config(path, edit)


def set_class(config: Any, name: str) -> None:
    config["config"]["layers"][1]["class_name"] = name


def rewrite_config(path: Path, edit: Callable[[Any], None]) -> None:
    with zipfile.ZipFile(FIXTURES / "k315_dqn_seed" / "model.keras") as original:
        content = {name: original.read(name) for name in original.namelist()}
    config = json.loads(content["config.json"])
    edit(config)
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def pickled_object(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(marker)))


def archive_with_pickle(path: Path, marker: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload(marker)))
        archive.writestr("archive/version", "3\n")


def member_outside(path: Path, _marker: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.py", "print(1)")
        archive.writestr("config.json", "{}")


def external_link(path: Path, marker: Path) -> None:
    path.write_bytes((FIXTURES / "k315_dqn_seed" / "model.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        name = next(iter(group))
        del group[name]
        group[name] = h5py.ExternalLink(str(marker.with_name("other.h5")), "/")


def script(path: Path, marker: Path) -> None:
    path.write_text(f"import os; os.system('touch {marker}')")


HOSTILE = {
    lambda_layer: "OwnCodeError",
    custom_module: "OwnCodeError",
    hostile_names: "converted",
    pickled_object: "UnsafeFileError",
    archive_with_pickle: "UnreadableFileError",
    member_outside: "UnsafeFileError",
    external_link: "UnsafeFileError",
    script: "UnreadableFileError",
}


def watch(tmp_path: Path, sources: Mapping[str, Path], plants: Mapping[str, str]) -> Any:
    """Convert files in a watched child, each after running its plant; return what the child saw."""
    files = []
    for index, (name, path) in enumerate(sources.items()):
        folder = tmp_path / f"out{index}"
        folder.mkdir()
        entry = {"name": name, "input": str(path), "folder": str(folder)}
        files.append({**entry, "emits": index % 2 == 0, "plant": plants.get(name, "")})
    (tmp_path / "warm").mkdir()
    warm = [
        [str(FIXTURES / case / file), str(tmp_path / "warm" / f"{case}-{file}.pth")]
        for case, file in WARM
    ]
    job = {"files": files, "warm": warm, "blocked": BLOCKED}
    child = subprocess.run(
        [sys.executable, "-c", WATCHER, json.dumps(job)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=600,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@pytest.mark.slow
def test_conversion_makes_no_forbidden_call_and_needs_no_framework(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    sources = {f"{case}/{file}": FIXTURES / case / file for case, file in GOOD}
    (tmp_path / "hostile").mkdir()
    for write in HOSTILE:
        path = tmp_path / "hostile" / f"{write.__name__}.keras"
        write(path, marker)
        sources[write.__name__] = path

    seen = watch(tmp_path, sources, {})

    assert seen["found"] == [], seen["found"]
    assert seen["imported"] == []
    assert not marker.exists()
    wanted = {f"{case}/{file}": "converted" for case, file in GOOD}
    wanted |= {write.__name__: outcome for write, outcome in HOSTILE.items()}
    assert seen["outcomes"] == wanted


PLANTS = {
    "compile": "eval('1 + 1')",
    "pickle.find_class": "__import__('pickle').loads(open(item['input'], 'rb').read())",
    "open": "open('/etc/hostname').read()",
    "subprocess.Popen": "__import__('subprocess').run(['true'])",
    "os.system": "__import__('os').system('true')",
    "socket.__new__": "__import__('socket').socket().close()",
    "import": "__import__('sqlalchemy_or_any_other_package')",
}


@pytest.mark.slow
def test_planted_calls_are_seen(tmp_path: Path) -> None:
    pickled_object(tmp_path / "file.pkl", tmp_path / "marker")
    sources = dict.fromkeys(PLANTS, tmp_path / "file.pkl")

    seen = watch(tmp_path, sources, PLANTS)

    for event in PLANTS:
        # The plant itself is compiled and run from text: what counts is the event behind it.
        events = [kind for name, kind, _ in seen["found"] if name == event]
        assert events[:2] == ["compile", "exec"]
        assert event in events[2:], event
