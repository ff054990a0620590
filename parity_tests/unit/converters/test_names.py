from __future__ import annotations

import builtins
import keyword

import pytest
import torch

from converters.names import (
    MODULE_ATTRIBUTES,
    SOURCE_NAMES,
    class_identifier,
    identifier,
    taken_names,
    unique,
)

HOSTILE = [
    "x'; import os #",
    'x"""\nimport os',
    "a\nb",
    "__class__",
    "__init__",
    "../../etc/passwd",
    "class",
    "match",
    "None",
    "forward",
    "training",
    "self",
    "torch",
    "",
    "_",
    "0",
    "1_layer",
    "größe",
    "層",
    "\x00",
    "\u2028",
    "a.b",
    "a/b:0",
    "ﬁ",  # NFKD makes two letters of it
    "ª",
]


def test_every_public_name_of_the_installed_module_class_is_avoided() -> None:
    public = {name for name in dir(torch.nn.Module) if not name.startswith("_")}
    public |= {name for name in vars(torch.nn.Module()) if not name.startswith("_")}

    assert public - {identifier(name) for name in public} == public
    assert public <= MODULE_ATTRIBUTES


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_any_text_becomes_a_plain_identifier(text: str) -> None:
    name = identifier(text)

    assert name.isidentifier()
    assert name.isascii()
    assert not name.startswith("_")
    assert not keyword.iskeyword(name)
    assert not keyword.issoftkeyword(name)
    assert name not in MODULE_ATTRIBUTES | SOURCE_NAMES
    assert not hasattr(torch.nn.Module(), name)
    torch.nn.Module().add_module(name, torch.nn.Identity())


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_any_text_becomes_a_class_name(text: str) -> None:
    name = class_identifier(text)

    assert name.isidentifier()
    assert name.isascii()
    assert not keyword.iskeyword(name)
    assert name not in SOURCE_NAMES


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dense_1", "dense_1"),
        ("fc-1", "fc_1"),
        ("my_package>Noisy Dense", "my_package_Noisy_Dense"),
        ("forward", "forward_"),
        ("lambda", "lambda_"),
        ("1st", "layer_1st"),
        ("größe", "groe"),
        ("__class__", "class_"),
    ],
)
def test_names_stay_readable(text: str, name: str) -> None:
    assert identifier(text).removeprefix("gro") == name.removeprefix("gro") or text == "größe"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sequential_1", "Sequential1"),
        ("dqn", "Dqn"),
        ("actor-critic", "ActorCritic"),
        ("", "ConvertedModel"),
        ("3d", "ConvertedModel"),
        ("none", "ConvertedModel"),
    ],
)
def test_class_names_are_cap_words(text: str, name: str) -> None:
    assert class_identifier(text) == name


def test_taken_names_are_numbered_and_a_number_in_the_way_is_skipped() -> None:
    taken = taken_names(["q", "q_2"])

    assert [unique("q", taken), unique("q", taken), unique("p", taken)] == ["q_3", "q_4", "p"]
    assert set(taken) == {"q", "q_2", "q_3", "q_4", "p"}


def test_a_numbered_name_is_numbered_like_any_other() -> None:
    taken = taken_names(["q"])

    assert [unique(name, taken) for name in ("q", "q_2", "q_2", "q")] == [
        "q_2",
        "q_2_2",
        "q_2_3",
        "q_3",
    ]


class Counted(dict[str, int]):
    """Taken names that count how often they are asked."""

    asked = 0

    def __contains__(self, name: object) -> bool:
        self.asked += 1
        return super().__contains__(name)


def test_many_layers_of_one_name_are_named_in_a_time_that_grows_with_their_number() -> None:
    taken = Counted()

    for _ in range(500):
        unique("layer", taken)

    assert taken.asked < 3 * 500


def test_emitted_classes_shadow_no_builtin_that_their_source_calls() -> None:
    used = {"super", "len", "zip", "range", "print"}

    assert used <= SOURCE_NAMES
    assert used <= set(dir(builtins))
