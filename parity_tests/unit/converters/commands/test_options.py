from __future__ import annotations

import pytest
import typer

from converters.commands.options import parse_settings, parse_tensors


def test_settings_are_json_or_text() -> None:
    given = ["units=64", "bias=false", 'sizes=[3, "a"]', "activation=relu", "path=a=b"]

    assert parse_settings(given) == {
        "units": 64,
        "bias": False,
        "sizes": [3, "a"],
        "activation": "relu",
        "path": "a=b",
    }


@pytest.mark.parametrize("setting", ["units", "=3", "two words=3"])
def test_setting_without_a_name_and_a_value_is_refused(setting: str) -> None:
    with pytest.raises(typer.BadParameter, match="--set takes name=value"):
        parse_settings([setting])


def test_tensors_are_a_list_or_all_have_names() -> None:
    assert parse_tensors("--inputs", None) is None
    assert parse_tensors("--inputs", "s:0, a:0") == ["s:0", "a:0"]
    assert parse_tensors("--outputs", "action=mu:0,q=q/out:0") == {"action": "mu:0", "q": "q/out:0"}


@pytest.mark.parametrize("text", ["s:0,", "action=mu:0,q:0", "action="])
def test_tensors_with_and_without_names_do_not_mix(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="--outputs takes tensors"):
        parse_tensors("--outputs", text)
