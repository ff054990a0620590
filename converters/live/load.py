"""Converted files back as live torch objects: the module, and the optimizer that continues where the file stopped."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast, overload

from torch import Tensor, nn
from torch.optim import Optimizer

from converters.architecture import Architecture
from converters.errors import MismatchError, UnreadableFileError, UnsupportedError
from converters.json_text import parse_json
from converters.limits import Limits
from converters.live.build import build_model
from converters.live.model import ConvertedModel
from converters.live.other_files import describe_other_file, is_torch_file
from converters.live.own_layers import register_own_layers
from converters.live.owned_tensors import owned_tensor
from converters.optimizers.by_name import SEVERAL
from converters.optimizers.rules import RULES
from converters.passes.input_layout import CHANNELS_LAST, change_input_layout
from converters.readers.hdf5.header import SIGNATURE as HDF5_SIGNATURE
from converters.registry import nearest
from converters.rule_modules import import_rules
from torch_impl.checkpoints import CheckpointError, TorchCheckpoint, read_checkpoint
from torch_impl.keras_compat import optimizers
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer
from torch_impl.keras_compat.several_optimizers import SeveralOptimizers
from torch_impl.keras_compat.stock_optimizers import stock_optimizer

METADATA_ATTRIBUTE = "converted_from"
"""Attribute of a loaded model: the metadata of its file, for `converters.live.save`."""
_SLOTS = "optimizer/"
"""What the names of the optimizer's tensors begin with in a .safetensors file."""
_MAX_HEADER_BYTES = 100_000_000  # the bound of the safetensors library itself


@overload
def load(
    path: str | os.PathLike[str],
    *,
    optimizer: Literal[False] = False,
    device: str = "cpu",
    input_layout: str | None = None,
    rules: Sequence[str] = (),
    layers: Mapping[str, object] | None = None,
) -> ConvertedModel: ...
@overload
def load(
    path: str | os.PathLike[str],
    *,
    optimizer: Literal[True, "torch.optim"],
    device: str = "cpu",
    input_layout: str | None = None,
    rules: Sequence[str] = (),
    layers: Mapping[str, object] | None = None,
) -> tuple[ConvertedModel, Optimizer]: ...
def load(
    path: str | os.PathLike[str],
    *,
    optimizer: bool | Literal["torch.optim"] = False,
    device: str = "cpu",
    input_layout: str | None = None,
    rules: Sequence[str] = (),
    layers: Mapping[str, object] | None = None,
) -> ConvertedModel | tuple[ConvertedModel, Optimizer]:
    """Return the module of a converted file, and on request its optimizer.

    Args:
        path: .pth or .safetensors that `torchward.convert` wrote.
        optimizer: False: the module in evaluation mode. True: the module in training mode, and the optimizer that
            continues training where the legacy file stopped. "torch.optim": the nearest class of torch.optim in its
            place; a `StockOptimizerWarning` says what changes.
        device: where the parameters go.
        input_layout: "nhwc" or "nchw": how images come into the module; by default as the file was converted.
        rules: modules of your own whose rules the file was converted with.
        layers: classes and functions of your own that compute layers, as given to `convert`.

    Raises:
        UnreadableFileError: The file is damaged, not of torchward, or asks for an unknown operation.
        UnsupportedError: An optimizer is asked for, and the file has no optimizer state, or torch.optim no such class.
        ValueError: `optimizer` is something else.
    """
    if optimizer not in (False, True, "torch.optim"):
        msg = f"optimizer is {optimizer!r}, not False, True or 'torch.optim'"
        raise ValueError(msg)
    import_rules(rules)
    register_own_layers(layers or {})
    checkpoint = read_converted(Path(path), mapped=not optimizer)
    is_agent = isinstance(checkpoint.metadata.get("agent"), Mapping)
    agent_hint = f"torch_impl.stored_agents.load_agent({str(path)!r:.200})"
    if is_agent and optimizer:
        msg = f"{path}: is a whole agent of torch_impl with several optimizers, which it trains with itself"
        raise UnsupportedError(msg, hint=agent_hint)
    if checkpoint.architecture is None:
        if is_agent:
            msg = f"{path}: is a whole agent of torch_impl, not one network"
            raise UnreadableFileError(msg, hint=agent_hint)
        if checkpoint.metadata.get("torchward_version"):
            msg = f"{path}: holds the weights of a module of your own (convert --into), and no architecture"
            hint = f"torchward verify LEGACY_FILE my_file.py:Net --weights {shlex.quote(str(path))}"
            raise UnreadableFileError(msg, hint=hint)
        msg = f"{path}: holds tensors, but no architecture; it was not written by torchward convert"
        raise UnreadableFileError(msg)
    # Copies: a parameter may not be a view into the mapped file.
    state = {
        name: owned_tensor(tensor.to(device))
        for name, tensor in checkpoint.model_state_dict.items()
    }
    architecture = Architecture.from_data(checkpoint.architecture)
    if input_layout is not None:
        stored = str(checkpoint.metadata.get("input_layout") or CHANNELS_LAST)
        origins = [()] * len(architecture.steps)
        architecture, _ = change_input_layout(
            architecture, origins, legacy=stored, wanted=input_layout
        )
    model = build_model(architecture, state)
    setattr(model, METADATA_ATTRIBUTE, dict(checkpoint.metadata))
    if not optimizer:
        return model
    found = load_optimizer(model, checkpoint, Path(path))
    return model.train(), _stock(found, Path(path)) if optimizer == "torch.optim" else found


class StockOptimizerWarning(UserWarning):
    """An optimizer of torch.optim goes on otherwise than that of Keras would have."""


def _stock(optimizer: KerasOptimizer, path: Path) -> Optimizer:
    """Return the nearest optimizer of torch.optim; a warning says what changes.

    Raises:
        UnsupportedError: There is none.
    """
    try:
        stock = stock_optimizer(optimizer)
    except ValueError as error:
        msg = f"{path}: {error}"
        raise UnsupportedError(
            msg, hint="optimizer=True gives the one that continues the training exactly"
        ) from error
    if stock.changes:
        text = f"{type(stock.optimizer).__name__} of torch.optim: {'; '.join(stock.changes)}"
        warnings.warn(text, StockOptimizerWarning, stacklevel=3)
    return stock.optimizer


def read_converted(path: Path, *, mapped: bool = False) -> TorchCheckpoint:
    """Return what a converted file holds, whichever of the output formats it has.

    Args:
        path: of the file.
        mapped: leave the tensors of a .pth in the file, for a caller that copies them anyway.

    Raises:
        UnreadableFileError: The file is damaged or of another kind.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise UnreadableFileError(msg) from error
    if start == HDF5_SIGNATURE:
        msg = f"{path}: is a legacy file (HDF5), not a converted one"
        raise UnreadableFileError(msg, hint=f"torchward convert {shlex.quote(str(path))}")
    if start[:4] != b"PK\x03\x04" and int.from_bytes(start, "little") <= _MAX_HEADER_BYTES:
        return _read_safetensors(path)
    try:
        return read_checkpoint(path, mapped=mapped and start[:4] == b"PK\x03\x04")
    except CheckpointError as error:
        if is_torch_file(path):
            raise UnreadableFileError(str(error)) from error
        what, hint = describe_other_file(path)
        msg = f"{path}: is {what}"
        raise UnreadableFileError(msg, hint=hint) from error
    except OSError as error:  # torch seeks to where a truncated archive ends before it begins
        msg = f"{path}: cannot be read as an archive: {error.strerror or error}"
        raise UnreadableFileError(msg) from error


def _read_safetensors(path: Path) -> TorchCheckpoint:
    from safetensors import SafetensorError, safe_open  # only for this format

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        msg = f"{path}: not readable as .pth or .safetensors: {error}"
        raise UnreadableFileError(msg) from error
    parsed = {
        key: parse_json(metadata[f"torchward_{key}"], what=key, limits=Limits())
        for key in ("architecture", "metadata", "optimizer_group", "optimizer_groups")
        if f"torchward_{key}" in metadata
    }
    wrong = [key for key, value in parsed.items() if not isinstance(value, Mapping)]
    if wrong:
        msg = f"{path}: its {wrong[0]} is a {type(parsed[wrong[0]]).__name__}, not an object"
        raise UnreadableFileError(msg)
    known = cast("dict[str, Mapping[str, object]]", parsed)
    model = {name: tensor for name, tensor in tensors.items() if not name.startswith(_SLOTS)}
    try:
        optimizer_state = _optimizer_state(known, tensors) if "optimizer_group" in known else None
    except (LookupError, TypeError, ValueError) as error:
        msg = f"{path}: what it says of its optimizer is not readable: {error!r}"
        raise UnreadableFileError(msg) from error
    return TorchCheckpoint(
        model, optimizer_state, known.get("architecture"), known.get("metadata", {})
    )


def _optimizer_state(
    known: Mapping[str, Mapping[str, object]], tensors: Mapping[str, Tensor]
) -> dict[str, object]:
    """Return the state dict of the optimizer in a .safetensors file."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_SLOTS):
            index, slot = name.removeprefix(_SLOTS).split("/", 1)
            state.setdefault(int(index), {})[slot] = tensor
    about = cast("Mapping[str, list[str]]", known["metadata"]["optimizer"])
    group = {**known["optimizer_group"], "params": list(range(len(about["parameters"])))}
    several = known.get("optimizer_groups", {}).get("groups")
    return {"state": state, "param_groups": several or [group]}


def load_optimizer(model: nn.Module, checkpoint: TorchCheckpoint, path: Path) -> KerasOptimizer:
    """Return the optimizer of a converted file for the trainable parameters of `model`, with its state.

    Raises:
        UnsupportedError: The file has no optimizer state.
        MismatchError: State and parameters do not belong together.
    """
    stored = checkpoint.optimizer_state_dict
    about = checkpoint.metadata.get("optimizer")
    if stored is None or not isinstance(about, Mapping):
        notes = checkpoint.metadata.get("notes")
        why = (
            f" ({'; '.join(map(str, notes))})" if isinstance(notes, (list, tuple)) and notes else ""
        )
        msg = f"{path}: the legacy file had no optimizer state to continue from{why}"
        raise UnsupportedError(
            msg, hint="train on with a new optimizer: torchward.load(path) and torch.optim"
        )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        optimizer = _make_optimizer(str(about["class"]), _grouped(parameters, stored))
        optimizer.load_state_dict(dict(stored))
        wrong = _wrong_slots(optimizer, parameters)
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        msg = f"{path}: the optimizer state does not fit the module: {error}"
        raise MismatchError(msg) from error
    if wrong:
        msg = f"{path}: {wrong[0]}"
        raise MismatchError(msg)
    return optimizer


def _wrong_slots(optimizer: KerasOptimizer, parameters: Sequence[nn.Parameter]) -> list[str]:
    """Return a sentence for every state tensor whose shape does not fit its parameter."""
    return [
        f"optimizer state '{slot}' of parameter {index} has shape {tuple(value.shape)}, "
        f"the parameter {tuple(parameter.shape)}"
        for index, parameter in enumerate(parameters)
        for slot, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
        and value.shape not in (optimizer.slot_shape(parameter, slot), ())
    ]


def _grouped(
    parameters: list[nn.Parameter], stored: Mapping[str, object]
) -> list[nn.Parameter] | list[dict[str, object]]:
    """Return the parameters in the groups that the stored state has; as they are if it has one.

    Raises:
        ValueError: The groups do not hold every parameter once.
    """
    groups = cast("list[Mapping[str, object]]", stored["param_groups"])
    if len(groups) < 2:
        return parameters
    places = [cast("list[int]", group["params"]) for group in groups]
    if sorted(place for each in places for place in each) != list(range(len(parameters))):
        msg = (
            f"its parameter groups are {places!r:.80}, the module has {len(parameters)} parameters"
        )
        raise ValueError(msg)
    grouped: list[dict[str, object]] = [
        {
            "params": [parameters[place] for place in each],
            **{key: group[key] for key in ("kind",) if key in group},
        }
        for each, group in zip(places, groups, strict=True)
    ]
    return grouped


def _make_optimizer(
    key: str, parameters: list[nn.Parameter] | list[dict[str, object]]
) -> KerasOptimizer:
    """Return an optimizer with default options by its key, "keras_compat.Adam"; only those a rule names exist."""
    if key == SEVERAL:
        return SeveralOptimizers(cast("list[dict[str, object]]", parameters))
    known = {rule.target: rule.kind for rule in RULES}
    if key not in known:
        msg = f"the file asks for optimizer '{key}', which is not a known one{nearest(key, known)}"
        raise UnreadableFileError(msg)
    make = cast("Callable[[object], KerasOptimizer]", getattr(optimizers, known[key]))
    return make(parameters)
