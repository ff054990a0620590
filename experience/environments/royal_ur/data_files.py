"""Samples in files: the original's JSON list, and a compact form (.npz) that is read in a twentieth of the time.

The JSON has exactly the three documented keys a sample; which game a sample comes from is told by the positions: only
the first sample of a game has all pieces at the start. Files are checked before they are used: names, sizes, ranges.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import FEATURE_LIMIT, FEATURES, PIECES
from experience.environments.royal_ur.samples import Samples

FORMAT = "torchward-ur-samples-1"
KEYS = ("features", "value_target", "policy_target")
MAX_SAMPLES = 20_000_000
"""12 GB of features; the largest preset of the original makes 350,000 samples."""
MAX_SAMPLE_CHARACTERS = 65_536
"""A sample has 158 numbers, under 2,000 characters as the original writes them."""
_BLOCK_CHARACTERS = 1 << 20
_MAX_FORMAT_BYTES = 1_024
_MAX_RATIO = 1_100
"""Deflate packs at most 1,032 bytes into one; a file that promises more has a wrong header."""
_DTYPES = {"features": np.float32, "value_target": np.float32,
           "policy_target": np.float32, "game": np.int32}  # fmt: skip


class SampleFileError(ValueError):
    """A file of samples cannot be read: it is no such file, or something in it is not as documented."""


def write_samples(samples: Samples, path: Path) -> None:
    """Write samples as JSON or, if the name ends in .npz, compactly; an existing file is replaced at the end.

    Args:
        samples: at least one.
        path: of the new file; its folder exists.

    Raises:
        ValueError: There is no sample.
        OSError: The file cannot be written.
    """
    if not len(samples):
        msg = "no samples to write; a file holds at least one"
        raise ValueError(msg)
    partial = path.with_name(f"{path.name}.partial")
    try:
        if path.suffix == ".npz":
            with partial.open("wb") as file:
                _write_compact(samples, file)
        else:
            with partial.open("w", encoding="utf-8") as file:
                file.writelines(_format_json(samples))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_samples(path: Path) -> Samples:
    """Return the samples of a file that `write_samples` or the original wrote.

    Raises:
        SampleFileError: The file is missing, is no file of samples, or holds a wrong number; the message has the place.
    """
    try:
        samples = _read_compact(path) if path.suffix == ".npz" else _read_json(path)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise SampleFileError(msg) from error
    _check_values(samples, path)
    return samples


def number_games(features: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the game of every sample, counted from 0: a new one begins where all pieces are at the start.

    Args:
        features: (samples, 150), in the order of play.
    """
    begins = (features[:, : 2 * PIECES] == -1.0).all(axis=1)
    begins[:1] = True
    return (np.cumsum(begins) - 1).astype(np.int32)


def _format_json(samples: Samples) -> Iterator[str]:
    yield "["
    # The shortest text that reads back as the same float32, as Rust writes it.
    for k in range(len(samples)):
        features = ",".join(_shortest(samples.features[k]))
        policy = ",".join(_shortest(samples.policy_target[k]))
        value = _shortest(samples.value_target[k : k + 1])[0]
        yield (
            f"{',' if k else ''}\n"
            f'{{"features":[{features}],"value_target":{value},"policy_target":[{policy}]}}'
        )
    yield "\n]\n"


def _shortest(numbers: NDArray[np.float32]) -> list[str]:
    texts: list[str] = numbers.astype("U32").tolist()
    return texts


def _write_compact(samples: Samples, file: IO[bytes]) -> None:
    np.savez_compressed(
        file,
        format=np.array(FORMAT),
        **{name: getattr(samples, name) for name in _DTYPES},
    )


def _read_compact(path: Path) -> Samples:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = sorted({"format", *_DTYPES} - set(archive.files))
            if missing or _read_format(archive) != FORMAT:
                msg = f"{path}: no compact file of samples; needed format {FORMAT!r}, missing {missing}"
                raise SampleFileError(msg)
            _check_headers(archive, path)
            arrays = {name: archive[name] for name in _DTYPES}
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        if isinstance(error, SampleFileError):
            raise
        msg = f"{path}: not a readable .npz file: {error}"
        raise SampleFileError(msg) from error
    return Samples(**arrays)


def _read_format(archive: Any) -> str:  # noqa: ANN401  an NpzFile, which has no type
    small = archive.zip.getinfo("format.npy").file_size <= _MAX_FORMAT_BYTES
    return str(archive["format"]) if small else ""


def _check_headers(archive: Any, path: Path) -> None:  # noqa: ANN401  an NpzFile, which has no type
    """Refuse shapes and kinds of numbers before any array is unpacked."""
    shapes = {}
    for name, dtype in _DTYPES.items():
        with archive.zip.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            if version != (1, 0):
                msg = f"{path}: array '{name}' has .npy version {version}; needed (1, 0)"
                raise SampleFileError(msg)
            shape, _, found = np.lib.format.read_array_header_1_0(member)
        if found != dtype:
            msg = f"{path}: array '{name}' is {found}; needed {np.dtype(dtype)}"
            raise SampleFileError(msg)
        shapes[name] = shape
    count = shapes["features"][0] if shapes["features"] else 0
    needed = {"features": (count, FEATURES), "value_target": (count,),
              "policy_target": (count, PIECES), "game": (count,)}  # fmt: skip
    fits = count * (FEATURES + 1 + PIECES + 1) * 4 <= _MAX_RATIO * path.stat().st_size
    if shapes != needed or not 0 < count <= MAX_SAMPLES or not fits:
        msg = f"{path}: found shapes {shapes}; needed {needed} with 1 to {MAX_SAMPLES} samples"
        raise SampleFileError(msg)


def _read_json(path: Path) -> Samples:
    """Return the samples of a JSON file, read one after the other, so that memory holds arrays and no lists."""
    rows: list[NDArray[np.float32]] = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, sample in enumerate(_iterate_list(file, path)):
                if number == MAX_SAMPLES:
                    msg = f"{path}: more than {MAX_SAMPLES} samples"
                    raise SampleFileError(msg)
                rows.append(_parse_sample(sample, path, number))
    except (UnicodeDecodeError, RecursionError) as error:
        msg = f"{path}: not a JSON text: {error}"
        raise SampleFileError(msg) from error
    if not rows:
        msg = f"{path}: the list has no samples"
        raise SampleFileError(msg)
    table = np.stack(rows)
    features = np.ascontiguousarray(table[:, :FEATURES])
    policy = np.ascontiguousarray(table[:, FEATURES + 1 :])
    return Samples(features, table[:, FEATURES].copy(), policy, number_games(features))


def _iterate_list(file: IO[str], path: Path) -> Iterator[object]:
    """Yield the elements of a JSON list without holding more than a block of its text."""
    decoder = json.JSONDecoder()
    text = file.read(_BLOCK_CHARACTERS).lstrip()
    if not text.startswith("["):
        msg = f"{path}: begins with {text[:20]!r}; needed a JSON list of samples, [...]"
        raise SampleFileError(msg)
    text, place, first = text[1:], 0, True
    while True:
        if len(text) - place < MAX_SAMPLE_CHARACTERS:
            text, place = text[place:] + file.read(_BLOCK_CHARACTERS), 0
        place = _skip_space(text, place)
        if text[place : place + 1] == "]":
            break
        if not first:
            if text[place : place + 1] != ",":
                msg = f"{path}: the list is cut off or a comma is missing, at {text[place : place + 20]!r}"
                raise SampleFileError(msg)
            place = _skip_space(text, place + 1)
        try:
            element, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            msg = f"{path}: not JSON, or cut off, at {text[place : place + 40]!r}: {error.msg}"
            raise SampleFileError(msg) from error
        yield element
        first = False
    if text[place + 1 :].strip() or file.read().strip():
        msg = f"{path}: something follows the end of the list"
        raise SampleFileError(msg)


def _skip_space(text: str, place: int) -> int:
    while text[place : place + 1] in (" ", "\n", "\r", "\t"):
        place += 1
    return place


def _parse_sample(sample: object, path: Path, number: int) -> NDArray[np.float32]:
    """Return (158,): features, value, policy."""
    if not isinstance(sample, dict) or not set(KEYS) <= set(sample):
        found = sorted(sample) if isinstance(sample, dict) else type(sample).__name__
        msg = f"{path}: sample {number} has {found}; needed {', '.join(KEYS)}"
        raise SampleFileError(msg)
    features, value, policy = (sample[key] for key in KEYS)
    for name, numbers, needed in (
        ("features", features, FEATURES),
        ("policy_target", policy, PIECES),
    ):
        if not isinstance(numbers, list) or len(numbers) != needed:
            found = f"{len(numbers)} numbers" if isinstance(numbers, list) else repr(numbers)[:40]
            msg = f"{path}: sample {number}: '{name}' has {found}; needed {needed} numbers"
            raise SampleFileError(msg)
    row = [*features, value, *policy]
    if not all(type(x) in (int, float) for x in row):
        wrong = next(x for x in row if type(x) not in (int, float))
        msg = f"{path}: sample {number} has {repr(wrong)[:40]} where a number is needed"
        raise SampleFileError(msg)
    try:
        return np.array(row, np.float32)
    except OverflowError as error:
        msg = f"{path}: sample {number} has a number that no float can hold"
        raise SampleFileError(msg) from error


def _check_values(samples: Samples, path: Path) -> None:
    """Refuse numbers outside their range; NaN is outside of all."""
    limits = (("features", samples.features, FEATURE_LIMIT), ("value_target", samples.value_target, 1.0),
              ("policy_target", samples.policy_target, 1.0))  # fmt: skip
    for name, numbers, limit in limits:
        rows = numbers.reshape(len(samples), -1)
        bad = ~(np.abs(rows) <= limit)
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            msg = f"{path}: sample {row}: '{name}'[{column}] is {rows[row, column]}; needed -{limit} to {limit}"
            raise SampleFileError(msg)
    sums = samples.policy_target.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero((np.abs(sums - 1) > 1e-3) | (samples.policy_target < 0).any(axis=1))
    if len(wrong):
        msg = f"{path}: sample {wrong[0]}: 'policy_target' is no distribution, its sum is {sums[wrong[0]]:.4g}"
        raise SampleFileError(msg)
    if (np.diff(samples.game) < 0).any():
        msg = f"{path}: 'game' falls at sample {int(np.argmax(np.diff(samples.game) < 0)) + 1}; it may only rise"
        raise SampleFileError(msg)
