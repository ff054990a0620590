"""What `convert --into` needs beside a checkpoint: the user's module and table. Writes the table where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from converters.checkpoint import Checkpoint
from converters.errors import MismatchError
from converters.into.names import NameTable, parse_names, read_names
from converters.into.plan import plan_into, write_proposal
from converters.into.user_module import make_user_module
from converters.planned import Plan


def plan_user_module(
    checkpoint: Checkpoint,
    into: object,
    names: Path | Mapping[str, object] | None,
    settings: Mapping[str, object],
) -> Plan:
    """Return the plan for the module that `into` names, or is.

    Raises:
        MismatchError: As `plan_into`; where `names` is a file that does not exist, a table to edit was written there.
    """
    from torch import nn  # everything of this package needs it

    module = into if isinstance(into, nn.Module) else make_user_module(str(into), settings)
    if isinstance(names, Path) and not names.exists():
        try:
            return plan_into(checkpoint, module, NameTable())
        except MismatchError as error:
            write_proposal(checkpoint, module, names)
            hint = f"{names} is written, with a proposal by order; edit it and run the same command again"
            raise type(error)(str(error), hint=hint) from error
    if isinstance(names, Path):
        table = read_names(names)
    else:
        table = NameTable() if names is None else parse_names(names)
    return plan_into(checkpoint, module, table)
