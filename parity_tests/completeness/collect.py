"""What Keras's own tests try, as data: layers, operations and models, with the shapes, types and values of their inputs.

The test files of the installed Keras are run while every outermost call of a layer or operation and every functional or
sequential model is taken down; `run_layer_test`, which most tests of layers consist of, only takes down what it is
given. Nothing of them is copied, and a newer Keras brings its new cases along.
"""
# TensorFlow and Keras have no types

from __future__ import annotations

import importlib
import sys
import unittest
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

from parity_tests.completeness.cases import LayerCase
from parity_tests.completeness.recorder import Recorder

FOLDERS = ("activations", "layers", "legacy", "models", "ops", "saving")
SKIPPED = ("test_for_functional_in_sequential",)
"""Tests of networks of keras.applications, which have a run of their own."""
MAX_MISSING = 5
"""Packages that a test file may miss; the ones of Keras 3.15.1 miss two at most."""


def collect_cases(*only: str) -> list[LayerCase]:
    """Return the cases of the installed Keras's tests, in the order of their files, each once.

    Args:
        only: parts of paths below keras/src ("core/dense"); none: all files of `FOLDERS`.
    """
    import keras

    root = Path(str(keras.__file__)).parent / "src"
    cases: dict[int, LayerCase] = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*_test.py")):
            place = path.relative_to(root).as_posix()
            if not only or any(part in place for part in only):
                for case in _collect_file(place):
                    cases.setdefault(case.key, case)
    return list(cases.values())


def _collect_file(place: str) -> list[LayerCase]:
    import keras

    cases: list[LayerCase] = []
    module = _import_tests("keras.src." + place.removesuffix(".py").replace("/", "."))
    for test in _tests(unittest.defaultTestLoader.loadTestsFromModule(module)):
        if test.id().endswith(SKIPPED):
            continue
        name = f"{place} {test.id().rsplit('.', 1)[-1]}"
        recorder = Recorder(name)
        # Many tests draw values: the same in every run, whichever files run before.
        keras.utils.set_random_seed(zlib.crc32(name.encode()))
        with recorder.watching():
            test.run(unittest.TestResult())  # what the test checks otherwise is not of interest
        cases += recorder.cases
    return cases


def _import_tests(name: str) -> ModuleType:
    """Return a module of tests; packages that only its checks need (scipy, grain) may be missing."""
    missing: dict[str, mock.MagicMock] = {}
    while len(missing) < MAX_MISSING:
        try:
            with mock.patch.dict(sys.modules, missing):
                return importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing[str(error.name)] = mock.MagicMock()
    msg = f"{name} needs more than {MAX_MISSING} packages that are not installed: {sorted(missing)}"
    raise ImportError(msg)


def _tests(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from _tests(part)
        else:
            yield part
