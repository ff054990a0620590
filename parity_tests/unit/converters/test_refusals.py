from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

import converters.layers  # noqa: F401  # fills LAYERS
from converters.errors import UnsupportedError
from converters.refusals import NOT_LAYERS, REFUSED
from converters.registry import LAYERS, find_layer_rule


@pytest.fixture(scope="module")
def keras_layers() -> set[str]:
    """Return the names that configurations store for the classes of keras.layers."""
    keras: Any = pytest.importorskip("keras")
    found = [getattr(keras.layers, name) for name in dir(keras.layers)]
    classes = [value for value in found if isinstance(value, type)]
    own = {"GroupedQueryAttention": "GroupQueryAttention"}  # stored by the exported name
    return {own.get(value.__name__, value.__name__) for value in classes}


@pytest.mark.tf
def test_every_layer_of_keras_has_a_rule_or_a_reason(keras_layers: set[str]) -> None:
    unknown = keras_layers - set(LAYERS) - set(REFUSED) - set(NOT_LAYERS)

    assert len(keras_layers) > 100
    assert sorted(unknown) == []


@pytest.mark.tf
def test_nothing_is_refused_that_keras_does_not_have(keras_layers: set[str]) -> None:
    operations: Any = pytest.importorskip("keras.src.ops")
    modules = [value for value in vars(operations).values() if isinstance(value, ModuleType)]
    known = keras_layers | {f"ops.{name}" for module in modules for name in dir(module)}

    assert sorted(set(REFUSED) - known) == []


def test_no_layer_has_both_a_rule_and_a_reason_against_one() -> None:
    assert sorted(set(REFUSED) & set(LAYERS)) == []


@pytest.mark.parametrize("name", REFUSED)
def test_reason_is_part_of_the_message(name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        find_layer_rule(name)

    assert REFUSED[name] in str(caught.value)
