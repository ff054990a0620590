"""`.d3` files of d3rlpy 2: a pickled dictionary of an archive of torch, a configuration (JSON) and a version.

The pickle is read by its opcodes and the archive as arrays; nothing is run. The layers are d3rlpy's modules (`q_funcs`,
`policy`), the optimizers' moments are the extras, and `training` has the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, Provenance
from converters.errors import UnreadableFileError, placed
from converters.json_text import parse_json
from converters.limits import Limits
from converters.readers.files.keras_settings import Architecture
from converters.readers.files.source import Source
from converters.readers.files.torch_archive import read_torch_archive
from converters.readers.pickles import read_pickle

FORMAT = "d3rlpy-model"
_START_BYTES = 64
"""The first key and the start of the archive behind it lie in these."""
_KEYS = ("torch", "config", "version")


class D3rlpyModel:
    """Reader of `.d3` files."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file is a pickle whose first entry is "torch", an archive."""
        start = source.prefix[:_START_BYTES]
        return start[:1] == b"\x80" and b"torch" in start and b"PK\x03\x04" in start

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return modules, optimizers and configuration."""
        with placed(source.name):
            data = source.file.read(0, source.file.size)
            content = read_pickle(data, limits=limits).value
            if not isinstance(content, Mapping) or not set(_KEYS) <= set(content):
                msg = f"is no file of d3rlpy: needed a dictionary with {', '.join(_KEYS)}"
                raise UnreadableFileError(msg)
            archive, text, version = (content[key] for key in _KEYS)
            if not isinstance(archive, (bytes, memoryview)) or not isinstance(text, str):
                msg = "is no file of d3rlpy: 'torch' is not bytes, or 'config' not text"
                raise UnreadableFileError(msg)
            if not isinstance(version, str):
                msg = "is no file of d3rlpy: 'version' is not text"
                raise UnreadableFileError(msg)
            modules = read_torch_archive(archive, limits=limits)
            config = parse_json(text, what="configuration of d3rlpy", limits=limits)
            if not isinstance(modules, Mapping) or not isinstance(config, Mapping):
                msg = "is no file of d3rlpy: modules or configuration are no dictionaries"
                raise UnreadableFileError(msg)
            layers, extras, optimizers = _split(modules)
        return Checkpoint(
            layers=layers,
            graph=None,
            optimizer=None,
            training={"d3rlpy": config, "optimizers": optimizers},
            extras=extras,
            provenance=Provenance(
                file=source.path.name,
                digest=source.sha256,
                size=source.size,
                format=FORMAT,
                producer=f"d3rlpy {version:.20}",
                generation=0,
            ),
        )


READER = D3rlpyModel()


def _split(
    modules: Mapping[object, object],
) -> tuple[list[LayerArrays], list[ArrayInfo], dict[str, Mapping[str, object]]]:
    """Return the state dicts of modules, the moments of optimizers, and the optimizers' groups by name."""
    layers: list[LayerArrays] = []
    extras: list[ArrayInfo] = []
    optimizers: dict[str, Mapping[str, object]] = {}
    for name, state in modules.items():
        if not isinstance(name, str) or not isinstance(state, Mapping):
            msg = f"module '{name!s:.40}' has no state"
            raise UnreadableFileError(msg)
        if "optim" in state:
            inner = state["optim"]
            if not isinstance(inner, Mapping) or not isinstance(inner.get("state"), Mapping):
                msg = f"optimizer '{name:.40}' has no state"
                raise UnreadableFileError(msg)
            extras += _moments(name, inner["state"])
            optimizers[name] = {"groups": inner.get("param_groups"), "wrapper": state}
            continue
        arrays = {
            key: _array(f"{name}.{key}", value)
            for key, value in state.items()
            if isinstance(key, str)
        }
        layers.append(LayerArrays(name, None, arrays))
    return layers, extras, optimizers


def _moments(name: str, state: Mapping[object, object]) -> list[ArrayInfo]:
    """Return "optim.0.exp_avg" and the like."""
    return [
        _array(f"{name}.{place}.{slot}", value)
        for place, slots in state.items()
        if isinstance(slots, Mapping)
        for slot, value in slots.items()
    ]


def _array(name: str, value: object) -> ArrayInfo:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = np.array(value, np.float32)  # older torch counts steps in Python
    if not isinstance(value, np.ndarray):
        msg = f"'{name:.80}' is no tensor"
        raise UnreadableFileError(msg)
    return ArrayInfo(name, value.shape, value.dtype, partial(_same, value))


def _same(value: NDArray[np.generic]) -> NDArray[np.generic]:
    return value
