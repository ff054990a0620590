from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.processes import Worker, WorkerError, clean_environment, worker_command

STUBBORN = "import sys, time; sys.stdin.readline(); time.sleep(60)"


def test_threads_are_fixed_and_foreign_settings_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")

    environment = clean_environment(3)

    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["TF_NUM_INTRAOP_THREADS"] == "3"
    assert "TF_ENABLE_ONEDNN_OPTS" not in environment


def test_a_worker_without_an_answer_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STUBBORN]
    with Worker(clean_environment(1), tmp_path / "log", command=command) as worker:
        worker.send(do="turn", key="x")

        with pytest.raises(WorkerError, match="no answer within 0 s"):
            worker.receive(timeout_s=0.2)


def test_the_real_worker_keeps_noise_out_of_its_answers(tmp_path: Path) -> None:
    module = tmp_path / "noisy_subject.py"
    module.write_text(
        "import os\n"
        "from benchmarks.subjects import Prepared\n"
        "class Noisy:\n"
        "    def prepare(self, task):\n"
        "        print('hello from Python')\n"
        "        os.write(1, b'hello from C\\n')\n"
        "        return Prepared(lambda count: None, details={'task': task})\n"
    )
    environment = clean_environment(1)
    environment["PYTHONPATH"] += f":{tmp_path}"
    request = {"subject": "noisy_subject:Noisy", "options": {}, "task": "updates", "turn_s": 0.0}
    with Worker(environment, tmp_path / "log") as worker:
        opened = worker.ask(do="open", key="a", operations=4, **request)
        turn = worker.ask(do="turn", key="a")
        memory = worker.ask(do="memory")

    assert opened == {"details": {"task": "updates"}}
    assert turn["operations"] == 4
    assert 1e6 < memory["bytes"] < 1e9
    assert "hello from Python" in (tmp_path / "log").read_text()
    assert "hello from C" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("no_such_module_here:X", "No module named 'no_such_module_here'"),
        ("benchmarks.subjects:Nothing", "has no attribute 'Nothing'"),
    ],
    ids=["module", "class"],
)
def test_a_failure_is_an_answer_of_one_line(subject: str, message: str, tmp_path: Path) -> None:
    with Worker(clean_environment(1), tmp_path / "log") as worker:
        with pytest.raises(WorkerError) as caught:
            worker.ask(do="load", subject=subject, options={})

        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert worker.ask(do="memory")["bytes"] > 0  # it goes on


def test_the_worker_is_found_from_a_folder_with_other_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    monkeypatch.chdir(tmp_path)

    with Worker(clean_environment(1), tmp_path / "log", command=worker_command()) as worker:
        answer = worker.ask(do="memory")

    assert json.dumps(answer)
    assert answer["bytes"] > 0
