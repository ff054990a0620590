"""The command as it is typed: exit codes, one clear line, nothing imported that is not needed."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import torchward
from converters.registry import LAYERS
from parity_tests import FIXTURES

REPOSITORY = Path(__file__).parents[2]
CASE = FIXTURES / "k315_mlp_named"
RECURRENT = CASE.parent / "k315_gru_policy" / "model.weights.h5"
MODEL = str(CASE / "model.keras")


def run(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, list[str]]:
    """Return exit code, standard output and the lines on standard error."""
    code = torchward.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()


def test_converting_prints_what_was_done_and_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "m.pth"

    code, out, err = run("convert", MODEL, "-o", output, capsys=capsys)

    assert (code, err) == (0, [])
    assert "Dense" in out
    assert "fc1.weight" in out
    assert "transposed" in out
    assert "torchward verify" in out
    assert output.exists()


def test_json_output_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["convert", MODEL, "-o", str(tmp_path / "m.pth"), "--json"],
        ["inspect", MODEL, "--json"],
        ["verify", MODEL, str(tmp_path / "m.pth"), "--json"],
        ["support", "--json"],
    ):
        code, out, _ = run(*command, capsys=capsys)

        assert code == 0
        assert isinstance(json.loads(out), dict)


def test_quiet_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run("convert", MODEL, "-o", tmp_path / "m.pth", "--quiet", capsys=capsys)

    assert (code, out, err) == (0, "", [])


def test_all_lists_every_tensor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run("convert", MODEL, "-o", tmp_path / "m.pth", "--all", capsys=capsys)

    for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "q_values.weight"):
        assert name in out


@pytest.mark.parametrize(
    "arguments",
    [["convert"], ["no_such_command"], ["convert", "m.h5", "--bogus"], ["support", "bogus"], []],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, _ = run(*arguments, capsys=capsys)

    assert code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convert"], "Missing argument 'FILE'"),
        (["cnvert", "m.h5"], "Did you mean 'convert'?"),
        (["convert", MODEL, "--bogus"], "No such option: --bogus"),
        (["convert", MODEL, "--jobs", "2"], "--jobs is for a folder"),
        (["convert", MODEL, "--map", "names.toml"], "--map: without a meaning without --into"),
        (["convert", MODEL, "--format", "bogus"], "no output format 'bogus'"),
        (["convert", MODEL, "--input-layout", "bogus"], "no input layout 'bogus'"),
        (["convert", MODEL, "--to", "bogus"], "'bogus' is no library"),
        (["convert", MODEL, "--rules", "bogus"], "no module named 'bogus'"),
        (["convert", MODEL, "--into", "bogus"], "does not name a class"),
        (["convert", MODEL, "--set", "a=1"], "is no agent of an RL library"),
        (["convert", MODEL, "--outputs", "a"], "holds no graph of TensorFlow"),
        (["convert", ""], "an argument is empty"),
        (["verify", MODEL, "m.pth", "--tolerance", "nan"], "--tolerance takes a number"),
        (["verify", MODEL, "m.pth", "--tolerance", "-1"], "-1.0 is not in the range"),
        (["verify", MODEL, "m.pth", "--obs", "12"], "are for a module of your own"),
        (["train", "dqn", "--set", "gamma=x"], "--set gamma=x: needed a number, such as 0.95"),
        (["train", "--alg", "bogus"], "invalid choice: 'bogus'"),
        (["train", "ur", "--games", "x"], "invalid int value: 'x'"),
    ],
    ids=lambda value: (
        " ".join(Path(part).name for part in value) if isinstance(value, list) else ""
    ),
)
def test_wrong_usage_is_one_line_and_a_hint(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    code, out, err = run(*arguments, capsys=capsys)

    assert (code, out) == (2, "")
    assert err[0].startswith("error: ")
    assert words in err[0]
    assert all(line.startswith("hint: ") for line in err[1:])
    assert len(err) <= 2
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_is_json_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run("convert", MODEL, "--bogus", "--json", capsys=capsys)

    assert code == 2
    assert json.loads(err[0])["hint"] == "torchward convert --help"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(["convert", "-o"], "torchward convert --help"), (["--bogus"], "torchward --help")],
    ids=["no value", "no command"],
)
def test_the_hint_names_the_help_of_the_command(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, err = run(*arguments, capsys=capsys)

    assert err[1] == f"hint: {hint}"


def test_nothing_is_written_through_a_link(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.pth"
    kept.write_bytes(b"kept")
    link = tmp_path / "latest.pth"
    link.symlink_to(kept)

    code, _, err = run("convert", MODEL, "-o", link, "--force", capsys=capsys)

    assert code == 6
    assert "is a link to" in err[0]
    assert link.is_symlink()
    assert kept.read_bytes() == b"kept"


def test_outputs_are_named_by_the_paths_that_were_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code_file = tmp_path / "source.py"

    _, out, _ = run("convert", MODEL, "-o", tmp_path, "--source-code", code_file, capsys=capsys)

    assert f"wrote           {tmp_path / 'model.pth'}   " in out
    assert f"                {code_file}   the module as source" in out


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.py"])
def test_the_name_of_a_format_that_is_not_written_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run("convert", MODEL, "-o", tmp_path / name, capsys=capsys)

    assert code == 4
    assert "nothing is converted to" in err[0]
    assert list(tmp_path.iterdir()) == []


def test_one_name_for_two_outputs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "m.pth"

    code, _, err = run("convert", MODEL, "-o", output, "--source-code", output, capsys=capsys)

    assert code == 6
    assert err[0].endswith("is named for two outputs")
    assert not output.exists()


def test_files_in_each_others_place_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, legacy = tmp_path / "m.pth", CASE.parent / "tf215_dqn_seed" / "model.h5"
    run("convert", legacy, "-o", output, capsys=capsys)

    swapped = run("verify", output, legacy, capsys=capsys)
    twice = run("verify", legacy, legacy, capsys=capsys)

    assert (swapped[0], twice[0]) == (3, 3)
    assert "is a file of PyTorch already" in swapped[2][0]
    assert "is a legacy file (HDF5), not a converted one" in twice[2][0]


def test_arrays_that_are_no_archive_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, expected = tmp_path / "m.pth", tmp_path / "expected.npz"
    run("convert", MODEL, "-o", output, capsys=capsys)
    expected.write_text("no archive")

    code, _, err = run("verify", MODEL, output, "--expected", expected, capsys=capsys)

    assert (code, err) == (3, [f"error: {expected}: is no .npz of recorded arrays"])


def test_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version", capsys=capsys) == (0, f"torchward {version('torchward')}\n", [])


def test_missing_or_damaged_input_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))

    for name in ("nowhere.h5", "damaged.h5"):
        for command in ("inspect", "convert"):
            code, out, err = run(command, tmp_path / name, capsys=capsys)

            assert (code, out) == (3, "")
            assert err[0].startswith(f"error: {name}: ")
            assert len(err) <= 2


def test_file_without_its_architecture_ends_with_4_and_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run("convert", RECURRENT, "-o", tmp_path / "m.pth", capsys=capsys)

    assert (code, out) == (4, "")
    assert err[0].startswith("error: model.weights.h5: ")
    assert err[1].startswith("hint: ")
    assert "--architecture" in err[1]
    assert list(tmp_path.iterdir()) == []


def test_plain_stack_without_its_architecture_converts_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(
        "convert", CASE / "model.weights.h5", "-o", tmp_path / "m.pth", capsys=capsys
    )

    assert code == 0
    assert "warning         assumed, because the file has weights only: relu after" in out


def test_failed_verification_ends_with_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "m.pth"
    run("convert", MODEL, "-o", output, capsys=capsys)
    assert run("verify", MODEL, output, "--expected", CASE / "expected.npz", capsys=capsys)[0] == 0
    stored = torch.load(output, weights_only=True)
    stored["model_state_dict"]["fc1.bias"][0] += 1
    torch.save(stored, output)

    code, out, err = run("verify", MODEL, output, capsys=capsys)

    assert code == 5
    assert "FAIL" in out
    assert err[0].startswith("error: ")
    assert "fc1.bias" in err[0]


def test_existing_output_ends_with_6_and_force_replaces_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "m.pth"
    output.write_text("mine")

    code, _, err = run("convert", MODEL, "-o", output, capsys=capsys)
    assert code == 6
    assert err[1].startswith("hint: add --force")
    assert output.read_text() == "mine"

    assert run("convert", MODEL, "-o", output, "--force", capsys=capsys)[0] == 0


def test_errors_are_json_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run("inspect", tmp_path / "nowhere.h5", "--json", capsys=capsys)

    assert (code, out) == (3, "")
    assert set(json.loads(err[0])) == {"error", "hint"}


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="nowhere"):
        torchward.main(["inspect", str(tmp_path / "nowhere.h5"), "--debug"])


def test_names_from_files_cannot_move_the_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evil\x1b[2J\n\u202e.h5"
    path.write_bytes(b"no model")

    _, out, err = run("inspect", path, capsys=capsys)

    text = out + "".join(err)
    assert "evil" in text
    assert text.isprintable()


def test_format_follows_the_outputs_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("convert", MODEL, "-o", tmp_path / "m.safetensors", capsys=capsys)

    data = (tmp_path / "m.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert "__metadata__" in header


def test_support_lists_what_the_registries_hold(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run("support", "layers", capsys=capsys)

    assert "  Dense" in out.splitlines()
    assert "Adam" not in out


def test_unknown_name_of_the_api_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        torchward.no_such_name  # noqa: B018  # looking it up is what is tested


@pytest.mark.slow
def test_help_and_inspect_import_no_framework(tmp_path: Path) -> None:
    script = (
        "import sys, torchward\n"
        "codes = [torchward.main(arguments) for arguments in "
        f"(['--help'], ['inspect', {MODEL!r}], ['support'], "
        f"['convert', {MODEL!r}, '-o', 'm.pth'], ['convert', {MODEL!r}, '-o', 'm.safetensors'])]\n"
        "found = {'torch', 'tensorflow', 'keras', 'tf_keras', 'h5py'} & set(sys.modules)\n"
        "sys.exit(f'{codes} {found}' if any(codes) or found else 0)\n"
    )

    child = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "", "TERM": "dumb"},
    )

    assert child.returncode == 0, child.stderr


def test_other_package_of_our_name_in_the_working_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("")

    child = subprocess.run(
        [sys.executable, "-c", "import sys, torchward; sys.exit(torchward.main(['support']))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
    )

    assert child.returncode == 2
    assert "package 'benchmarks' is taken from" in child.stderr


def test_verify_knows_the_rules_that_convert_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(LAYERS, "Lambda", raising=False)
    Path("rules_for_lambda.py").write_text(
        "from converters.registry import TorchStep, layer\n\n\n"
        '@layer("Lambda")\ndef rule(layer, *shapes):\n    return [TorchStep("F.relu", {})]\n'
    )
    source = CASE.parent / "tf215_dueling_lambda" / "model.keras"

    _, out, _ = run("convert", source, "-o", "m.pth", "--rules", "rules_for_lambda", capsys=capsys)
    step = shlex.split(out.splitlines()[-1])
    LAYERS.pop("Lambda")
    del sys.modules["rules_for_lambda"]  # as in the new process that verify is
    code, out, err = run(*step[2:], capsys=capsys)
    LAYERS.pop("Lambda", None)

    assert step[-1] == "--rules=rules_for_lambda"
    assert (code, err) == (0, [])
    assert "PASS" in out


def test_the_next_step_can_be_typed_whatever_the_file_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "my agent; rm.pth"

    _, out, _ = run("convert", MODEL, "-o", output, capsys=capsys)
    step = shlex.split(out.splitlines()[-1])
    code, _, _ = run(*step[2:], capsys=capsys)

    assert step[:3] == ["next", "torchward", "verify"]
    assert code == 0
