"""What a torch module is made of, in the words of Keras: which role of a legacy layer fills which key, by what layout.

One `Place` is a module with parameters of its own, or one layer and direction of a recurrent module. The layout follows
from the type of the module: the kernel of a Linear is always transposed, square or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from converters.checkpoint import ArrayInfo
from converters.layouts import Layout

ALIASES = {
    "kernel": ("W", "depthwise_kernel", "embeddings", "alpha", "weight"),
    "recurrent_kernel": ("U",),
    "bias": ("b",),
    "gamma": ("scale", "weight", "variable"),
    "beta": ("bias",),
    "moving_mean": ("running_mean", "mean"),
    "moving_variance": ("running_std", "variance", "running_var"),
}
"""Other names that Keras has or had for a role."""
_SPATIAL = ("", "w", "h w", "d h w")


@dataclass(frozen=True, slots=True)
class Slot:
    """One key of the state and how a legacy array becomes it.

    Attributes:
        key: in the state dict.
        role: of the legacy array; "": none, the key becomes zeros.
        layouts: those that are possible; one, where the type of the module decides.
        shape: of the tensor.
        row: of the legacy array, where its first axis holds several arrays.
        trains: False for statistics.
    """

    key: str
    role: str
    layouts: tuple[str, ...]
    shape: tuple[int, ...]
    row: int | None = None
    trains: bool = True

    def fitting(self, shape: tuple[int, ...]) -> list[str]:
        """Return the layouts by which an array of `shape` becomes this tensor; none that give the same values twice."""
        if self.row is not None:
            if len(shape) != 2 or shape[0] <= self.row:
                return []
            shape = shape[1:]
        return [layout for layout in self.layouts if _result(layout, shape) == self.shape]

    def take(self, info: ArrayInfo) -> ArrayInfo:
        """Return the part of a legacy array that belongs here."""
        if self.row is None:
            return info
        row = self.row
        return replace(
            info,
            name=f"{info.name}[{row}]",
            shape=info.shape[1:],
            read=lambda: np.ascontiguousarray(info.read()[row]),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A module with parameters: its name, its type for people, and its slots in the order Keras stores the roles."""

    path: str
    kind: str
    slots: tuple[Slot, ...]

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the roles it takes, each once, in Keras's order."""
        return tuple(dict.fromkeys(slot.role for slot in self.slots if slot.role))

    def describe(self) -> str:
        """Return "fc1 (Linear: weight (4, 7), bias (4,))"."""
        parts = ", ".join(f"{slot.key.rpartition('.')[2]} {slot.shape}" for slot in self.slots)
        return f"{self.path or 'the module itself'} ({self.kind}: {parts})"


def find_places(module: nn.Module) -> list[Place]:
    """Return the places of a module in the order of its definition."""
    return [
        place
        for path, part in module.named_modules()
        for place in _places_of(path, part)
        if place.slots
    ]


def _places_of(path: str, module: nn.Module) -> Iterator[Place]:
    if isinstance(module, (nn.LSTM, nn.GRU, nn.RNN)):
        yield from _recurrent(path, module)
        return
    kind = type(module).__name__
    make = next((make for types, make in MAKERS if isinstance(module, types)), _unknown)
    known = dict(
        [
            *module.named_parameters(recurse=False),
            *((n, b) for n, b in module.named_buffers(recurse=False) if b.is_floating_point()),
        ]
    )
    yield Place(path, kind, tuple(make(path, module, known)))


Tensors = dict[str, torch.Tensor]
Maker = Callable[[str, nn.Module, Tensors], Iterator[Slot]]


def _slot(path: str, name: str, role: str, layout: str, tensor: torch.Tensor) -> Slot:
    trains = isinstance(tensor, nn.Parameter)
    return Slot(_key(path, name), role, (layout,), tuple(tensor.shape), trains=trains)


def _key(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _with_kernel(layout: str, path: str, known: Tensors) -> Iterator[Slot]:
    yield _slot(path, "weight", "kernel", layout, known["weight"])
    if "bias" in known:
        yield _slot(path, "bias", "bias", "out -> out", known["bias"])


def _linear(path: str, _module: nn.Module, known: Tensors) -> Iterator[Slot]:
    return _with_kernel("in out -> out in", path, known)


def _convolution(path: str, module: nn.Module, known: Tensors) -> Iterator[Slot]:
    axes = _SPATIAL[known["weight"].ndim - 2]
    if getattr(module, "transposed", False):
        return _with_kernel(f"{axes} out in -> in out {axes}", path, known)
    depthwise = known["weight"].shape[1] == 1 and getattr(module, "groups", 1) > 1
    if depthwise:
        return _with_kernel(f"{axes} in out -> (in out) () {axes}", path, known)
    return _with_kernel(f"{axes} in out -> out in {axes}", path, known)


def _embedding(path: str, _module: nn.Module, known: Tensors) -> Iterator[Slot]:
    yield _slot(path, "weight", "kernel", "row out -> row out", known["weight"])


def _normalization(path: str, _module: nn.Module, known: Tensors) -> Iterator[Slot]:
    names = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    for name, role in names.items():
        if name in known:
            axes = " ".join(f"a{axis}" for axis in range(known[name].ndim))
            yield _slot(path, name, role, f"{axes} -> {axes}", known[name])


def _unknown(path: str, _module: nn.Module, known: Tensors) -> Iterator[Slot]:
    """Yield parameters of a type we do not know: as they are, or a matrix transposed, whichever fits."""
    for name, tensor in known.items():
        if not isinstance(tensor, nn.Parameter):
            continue  # what the module calculates for itself
        axes = " ".join(f"a{axis}" for axis in range(tensor.ndim))
        layouts = [f"{axes} -> {axes}"]
        if tensor.ndim == 2:
            layouts.append("a0 a1 -> a1 a0")
        yield Slot(_key(path, name), name, tuple(layouts), tuple(tensor.shape))


MAKERS: tuple[tuple[tuple[type[nn.Module], ...], Maker], ...] = (
    ((nn.Linear,), _linear),
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _convolution),
    ((nn.Embedding,), _embedding),
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _normalization),
    (
        (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.InstanceNorm1d, nn.InstanceNorm2d),
        _normalization,
    ),
)
"""What makes the slots of a type; others are `_unknown`."""
GATES = {
    # Keras stores i, f, c, o and z, r, h; torch wants i, f, g, o and r, z, n.
    "LSTM": ("[i f c o]", "[i f c o]"),
    "GRU": ("[z r h]", "[r z h]"),
    "RNN": ("out", "out"),
}


def _recurrent(path: str, module: nn.RNNBase) -> Iterator[Place]:
    """Yield a place for every layer and direction: in Keras each is a layer of its own."""
    left, right = GATES[type(module).__name__]
    known = dict(module.named_parameters(recurse=False))
    suffixes = [name.removeprefix("weight_ih_") for name in known if name.startswith("weight_ih_")]
    for suffix in suffixes:
        kernel, recurrent = known[f"weight_ih_{suffix}"], known[f"weight_hh_{suffix}"]
        slots = [
            _slot(path, f"weight_ih_{suffix}", "kernel", f"in {left} -> {right} in", kernel),
            _slot(
                path,
                f"weight_hh_{suffix}",
                "recurrent_kernel",
                f"in {left} -> {right} in",
                recurrent,
            ),
        ]
        if f"bias_ih_{suffix}" in known:
            first = _slot(
                path, f"bias_ih_{suffix}", "bias", f"{left} -> {right}", known[f"bias_ih_{suffix}"]
            )
            second = replace(first, key=_key(path, f"bias_hh_{suffix}"))
            # Keras's GRU has both biases in one array; of the others the second is not there, so it is 0.
            if isinstance(module, nn.GRU):
                slots += [replace(first, row=0), replace(second, row=1)]
            else:
                slots += [first, replace(second, role="")]
        yield Place(
            path if len(suffixes) == 1 else _key(path, suffix), type(module).__name__, tuple(slots)
        )


def _result(layout: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return Layout.parse(layout).shape(shape)
    except ValueError:
        return None


def role_matches(slot_role: str, stored: str) -> bool:
    """Return whether a stored name ("dense/kernel:0", "gamma") means the role."""
    name = re.sub(r":\d+$", "", stored).rsplit("/", 1)[-1]
    return name == slot_role or name in ALIASES.get(slot_role, ())
