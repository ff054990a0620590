"""The way back: a converted model, trained on or not, as a file that Keras loads. Reads, restores, arranges, writes."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from converters.errors import UnreadableFileError, UnsupportedError
from converters.legacy_files.first_step import add_new_slots
from converters.legacy_files.keras3_archive import keras3_archive
from converters.legacy_files.keras_texts import with_changed_options
from converters.legacy_files.keras_trees import arrange
from converters.legacy_files.record import OPTIMIZER_GROUPS, SUFFIXES, make_record
from converters.legacy_files.restore import (
    Origin,
    Restored,
    TensorLike,
    restore_model,
    restore_optimizer,
)
from converters.legacy_files.ur_weights import convert_ur_json, write_ur_json
from converters.limits import MAX_ARRAY_BYTES
from converters.live.load import read_converted
from converters.plan import plan_conversion
from converters.readers import read_checkpoint
from converters.readers.files.natural_order import natural_key
from converters.readers.hdf5.header import SIGNATURE
from converters.report import make_report
from converters.rule_modules import import_rules
from converters.writers.keras_files import KerasTree, write_keras_file
from converters.writers.output_file import OutputFile, check_outputs
from torch_impl.checkpoints import TorchCheckpoint

PathLike = str | os.PathLike[str]

UR_SUFFIX = ".json"
"""Of the Ur trainer's weights, which export reads as well as writes."""
CONVERTED_SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and what was not.

    Attributes:
        source: name of the torch file.
        format: of the output: "keras-h5", "keras-h5-weights", "keras-weights-h5" or "keras-archive".
        version: of the Keras that wrote the file that was converted.
        arrays: path and shape of every array written.
        parameters: numbers in the model's arrays.
        optimizer: class and iterations; None: no optimizer state was written.
        lost: what is not in the output, with the reason.
        notes: what a user should know.
    """

    source: str
    format: str
    version: str | None
    arrays: tuple[tuple[str, tuple[int, ...]], ...]
    parameters: int
    optimizer: tuple[str, int] | None
    lost: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    output: str
    output_sha256: str
    output_size: int

    def to_data(self) -> dict[str, object]:
        """Return plain data for --json."""
        return {
            "source": self.source,
            "output": {
                "file": self.output,
                "format": self.format,
                "sha256": self.output_sha256,
                "size": self.output_size,
            },
            "keras_version": self.version,
            "arrays": [[path, list(shape)] for path, shape in self.arrays],
            "parameters": self.parameters,
            "optimizer": None
            if self.optimizer is None
            else {"class": self.optimizer[0], "iterations": self.optimizer[1]},
            "not_carried": [list(item) for item in self.lost],
            "notes": list(self.notes),
        }


def export(
    source: PathLike,
    destination: PathLike | None = None,
    *,
    like: PathLike | None = None,
    force: bool = False,
    rules: Sequence[str] = (),
) -> ExportReport:
    """Write a converted model back as a Keras file and return what was done.

    Values only change place on the way, so a file that was converted and not trained comes back with identical arrays.
    TensorFlow is not needed.

    Args:
        source: .pth or .safetensors of `torchward.convert` or `torchward.save`; with `like` also any file with a
            `model_state_dict` of the same module.
        destination: ends with .h5, .weights.h5 or .keras; by default `source` with the ending of the legacy file.
        like: the legacy file, or a converted one, that says what `source` goes back to.
        force: replace an existing output.
        rules: modules of your own whose rules the file was converted with.

    Raises:
        ConversionError: One of its kinds, with the exit code the command ends with. Nothing was written then.
    """
    path = Path(source)
    import_rules(rules)
    _refuse_legacy(path)
    if path.suffix.lower() == UR_SUFFIX:
        return export_from_ur_json(path, destination, force=force)
    checkpoint = read_converted(path)
    if destination is not None and Path(destination).suffix.lower() == UR_SUFFIX:
        return export_to_ur_json(path, checkpoint, Path(destination), force=force)
    origin = _read_origin(checkpoint.metadata, path, None if like is None else Path(like))
    target = _destination(path, destination, origin.record.format)
    check_outputs([target], path, force=force)
    file_format = _format_of(target, origin.record.format)
    restored, tree = _restore(origin, checkpoint, file_format)
    with OutputFile(target) as file:
        write_keras_file(file, tree, archive=file_format == "keras-archive")
        file.finish()
        file.commit()
    iterations = restored.group.get("iterations", 0)
    kind = origin.record.optimizer.kind if origin.record.optimizer else ""
    return ExportReport(
        source=path.name,
        format=file_format,
        version=origin.record.version,
        arrays=tuple((name, tree.arrays[name].shape) for name in sorted(tree.arrays, key=_rank)),
        parameters=sum(math.prod(place.shape) for _, place in origin.places),
        optimizer=None if restored.slots is None else (kind, int(cast("int", iterations))),
        lost=tuple(restored.lost),
        notes=tuple(restored.notes),
        output=target.name,
        output_sha256=file.sha256,
        output_size=file.size,
    )


def export_to_ur_json(
    source: Path, checkpoint: TorchCheckpoint, target: Path, *, force: bool
) -> ExportReport:
    """Write the two networks of the Ur trainer as JSON in the game's layout; errors as of `export`."""
    check_outputs([target], source, force=force)
    with OutputFile(target) as file:
        weights = write_ur_json(file, checkpoint)
        file.finish()
        file.commit()
    optimizer = checkpoint.optimizer_state_dict is not None
    return ExportReport(
        source=source.name,
        format="ur-json",
        version=None,
        arrays=tuple((name, array.shape) for name, array in weights.items()),
        parameters=sum(array.size for array in weights.values()),
        optimizer=None,
        lost=(("optimizer state", "this JSON holds none"),) if optimizer else (),
        notes=(),
        output=target.name,
        output_sha256=file.sha256,
        output_size=file.size,
    )


def export_from_ur_json(source: Path, destination: PathLike | None, *, force: bool) -> ExportReport:
    """Write JSON weights of the Ur trainer as a Keras file of one model with two outputs; errors as of `export`."""
    target = _destination(source, destination, "keras-h5")
    check_outputs([target], source, force=force)
    with tempfile.TemporaryDirectory(prefix="torchward-export-") as folder:
        report = export(convert_ur_json(source, Path(folder)), target, force=force)
    return replace(report, source=source.name)


def _rank(path: str) -> tuple[bool, object]:
    """Sort the model's arrays before the optimizer's."""
    return path.split("/")[0] in OPTIMIZER_GROUPS.values(), natural_key(path)


def _refuse_legacy(path: Path) -> None:
    """Raise UnreadableFileError for a file that is on the legacy side already; what is missing is said later."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        if file.read(len(SIGNATURE)) == SIGNATURE or path.suffix.lower() == ".keras":
            msg = f"{path}: is a legacy file already; export starts from a .pth"
            raise UnreadableFileError(msg, hint=f"torchward convert {shlex.quote(str(path))}")


def _restore(
    origin: Origin, checkpoint: TorchCheckpoint, file_format: str
) -> tuple[Restored, KerasTree]:
    """Return the legacy arrays, and the tree of the output."""
    state = cast("Mapping[str, TensorLike]", checkpoint.model_state_dict)
    restored = restore_model(origin, state)
    restore_optimizer(origin, checkpoint.optimizer_state_dict, restored)
    record = add_new_slots(origin, restored)
    changed = changed_options(origin.options, restored.group)
    if changed:
        record = with_changed_options(record, changed)
        listed = ", ".join(f"{name} {value}" for name, value in changed.items())
        restored.notes.append(f"changed since the conversion, and in the output: {listed}")
    if file_format == "keras-archive" and record.generation < 3 and not record.members:
        tree = keras3_archive(origin, record, restored)
    else:
        tree = arrange(record, restored, file_format)
    if file_format == "keras-h5-weights" and restored.slots is not None:
        restored.slots = None
        restored.lost.append(("optimizer state", "a .h5 of weights holds none"))
    if file_format == "keras-h5" and restored.slots and record.generation == 3:
        restored.notes.append(
            "Keras 3 does not restore an optimizer from .h5; for that export to .keras"
        )
    return restored, tree


def changed_options(
    converted: Mapping[str, object], group: Mapping[str, object]
) -> dict[str, object]:
    """Return hyper-parameters that are plain numbers and were changed in PyTorch; the loss scale is state and none of them.

    Args:
        converted: options of the optimizer as they were converted.
        group: its parameter group now.
    """
    return {
        name: group[name]
        for name, value in converted.items()
        if name != "dynamic_scale"
        and isinstance(value, (int, float))
        and isinstance(group.get(name), (int, float))
        and group[name] != value
    }


def _read_origin(metadata: Mapping[str, object], path: Path, like: Path | None) -> Origin:
    """Return what the file goes back to: by its own record, or by that of another file."""
    if like is None:
        if not isinstance(metadata.get("legacy"), Mapping):
            msg = f"{path}: does not say which legacy file it goes back to"
            raise UnsupportedError(
                msg,
                hint="name the legacy file, or the converted one that was trained on: --like agent.h5",
            )
        return Origin.from_metadata(metadata)
    if like.suffix.lower() in CONVERTED_SUFFIXES:
        return _read_origin(read_converted(like).metadata, like, None)
    checkpoint = read_checkpoint(like)
    plan = plan_conversion(checkpoint)
    record = make_record(checkpoint, plan, max_kept_bytes=MAX_ARRAY_BYTES)
    if record is None:
        msg = f"{like}: files of the format '{checkpoint.provenance.format}' are not written"
        raise UnsupportedError(msg, hint="formats: .h5, .weights.h5, .keras")
    report = make_report(checkpoint, plan, format="pth")
    return replace(
        Origin.from_metadata({**report.metadata(), "legacy": record.to_data()}), record=record
    )


def _destination(source: Path, destination: PathLike | None, legacy_format: str) -> Path:
    suffix = SUFFIXES[legacy_format]
    if destination is None:
        return source.with_suffix(suffix)
    target = Path(destination)
    return target / f"{source.stem}{suffix}" if target.is_dir() else target


def _format_of(target: Path, legacy_format: str) -> str:
    """Return the format that the output's name asks for."""
    name = target.name.lower()
    if name.endswith(".weights.h5"):
        return "keras-weights-h5"
    if name.endswith(".keras"):
        return "keras-archive"
    if name.endswith((".h5", ".hdf5", ".h5f")):
        return "keras-h5-weights" if legacy_format == "keras-h5-weights" else "keras-h5"
    msg = f"{target.name}: no legacy format has this ending"
    raise UnreadableFileError(msg, hint="end the name with .h5, .weights.h5 or .keras")
