"""Options that several commands on legacy files have, and how those of the form name=value are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="Legacy file: a model or weights of Keras, a SavedModel folder, a checkpoint or graph of TensorFlow, an agent.",
        show_default=False,
    ),
]
Architecture = Annotated[
    Path | None,
    typer.Option(
        help="For weights alone: the model's configuration (JSON, YAML), or a whole model that has it.",
        show_default=False,
    ),
]
Rules = Annotated[
    list[str] | None,
    typer.Option(help="Module of your own with layer rules; may be repeated.", show_default=False),
]
OwnLayers = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        help="NAME=my_layers.py:Scale, may be repeated: your own module or function for a layer that holds code.",
        show_default=False,
    ),
]
Normalizer = Annotated[
    Path | None,
    typer.Option(help="File of VecNormalize that goes before an agent.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def parse_settings(settings: Sequence[str]) -> dict[str, object]:
    """Return arguments from "name=value": numbers, true and false, quoted text and lists as JSON, else text.

    Raises:
        typer.BadParameter: One has no "=".
    """
    result: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            msg = f"--set takes name=value, not '{setting}'"
            raise typer.BadParameter(msg)
        try:
            result[name] = json.loads(value)
        except json.JSONDecodeError:
            result[name] = value
    return result


def parse_layers(layers: Sequence[str]) -> dict[str, str]:
    """Return places of classes and functions by layer name from "scale=my_layers.py:Scale".

    Raises:
        typer.BadParameter: One has no "=".
    """
    found = {}
    for given in layers:
        name, equals, place = given.rpartition("=")
        if not equals or not name:
            msg = f"--layer takes NAME=my_layers.py:Class, not '{given}'"
            raise typer.BadParameter(msg)
        found[name] = place
    return found


def parse_tensors(option: str, text: str | None) -> list[str] | dict[str, str] | None:
    """Return tensors from "s:0,a:0", or with names from "action=actor/mul:0,q=critic/q:0".

    Raises:
        typer.BadParameter: Some have names and some have not, or one is empty.
    """
    if text is None:
        return None
    pairs = [part.strip().rpartition("=") for part in text.split(",")]
    names = [name for name, equals, _ in pairs if equals]
    if not all(tensor for _, _, tensor in pairs) or len(names) not in (0, len(pairs)):
        msg = (
            f"{option} takes tensors, s:0,a:0, or all of them with names, action=mu:0; not '{text}'"
        )
        raise typer.BadParameter(msg)
    return {name: tensor for name, _, tensor in pairs} if names else [each for _, _, each in pairs]


def parse_shapes(shapes: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the shapes of observations from "12" or "84,84,4".

    Raises:
        typer.BadParameter: One has another part than whole numbers from 1 on.
    """
    found = []
    for text in shapes:
        parts = [part.strip() for part in text.strip("()").split(",") if part.strip()]
        if not parts or not all(part.isdecimal() and int(part) for part in parts):
            msg = f"--obs takes the shape of one observation, 12 or 84,84,4, not '{text}'"
            raise typer.BadParameter(msg)
        found.append(tuple(int(part) for part in parts))
    return found
