"""The search for broken promises finds each of them where one is planted, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from parity_tests.mutants.damage import damaged
from parity_tests.mutants.kinds import FIXTURES, KINDS

PLANTED = {
    "a slip": ("{}['missing']", "KeyError"),
    "code": ("eval('1 + 1')", "compile"),
    "a process": ("__import__('subprocess').Popen(['true'])", "subprocess.Popen"),
    "another file": ("open('/etc/hosts')", "opened '/etc/hosts'"),
    "memory": ("bytearray(2 * 1024**3)", "MemoryError"),
    "no end": ("any(None for _ in iter(int, 1))", "seconds of processor time"),
    "nothing": ("None", ""),
}
PROGRAM = """
import json, sys
from pathlib import Path
from parity_tests.mutants import run, watch
from parity_tests.mutants.kinds import KINDS
watch.CPU_S = 0.5
run.read_whole(KINDS["vec-normalize-pickle"], Path(sys.argv[1]) / "sound")
def read(kind, folder):
    run.read_whole(kind, folder)
    {planted}
outcome = run.read_mutants(KINDS["vec-normalize-pickle"], range(24), Path(sys.argv[1]) / "mutants", read=read)
print(json.dumps([outcome.read, outcome.refused, outcome.failures]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_broken_promises_are_found(name: str, tmp_path: Path) -> None:
    planted, said = PLANTED[name]
    for folder in ("sound", "mutants"):
        (tmp_path / folder).mkdir()
    KINDS["vec-normalize-pickle"].prepare(tmp_path / "sound")

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{planted}", planted), str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    read, refused, failures = json.loads(done.stdout)
    assert refused > 0
    if name == "nothing":
        assert (read + refused, failures) == (24, [])
    else:
        assert read == 0
        assert all(said in failure for failure in failures)
        assert failures


@pytest.mark.parametrize("name", KINDS)
def test_a_mutant_is_the_same_every_time_and_differs_from_the_next(
    name: str, tmp_path: Path
) -> None:
    kind = KINDS[name]
    place = tmp_path / Path(kind.file).name
    written = []

    for seed in (1, 1, *range(2, 7)):
        kind.damage(tmp_path, seed)
        written.append(place.read_bytes())

    assert written[0] == written[1]
    assert len(set(written)) > 3


def test_most_damage_changes_the_file() -> None:
    data = (FIXTURES / "sb_ppo2_mlp_cartpole" / "model.pkl").read_bytes()

    changed = sum(damaged(data, np.random.default_rng(seed)) != data for seed in range(100))

    assert changed > 80
