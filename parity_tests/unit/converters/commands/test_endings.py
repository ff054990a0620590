"""How commands end when something is missing, full, closed or interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import torchward
from converters.commands.endings import EXTRAS
from parity_tests import FIXTURES

REPOSITORY = Path(__file__).parents[4]
CASE = FIXTURES / "k315_mlp_named"
MODEL = str(CASE / "model.keras")


def run(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, list[str]]:
    """Return exit code, standard output and the lines on standard error."""
    code = torchward.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()


def test_an_error_that_nobody_foresaw_is_one_line_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        msg = "first line\nsecond line"
        raise LookupError(msg)

    monkeypatch.setattr("converters.convert.plan_conversion", fail)

    code, out, err = run("convert", MODEL, "-o", tmp_path / "m.pth", capsys=capsys)

    assert (code, out) == (1, "")
    assert err[0].startswith("error: LookupError: first line second line (test_endings.py, line ")
    assert err[1:] == ["hint: --debug shows the whole traceback"]


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            [
                "error: this needs the package torch, which is not installed",
                "hint: pip install 'torchward'",
            ],
        ),
        (
            ModuleNotFoundError("No module named 'keras.src'", name="keras.src"),
            2,
            [
                "error: this needs the package keras, which is not installed",
                "hint: pip install 'torchward[legacy]'",
            ],
        ),
        (ImportError("curves need the package x"), 2, ["error: curves need the package x"]),
        (ModuleNotFoundError("No module named 'mine'", name="mine"), 1, None),
        (ImportError("cannot import name 'x'", name="converters.convert"), 1, None),
    ],
    ids=["torch", "a part of Keras", "said by us", "the user's own", "a fault of ours"],
)
def test_missing_package_is_named_with_what_to_type(
    error: ImportError,
    code: int,
    lines: list[str] | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("converters.convert.plan_conversion", fail)

    found, _, err = run("convert", MODEL, "-o", tmp_path / "m.pth", capsys=capsys)

    assert found == code
    assert err == lines if lines else err[-1] == "hint: --debug shows the whole traceback"


def test_every_extra_that_is_named_exists() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert set(EXTRAS.values()) - {""} <= set(project["optional-dependencies"])


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_reader_that_went_away_is_no_error(unbuffered: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "torchward", "support"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "", "PYTHONUNBUFFERED": unbuffered},
    )
    assert child.stdout is not None
    child.stdout.close()  # long before the command has been imported

    _, errors = child.communicate()

    assert (child.returncode, errors) == (0, b"")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_under_the_output_ends_with_6() -> None:
    with Path("/dev/full").open("w") as full:
        child = subprocess.run(
            [sys.executable, "-m", "torchward", "support"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        )

    assert child.returncode == 6
    assert child.stderr == "error: standard output: cannot be written: No space left on device\n"


def test_interrupt_ends_with_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("converters.convert.plan_conversion", interrupt)

    assert run("convert", MODEL, "-o", tmp_path / "m.pth", capsys=capsys)[0] == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">&-", 0), ("2>&-", 0), (">/dev/full", 6)],
    ids=["out", "err", "full"],
)
def test_a_stream_that_takes_nothing_is_no_traceback(
    redirection: str, code: int, tmp_path: Path
) -> None:
    command = f'"{sys.executable}" -m torchward inspect "{MODEL}" {redirection}'

    done = subprocess.run(  # noqa: S602  # redirections are the shell's
        command, shell=True, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_names_that_the_terminal_has_no_letters_for_are_shown_by_number(tmp_path: Path) -> None:
    source = tmp_path / "agént.keras"
    source.write_bytes(Path(MODEL).read_bytes())

    done = subprocess.run(
        [sys.executable, "-m", "torchward", "inspect", source],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "ag\\xe9nt.keras" in done.stdout
