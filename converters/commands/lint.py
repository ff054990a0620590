"""The command `torchward lint`: which defaults of a PyTorch module are not Keras's. Thin: it parses, calls, and prints.

It runs the user's own code, which makes the module; no legacy file is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from converters.commands.options import AsJson, parse_settings
from converters.commands.printing import print_lines
from converters.errors import UsageError

if TYPE_CHECKING:
    from torch import nn, optim

    from torch_impl.changed_defaults import ChangedDefault


def lint(
    module: Annotated[
        str,
        typer.Argument(
            metavar="MODULE",
            help="Your own module, made by running your code: my_module:Net or my_file.py:Net.",
            show_default=False,
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=value, may be repeated: argument for MODULE."),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="What makes its optimizer from the parameters: torch.optim:Adam or my_file.py:make_optimizer.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Name the defaults of a PyTorch module, and of its optimizer, that Keras has otherwise. Runs your code.

    Advice: the exit code is 0 whatever is found.

    Example: torchward lint my_file.py:Net --set hidden=64 --optimizer torch.optim:Adam
    """
    import torch

    from converters.into.user_module import make_user_module
    from torch_impl.changed_defaults import changed_defaults

    torch.manual_seed(0)  # whether values look as drawn by PyTorch must not hang on the draw
    made = make_user_module(module, parse_settings(settings or ()))
    found = changed_defaults(made, _make_optimizer(optimizer, made) if optimizer else None)
    if as_json:
        data = {"module": module, "optimizer": optimizer}
        print_lines([json.dumps(data | {"changed_defaults": [asdict(each) for each in found]})])
    else:
        print_lines(format_changed_defaults(module, found))


def format_changed_defaults(spec: str, found: Sequence[ChangedDefault]) -> Iterator[str]:
    """Yield the lines that `torchward lint` prints: one a finding, and their number."""
    rows = [(f.place, f.kind, f.setting, str(f.value), f"Keras {f.keras}", f.remedy) for f in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
    if found:
        yield f"{len(found)} of PyTorch's defaults in {spec} are others in Keras; --json says why each matters"
    else:
        yield f"{spec} has none of PyTorch's defaults that are others in Keras"


def _make_optimizer(spec: str, module: nn.Module) -> optim.Optimizer:
    """Return what `spec` makes of the module's parameters.

    Raises:
        UsageError: It is not found, or makes something else.
    """
    from torch.optim import Optimizer

    from converters.into.user_module import find_named

    hint = "give a function of the parameters: torch.optim:Adam or my_file.py:make_optimizer"
    found = find_named(spec)
    if not callable(found):
        msg = f"'{spec}' is a {type(found).__name__}, needed is what makes an optimizer"
        raise UsageError(msg, hint=hint)
    try:
        made = found(module.parameters())
    except (TypeError, ValueError) as error:  # torch: no parameters, or not those it takes
        msg = f"'{spec}' makes no optimizer of the module's parameters: {error}"
        raise UsageError(msg, hint=hint) from error
    if not isinstance(made, Optimizer):
        msg = f"'{spec}' gives a {type(made).__name__}, needed is an optimizer of torch.optim"
        raise UsageError(msg, hint=hint)
    return made
