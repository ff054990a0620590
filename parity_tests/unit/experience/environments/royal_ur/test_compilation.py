from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experience.environments.royal_ur.compilation import is_compiled

ROOT = Path(__file__).parents[5]
SAMPLES = """
import sys
if {blocked}:
    sys.modules["numba"] = None
import hashlib
from experience.environments.royal_ur.compilation import is_compiled
from experience.environments.royal_ur.generation import generate_samples
from experience.environments.royal_ur.matches import play_match
from experience.environments.royal_ur.network_players import network_player
from experience.environments.royal_ur.players import make_player
digest = hashlib.sha256()
for mode, depth in (("corrected", 2), ("faithful", 1)):
    samples = generate_samples(1, depth=depth, workers=1, mode=mode)
    for name in ("features", "value_target", "policy_target"):
        digest.update(getattr(samples, name).tobytes())
bonuses = network_player(None, bonuses="only")
for opponent in (make_player("random"), make_player("emm-1"), make_player("heuristic")):
    digest.update(str(play_match(bonuses, opponent, 6)).encode())
print(is_compiled(), digest.hexdigest())
"""


def run_samples(environment: dict[str, str], *, blocked: bool = False) -> tuple[bool, str]:
    """Return whether a new process ran compiled, and the checksum of what it computed."""
    result = subprocess.run(
        [sys.executable, "-c", SAMPLES.format(blocked=blocked)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    compiled, digest = result.stdout.split()
    return compiled == "True", digest


@pytest.mark.slow
def test_python_without_numba_computes_the_same_to_the_last_bit() -> None:
    pytest.importorskip("numba")

    compiled = run_samples({})
    plain = run_samples({}, blocked=True)

    assert compiled == (True, plain[1])
    assert plain == (False, compiled[1])


@pytest.mark.slow
def test_it_works_where_no_folder_can_be_written(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    (tmp_path / "file").write_text("")
    script = (
        "from experience.environments.royal_ur.rules import find_moves, make_state\n"
        "print(find_moves(make_state(roll=1)).tolist())"
    )
    blocked = str(tmp_path / "file")  # a file in place of a folder

    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "XDG_CACHE_HOME": blocked, "HOME": blocked},
    )  # fmt: skip

    assert result.stdout.strip() == "[0, 1, 2, 3, 4, 5, 6]"


def test_constants_samples_and_files_need_no_numba() -> None:
    script = (
        "import sys\n"
        "import experience.environments.royal_ur.board\n"
        "import experience.environments.royal_ur.data_files\n"
        "import experience.environments.royal_ur.workers\n"
        "print('numba' in sys.modules)"
    )

    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "False"


def test_the_state_of_compilation_is_told() -> None:
    try:
        import numba
    except ImportError:
        assert not is_compiled()
    else:
        assert is_compiled() == (not numba.config.DISABLE_JIT)
