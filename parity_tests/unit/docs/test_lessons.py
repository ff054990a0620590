"""The lesson runs, with and without TensorFlow; its notebook is made of its source; its figures show what they say."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch

from parity_tests.unit.docs.pages import DOCS, run_page

LESSONS = DOCS / "lessons"
SOURCE, NOTEBOOK = LESSONS / "pytorch_for_rl.py", LESSONS / "pytorch_for_rl.ipynb"
FIGURES = ("pytorch_training.png", "xor_boundary.png", "xor_loss.png")
PNG = b"\x89PNG\r\n\x1a\n"
WAIT_S = 900
"""For what takes seconds alone: other processes may leave little of the machine."""


def load_program(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lesson_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


builder = load_program(LESSONS / "build_notebook.py")


def test_the_notebook_is_made_of_its_source() -> None:
    made = builder.build_notebook(SOURCE.read_text(encoding="utf-8"))

    assert NOTEBOOK.read_text(encoding="utf-8") == made, "run docs/lessons/build_notebook.py"


def test_cells_are_code_and_text() -> None:
    source = "# %% [markdown]\n# # Title\n#\n# text\n\n# %%\n# a comment\nx = 1\n"

    assert builder.read_cells(source) == [
        ("markdown", "# Title\n\ntext"),
        ("code", "# a comment\nx = 1"),
    ]


def test_text_that_is_no_comment_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2"):
        builder.read_cells("# %% [markdown]\ntext\n")


def test_the_notebook_is_valid() -> None:
    nbformat = pytest.importorskip("nbformat")

    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))


@pytest.mark.slow
@pytest.mark.tf
# ipykernel and zmq talk over an event loop that warns on its way out; the cells themselves run in another process.
@pytest.mark.filterwarnings("default")
def test_every_cell_of_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    # What is left unsaid for `iopub_timeout` is dropped without an error; 4 seconds are too few on a loaded machine.
    patience = {"timeout": WAIT_S, "startup_timeout": WAIT_S, "iopub_timeout": WAIT_S}
    nbclient.NotebookClient(
        notebook, **patience, resources={"metadata": {"path": tmp_path}}
    ).execute()

    said = [
        output["text"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.get("name") == "stdout"
    ]
    assert any("Resumed from epoch 100" in text for text in said)
    assert any("Keras after 100 epochs" in text for text in said)
    assert [(tmp_path / name).read_bytes()[:8] for name in FIGURES] == [PNG] * 3


class Lesson(NamedTuple):
    """What a run of the source left behind."""

    names: dict[str, Any]
    figures: list[Any]
    folder: Path


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    """Run the source where TensorFlow is not found."""
    pytest.importorskip("matplotlib")
    import matplotlib as mpl

    backend = mpl.get_backend()
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    find, generator = importlib.util.find_spec, torch.get_rng_state()
    folder = tmp_path_factory.mktemp("lesson")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: None if name in ("tensorflow", "keras") else find(name, *rest),
        )
        patch.chdir(folder)
        patch.setattr(plt, "show", lambda: None)
        names = runpy.run_path(str(SOURCE))
    torch.set_rng_state(generator)
    yield Lesson(names, [plt.figure(number) for number in plt.get_fignums()], folder)
    plt.close("all")
    mpl.use(backend)


@pytest.mark.slow
def test_the_lesson_runs_without_tensorflow(lesson: Lesson) -> None:
    assert not lesson.names["KERAS"]
    assert "tf" not in lesson.names
    assert lesson.names["learnt"] == (pytest.approx(1.82, abs=0.01), pytest.approx(2.74, abs=0.01))


@pytest.mark.slow
def test_the_figures_are_labelled(lesson: Lesson) -> None:
    training, xor_loss, xor_boundary = lesson.figures
    left, right = training.axes

    assert training.get_size_inches().tolist() == [10, 4]
    assert (left.get_title(), left.get_xlabel(), left.get_ylabel()) == (
        "Training Loss",
        "Epoch",
        "Loss",
    )
    assert (right.get_title(), right.get_xlabel(), right.get_ylabel()) == ("Fitted Line", "x", "y")
    assert len(left.lines[0].get_xdata()) == 100
    assert right.lines[0].get_xdata()[[0, -1]].tolist() == [-3, 3]
    assert right.get_legend() is not None
    assert xor_loss.axes[0].get_ylabel() == "Loss"
    assert xor_boundary.axes[0].get_title() == "XOR: Decision Boundary"


@pytest.mark.slow
def test_files_of_the_lesson_are_plain_checkpoints(
    lesson: Lesson,
) -> None:
    assert torch.load(lesson.folder / "checkpoint.pth", weights_only=True)["epoch"] == 100
    state = torch.load(lesson.folder / "q_network.pth", weights_only=True)
    lesson.names["QNetwork"](4, 2).load_state_dict(state)


def test_the_page_of_the_lesson_shows_what_happens() -> None:
    run_page(LESSONS / "README.md")


@pytest.mark.parametrize("name", FIGURES)
def test_stored_figures_are_images_of_the_page(name: str) -> None:
    page = (LESSONS / "README.md").read_text(encoding="utf-8")

    assert f"(figures/{name})" in page
    assert (LESSONS / "figures" / name).read_bytes()[:8] == PNG


def practice(name: str) -> Any:
    return load_program(LESSONS / "practice" / f"{name}.py")


def test_three_ways_of_linear_regression_agree() -> None:
    program = practice("linear_regression")
    x, y = program.make_data()

    by_hand, by_autograd, exact = (
        f(x, y) for f in (program.fit_by_hand, program.fit_by_autograd, program.solve)
    )

    torch.testing.assert_close(by_hand, by_autograd)
    torch.testing.assert_close(by_hand, exact)
    torch.testing.assert_close(exact, torch.tensor([2.0, -1.0, 0.5]).double(), atol=0.03, rtol=0)


@pytest.mark.slow
def test_a_bottleneck_passes_a_plane_and_no_noise() -> None:
    program = practice("autoencoder")

    _, plane = program.train(program.make_plane(64), steps=300)
    _, noise = program.train(program.make_noise(64), steps=300)

    assert plane < 0.02
    assert noise > 0.2


@pytest.mark.slow
def test_slopes_and_closed_units_are_those_of_the_formulas() -> None:
    program = practice("activations")
    make = program.ACTIVATIONS

    assert program.slope(make["sigmoid"](), 0.0) == pytest.approx(0.25)
    assert program.slope(make["tanh"](), 0.0) == pytest.approx(1.0)
    assert program.slope(make["leaky relu"](), -5.0) == pytest.approx(0.01)
    # P(N(-2, 1) < 0) = 0.97725
    assert program.closed_share(make["relu"]()) == pytest.approx(0.977, abs=0.005)
    assert program.closed_share(make["leaky relu"]()) == 0
    assert all(program.learn_sine(function, steps=200) < 0.1 for function in make.values())


def test_a_gpu_pays_from_the_first_size_behind_which_it_always_wins() -> None:
    program = practice("device_profile")
    times = {
        32: {"cpu": 1.0, "cuda": 3.0},
        128: {"cpu": 2.0, "cuda": 1.0},
        512: {"cpu": 9.0, "cuda": 1.0},
    }

    assert program.first_gain(times) == 128
    assert program.first_gain({**times, 512: {"cpu": 1.0, "cuda": 2.0}}) is None
    assert program.first_gain({32: {"cpu": 1.0}}) is None


def test_the_profile_has_a_line_a_size(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = practice("device_profile")
    monkeypatch.setattr(sys, "argv", ["device_profile.py", "--sizes", "2,3"])

    program.main()

    assert [line.split(" x ")[0].strip() for line in capsys.readouterr().out.splitlines()[:2]] == [
        "2",
        "3",
    ]


def test_a_changed_notebook_is_noticed() -> None:
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    stored["cells"][1]["source"][0] = "import os\n"

    assert json.dumps(stored, indent=1) + "\n" != builder.build_notebook(SOURCE.read_text("utf-8"))
