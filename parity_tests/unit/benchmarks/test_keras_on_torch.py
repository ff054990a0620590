"""Keras on torch beside converted networks: it computes the same from the same file, and its absence is a reason."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from benchmarks.processes import Processes, process_name
from benchmarks.processes import Worker as Process
from benchmarks.settings import Settings
from benchmarks.subjects import MissingExtraError
from benchmarks.subjects.converted import DIFFERENCE, build_converted
from benchmarks.subjects.keras_on_torch import import_keras, write_model_file
from benchmarks.variants import VARIANTS
from benchmarks.worker import Worker
from converters.convert import convert
from converters.live.load import load

VARIANT = VARIANTS["keras-torch"]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with Processes(Settings(), tmp_path_factory.mktemp("logs")) as processes:
        yield processes.of(VARIANT)


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize(
    "task", ["dqn train 2", "lstm train 2", "transformer forward 1", "resnet forward 1"]
)
def test_keras_computes_what_is_timed_beside_it(process: Process, task: str) -> None:
    options = Settings().options(VARIANT)
    asked = {"key": task, "subject": VARIANT.subject, "options": options, "task": task}

    details = process.ask(do="open", turn_s=0.0, operations=1, **asked)["details"]

    assert 0 < float(details[DIFFERENCE]) < 5e-6
    assert process.ask(do="turn", key=task)["operations"] == 1


@pytest.mark.tf
@pytest.mark.slow
def test_the_file_that_keras_loads_converts_to_the_network_that_is_timed(tmp_path: Path) -> None:
    import keras  # whatever its backend: the file says nothing about it

    convert(write_model_file(keras, "lstm", tmp_path), tmp_path / "converted.pth")

    found = load(tmp_path / "converted.pth").state_dict()
    wanted = build_converted("lstm").state_dict()
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_keras_has_a_process_of_its_own() -> None:
    for shared in (True, False):
        settings = Settings(shared=shared)
        others = {process_name(each, settings) for each in VARIANTS.values() if each != VARIANT}

        assert process_name(VARIANT, settings) not in others


def test_missing_keras_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # so that it is as before afterwards
    monkeypatch.setitem(sys.modules, "keras", None)

    answer = Worker().answer({"do": "load", "subject": VARIANT.subject, "options": {"threads": 1}})

    assert answer == {"missing": "keras is not installed: pip install 'torchward[legacy]'"}


def test_keras_without_a_torch_backend_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = ModuleType("keras")
    vars(keras).update(__version__="2.15.0", backend=SimpleNamespace(backend=lambda: "tensorflow"))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setitem(sys.modules, "keras", keras)

    with pytest.raises(MissingExtraError, match=r"found Keras 2\.15\.0 on tensorflow"):
        import_keras()
