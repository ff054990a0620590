"""Which legacy layer fills which module: by name, by table, by shape; never by guess."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from torch import nn

from converters.checkpoint import ArrayInfo
from converters.errors import AmbiguousTargetError, MismatchError
from converters.into.match import LegacyLayer, Matching, match_layers
from converters.into.names import NameTable, parse_names
from converters.into.places import find_places


def legacy(name: str, **shapes: tuple[int, ...]) -> LegacyLayer:
    arrays = {
        role.removeprefix("v"): ArrayInfo(
            f"{name}/{role}", shape, np.dtype("float32"), lambda shape=shape: np.zeros(shape)
        )
        for role, shape in shapes.items()
    }
    return LegacyLayer(name, arrays)


def matched(
    layers: list[LegacyLayer], module: nn.Module, table: NameTable | None = None
) -> Matching:
    return match_layers(layers, find_places(module), table or NameTable())


def sources(found: Matching) -> dict[str, str]:
    return {key: "" if f.array is None else f.array.name for key, f in found.fillings.items()}


def chain(*widths: int) -> nn.Sequential:
    return nn.Sequential(*[nn.Linear(a, b) for a, b in itertools.pairwise(widths)])


def test_layers_that_fit_one_module_each_are_matched_in_any_order() -> None:
    layers = [legacy("b", v0=(5, 2), v1=(2,)), legacy("a", v0=(4, 5), v1=(5,))]

    found = matched(layers, chain(4, 5, 2))

    assert sources(found)["0.weight"] == "a/v0"
    assert sources(found)["1.bias"] == "b/v1"


def test_kernel_of_a_linear_is_transposed_even_if_it_is_square() -> None:
    found = matched([legacy("a", kernel=(4, 4), bias=(4,))], chain(4, 4))

    assert found.fillings["0.weight"].layout == "in out -> out in"


def test_two_layers_of_the_same_shapes_are_refused_with_their_candidates() -> None:
    layers = [legacy(name, kernel=(6, 6), bias=(6,)) for name in ("hidden_1", "hidden_2")]

    with pytest.raises(AmbiguousTargetError, match=r"hidden_1.* -> 0 or 1") as caught:
        matched(layers, chain(6, 6, 6))

    assert "--map" in str(caught.value.hint)


def test_what_only_one_module_is_left_for_is_not_ambiguous() -> None:
    layers = [legacy(name, kernel=(6, 6), bias=(6,)) for name in ("other", "1")]

    found = matched(layers, chain(6, 6, 6))

    assert sources(found)["0.weight"] == "other/kernel"


def test_layer_of_a_modules_name_that_does_not_fit_it_is_refused() -> None:
    layers = [legacy("0", kernel=(5, 4), bias=(4,))]

    with pytest.raises(MismatchError, match=r"0 \(kernel \(5, 4\).*does not fit"):
        matched(layers, chain(4, 5))


def test_square_matrix_of_an_unknown_module_is_refused() -> None:
    class Mix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(nn.Linear(3, 3).weight.detach())

    with pytest.raises(MismatchError, match="mix"):
        matched([legacy("mix", matrix=(3, 3))], nn.ModuleDict({"mix": Mix()}))
    table = parse_names({"mix/matrix": {"key": "mix.matrix", "layout": "in out -> out in"}})
    found = matched([legacy("mix", matrix=(3, 3))], nn.ModuleDict({"mix": Mix()}), table)
    assert found.fillings["mix.matrix"].layout == "in out -> out in"


def test_module_without_arrays_and_layer_without_module_are_both_listed() -> None:
    with pytest.raises(MismatchError) as caught:
        matched([legacy("extra", kernel=(9, 9), bias=(9,))], chain(4, 5))

    assert "extra" in str(caught.value)
    assert "0 (Linear: weight (5, 4), bias (5,)): no arrays for it" in str(caught.value)


def test_module_that_alone_is_left_may_be_kept() -> None:
    layers, module = [legacy("a", kernel=(4, 5), bias=(5,))], chain(4, 5, 2)

    with pytest.raises(MismatchError) as caught:
        matched(layers, module)

    assert caught.value.hint is not None
    assert 'keep = ["1"]' in caught.value.hint
    assert matched(layers, module, parse_names({"keep": ["1"]})).layers["a"].path == "0"


def test_table_names_layers_leaves_some_out_and_keeps_modules() -> None:
    layers = [
        *[legacy(name, kernel=(6, 6), bias=(6,)) for name in ("hidden_1", "hidden_2")],
        legacy("old", kernel=(2, 9)),
    ]
    table = parse_names({"hidden_1": "1", "hidden_2": "0", "old": "", "keep": ["2"]})

    found = matched(layers, chain(6, 6, 6, 1), table)

    assert sources(found) == {
        "1.weight": "hidden_1/kernel",
        "1.bias": "hidden_1/bias",
        "0.weight": "hidden_2/kernel",
        "0.bias": "hidden_2/bias",
    }
    assert [info.name for info in found.left_out] == ["old/kernel"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"hidden": "3"}, "the module has no '3'"),
        ({"hiden": "0"}, "no layer or array 'hiden'"),
        ({"hidden/kernel": "0.weight"}, "but not bias"),
        ({"hidden/kernel": "0.bias", "hidden/bias": "0.weight"}, "does not fit"),
    ],
    ids=["no such module", "no such layer", "half a layer", "wrong shapes"],
)
def test_table_that_does_not_fit_is_refused(entry: dict[str, object], message: str) -> None:
    table = parse_names(entry, file="my_names.toml")

    with pytest.raises(MismatchError, match=message) as caught:
        matched([legacy("hidden", kernel=(4, 5), bias=(5,))], chain(4, 5), table)

    assert caught.value.hint == "correct them in my_names.toml"
