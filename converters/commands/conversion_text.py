"""What `torchward convert` and `torchward verify` print."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from converters.commands.printing import format_shape, format_size

if TYPE_CHECKING:
    from converters.report import ConversionReport
    from converters.verification import Check, VerificationReport

_SHOWN_TENSORS = 4
_WIDE = 34
"""Column of what was compared; a longer reason why nothing was stands alone."""
_FIGURES = 36
"""Column of the differences; they are longer where absolute ones were measured, too."""


def format_conversion(
    report: ConversionReport,
    seconds: float,
    *,
    written: Path,
    source_code: Path | None,
    show_all: bool,
) -> list[str]:
    """Return the lines that `torchward convert` prints; the outputs by the paths that were asked for."""
    source = report.input
    kinds = ", ".join(f"{count} {name}" for name, count in report.layers.items())
    kinds = f"{kinds}; " if kinds else ""
    lines = [
        f"{source['file']}    {source['producer'] or 'Keras'}, {source['format']}, {format_size(int(str(source['size'])))}",
        f"  {kinds}{report.parameters:,} parameters, {report.dtype}{_optimizer_state(report)}",
    ]
    shown = report.tensors if show_all else report.tensors[:_SHOWN_TENSORS]
    width = max((len(tensor.source) for tensor in shown), default=0)
    shapes = max((len(format_shape(tensor.source_shape)) for tensor in shown), default=0)
    target = max((len(tensor.target) for tensor in shown), default=0)
    lines += [
        f"  {tensor.source:{width}}  {format_shape(tensor.source_shape):{shapes}}  ->  "
        f"{tensor.target:{target}}  {format_shape(tensor.target_shape):{shapes}}  {tensor.action}"
        for tensor in shown
    ]
    if len(shown) < len(report.tensors):
        lines.append(f"  ... {len(report.tensors) - len(shown)} more, --all shows them")
    lines += [
        f"  not converted: {name} ({reason})"
        for name, reason in report.ignored[: None if show_all else 3]
    ]
    if not show_all and len(report.ignored) > 3:
        lines.append(f"  not converted: {len(report.ignored) - 3} more, --all shows them")
    lines += [f"  {line}" for line in _optimizer_options(report)]
    lines += [f"  {line}" for line in (_stock_optimizer(report) if show_all else ())]
    lines += [f"note            {note}" for note in report.notes]
    lines += [f"warning         {warning}" for warning in report.warnings]
    lines.append(
        f"wrote           {written}   {format_size(report.output_size)}   "
        f"sha256 {report.output_sha256[:8]}   {seconds:.2f} s"
    )
    if report.source_code:
        lines.append(f"                {source_code}   the module as source, torch only")
    return lines


def _optimizer_state(report: ConversionReport) -> str:
    if report.agent is not None:
        return f"; agent {report.agent['class']}, optimizers: {report.agent['optimizers']}"
    if report.optimizer is None:
        return "; no optimizer state"
    iterations = report.optimizer["iterations"]
    name = str(report.optimizer["class"]).rsplit(".", 1)[-1]
    return f"; {name} state" + (f" at step {iterations:,}" if isinstance(iterations, int) else "")


def _optimizer_options(report: ConversionReport) -> list[str]:
    """Return one line with what training goes on with, in Keras's words and rounding."""
    options = report.optimizer["options"] if report.optimizer else None
    if not isinstance(options, dict) or report.optimizer is None:
        return []
    numbers = [
        f"{name} {value:g}"
        for name, value in options.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    switched_on = [name for name, value in options.items() if value is True]
    name = str(report.optimizer["class"]).rsplit(".", 1)[-1]
    return [
        f"{name}: {', '.join(numbers + switched_on)}  (as stored; Keras's formula, docs/numerics.md)"
    ]


def _stock_optimizer(report: ConversionReport) -> list[str]:
    """Return one line with what `load(..., optimizer="torch.optim")` would give, and what would go on otherwise in it."""
    options = report.optimizer["options"] if report.optimizer else None
    if not isinstance(options, dict) or report.optimizer is None:
        return []
    try:
        import torch  # slow, and the conversion itself does without
    except ModuleNotFoundError:
        return []

    from torch_impl.keras_compat import optimizers
    from torch_impl.keras_compat.stock_optimizers import stock_changes

    kind = str(report.optimizer["class"]).rsplit(".", 1)[-1]
    if not hasattr(optimizers, kind):
        return ["stock torch.optim: none (the network's parts have optimizers of different kinds)"]
    [group] = getattr(optimizers, kind)([torch.nn.Parameter(torch.zeros(1))]).param_groups
    rate = options.get("learning_rate")
    set_rate = {"lr": rate} if isinstance(rate, (int, float)) else {"schedule": rate}
    try:
        name, changes = stock_changes(kind, [{**group, **options, **set_rate}])
    except ValueError as error:
        return [f"stock torch.optim: none ({error})"]
    about = f"torch.optim.{name}, {'; '.join(changes) or 'nothing changes'}"
    return [f'stock torch.optim: load(..., optimizer="torch.optim") gives {about}']


def format_next_step(
    report: ConversionReport,
    source: Path,
    written: Path,
    given: Sequence[str],
    *,
    own_module: bool,
) -> list[str]:
    """Return the line that says what to do with the converted file, if there is something."""
    from converters.writers.registry import find_writer

    if report.agent is None and not find_writer(report.format).trains:
        return []  # nothing that `verify` reads
    if report.agent is not None:
        further = report.agent.get("further_argument")
        step = f'{report.agent["loader"]}.load("{written}"{f", {further}" if further else ""})'
    elif own_module and report.format == "safetensors":
        step = (  # the file has the optimizer's tensors beside them
            f'state = safetensors.torch.load_file("{written}"); '
            "net.load_state_dict({name: state[name] for name in net.state_dict()})"
        )
    elif own_module:
        step = (
            f'net.load_state_dict(torch.load("{written}", weights_only=True)["model_state_dict"])'
        )
    else:
        step = shlex.join(["torchward", "verify", str(source), str(written), *given])
    return [f"next            {step}"]


def format_verification(report: VerificationReport) -> list[str]:
    """Return the lines that `torchward verify` prints."""
    lines = []
    shown = [check for check in report.checks if not check.skipped]
    width = max(_WIDE, *(len(check.compared) for check in shown), 0)
    figures = max(_FIGURES, *(len(_figures(check)) for check in shown), 0)
    for check in report.checks:
        if check.skipped and check.absolute is None and len(check.compared) > _WIDE:
            lines.append(f"{check.name:18}  {check.compared}  -")
            continue
        verdict = "-" if check.skipped else "ok" if check.passed else f"FAIL  {check.problem}"
        lines.append(
            f"{check.name:18}  {check.compared:{width}}  {_figures(check):{figures}}  {verdict}"
        )
        if check.name == "forward" and report.first_difference:
            lines.append(f"{'':18}  first difference: {report.first_difference}")
            lines += [f"{'':18}  likely: {cause}" for cause in report.likely]
            lines += [f"hint{'':14}  {hint}" for hint in report.hints]
    lines += [f"note{'':14}  {note}" for note in report.notes]
    lines.append(f"PASS   {report.verdict}" if report.passed else "FAIL")
    return lines


def _figures(check: Check) -> str:
    """Return "max |diff| 2.4e-07   max rel 1.9e-06   tolerance 1e-05"; nothing where none was measured."""
    if check.tolerance == check.worst == 0 or check.worst == float("inf"):
        return ""
    absolute = "" if check.absolute is None else f"max |diff| {check.absolute:.1e}   "
    return f"{absolute}max rel {check.worst:.1e}   tolerance {check.tolerance:.0e}"
