"""Files of the offline agents: the .pth contract, with the migration guide's keys beside it.

The guide saved {"q_network", "target_network", "optimizer"} (DQN) or its policy network and optimizer (cloning). A file
written here has both, so the guide's own loading code reads it; its files are read here whatever their layers are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from torch_impl.checkpoints import (
    CheckpointError,
    read_checkpoint,
    read_dictionary,
    write_checkpoint,
)

OPTIMIZER = "optimizer"
_GUIDE_NAMES: Mapping[str, tuple[str, ...]] = {"policy_network": ("policy", "network", "q_network")}
"""Other keys under which a network of this name is looked for."""


def write_agent_file(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Adam],
    state: Mapping[str, object],
) -> None:
    """Write networks, optimizers and plain data as one file, whole or not at all.

    Raises:
        CheckpointError: Something is neither tensor nor plain data.
        OSError: The file cannot be written.
    """
    states = {name: network.state_dict() for name, network in networks.items()}
    steps = {
        _optimizer_key(step, optimizers): each.state_dict() for step, each in optimizers.items()
    }
    write_checkpoint(
        path,
        {f"{name}.{key}": tensor for name, each in states.items() for key, tensor in each.items()},
        optimizer_state_dict=steps.get(OPTIMIZER),
        metadata={"agent": dict(state)},
        extras={**states, **steps},
    )


def read_configuration(path: Path, class_name: str) -> Mapping[str, Any]:  # Any: arguments
    """Return the arguments of the constructor from the file of an agent of this class.

    Raises:
        CheckpointError: The file is damaged, or of another class.
    """
    stored = read_checkpoint(path).metadata.get("agent")
    known: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
    if known.get("class") != class_name or not isinstance(known.get("configuration"), Mapping):
        msg = f"{path}: of {known.get('class', 'no offline agent')}; needed {class_name}"
        raise CheckpointError(msg)
    configuration: Mapping[str, Any] = known["configuration"]
    return configuration


def read_agent_file(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Adam],
    targets: set[str],
) -> Mapping[str, object]:
    """Read a file into networks and optimizers and return its plain data, empty for a file of the guide.

    A target that the file lacks becomes a copy of nothing: it keeps its weights. An optimizer that it lacks, too.

    Args:
        path: of the file.
        networks: filled in place.
        optimizers: filled in place.
        targets: names of networks that may be missing.

    Raises:
        CheckpointError: The file is damaged or does not fit; nothing is changed then.
    """
    content, plain = _read_keys(path)
    try:
        found = {
            name: _fit(name, network, _find(name, content))
            for name, network in networks.items()
            if name not in targets or name in content
        }
        states = {
            step: _fit_optimizer(optimizer, cast("dict[str, Any]", stored))
            for step, optimizer in optimizers.items()
            if (stored := content.get(_optimizer_key(step, optimizers))) is not None
        }
        for step, state in states.items():
            if state is not None:
                optimizers[step].load_state_dict(state)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        msg = f"{path}: not the file of an agent like this: {error}"
        raise CheckpointError(msg) from error
    for name, tensors in found.items():
        networks[name].load_state_dict(tensors)
    return plain


def _read_keys(path: Path) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return what the file has beside the contract, and the agent's plain data."""
    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError:
        return read_dictionary(path, needed="'q_network' or the like"), {}
    state = checkpoint.metadata.get("agent", {})
    return checkpoint.extras, cast("Mapping[str, object]", state)


def _find(name: str, content: Mapping[str, object]) -> Mapping[str, Tensor]:
    for key in (name, *_GUIDE_NAMES.get(name, ())):
        if isinstance(content.get(key), Mapping):
            return cast("Mapping[str, Tensor]", content[key])
    msg = f"no {name!r} in it; found {', '.join(map(str, content)) or 'nothing'}"
    raise ValueError(msg)


def _fit(name: str, network: nn.Module, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the network's own names: by name, or by order where all shapes agree."""
    own = network.state_dict()
    shapes = [tuple(tensor.shape) for tensor in own.values()]
    found = [tuple(tensor.shape) for tensor in stored.values()]
    if set(own) == set(stored):
        found = [tuple(stored[key].shape) for key in own]
        tensors = [stored[key] for key in own]
    else:
        tensors = list(stored.values())
    if found != shapes:
        msg = f"{name} has arrays {found}; needed {shapes}"
        raise ValueError(msg)
    return dict(zip(own, tensors, strict=True))


def _fit_optimizer(optimizer: torch.optim.Adam, stored: dict[str, Any]) -> dict[str, Any] | None:
    """Return a state with the stored moments, steps and learning rate, None where there are no moments yet.

    How the step is computed stays the optimizer's own.
    """
    [own] = optimizer.param_groups
    kept = {
        name: value for name, value in own.items() if name not in ("params", "lr", "betas", "eps")
    }
    [group] = stored["param_groups"]
    parameters = own["params"]
    shapes = [tuple(parameter.shape) for parameter in parameters]
    slots = [stored["state"][index] for index in range(len(stored["state"]))]
    found = [tuple(slot["exp_avg"].shape) for slot in slots]
    squares = [tuple(slot["exp_avg_sq"].shape) for slot in slots]
    if found and (found != shapes or squares != shapes):
        msg = f"the optimizer has moments {found} and {squares}; needed {shapes}"
        raise ValueError(msg)
    return {**stored, "param_groups": [{**group, **kept}]} if found else None


def _optimizer_key(step: str, optimizers: Mapping[str, object]) -> str:
    return OPTIMIZER if len(optimizers) == 1 else f"{step}_{OPTIMIZER}"
