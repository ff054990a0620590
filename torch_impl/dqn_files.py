"""What a DQN agent takes from files that no agent wrote: converted Keras files and the guide's `_model.pth`.

Such a file has arrays and perhaps an optimizer, but no settings. It has no legacy mirror: Keras files say it all.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from torch import nn

from torch_impl.checkpoints import TorchCheckpoint
from torch_impl.keras_compat.optimizers import Adam


def infer_settings(checkpoint: TorchCheckpoint) -> dict[str, Any]:  # Any: arguments of DQNAgent
    """Return the settings that a file without agent still tells, as arguments of DQNAgent.

    Raises:
        ValueError: The arrays are not those of a DQNetwork.
    """
    state = checkpoint.model_state_dict
    weights = {name.removesuffix(".weight"): t for name, t in state.items() if t.ndim == 2}
    layers = [weights[f"fc{i}"] for i in range(1, len(weights) + 1) if f"fc{i}" in weights]
    dueling = {"value", "advantage"} <= set(weights)
    if len(layers) < 2 - dueling or len(layers) + 2 * dueling != len(weights):
        found = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in state.items())
        msg = f"found {found}; needed fc1, fc2, ... (value and advantage last in a dueling network)"
        raise ValueError(msg)
    output = weights["advantage"] if dueling else layers.pop()
    settings: dict[str, Any] = {
        "state_size": layers[0].shape[1],
        "action_size": output.shape[0],
        "hidden_sizes": [layer.shape[0] for layer in layers],
        "dueling": dueling,
        "dtype": str(output.dtype).removeprefix("torch."),
    }
    architecture: Any = checkpoint.architecture or {}  # Any: a foreign file, read by key
    for step in architecture.get("steps", ()):
        if step["op"] == "nn.Dropout":
            settings["dropout"] = step["kwargs"]["p"]
    optimizer: Any = checkpoint.optimizer_state_dict or {}
    for group in optimizer.get("param_groups", ()):
        rate = group.get("lr", group.get("learning_rate"))  # torch's name, Keras' name
        if not isinstance(rate, Mapping):  # a schedule goes to the optimizer, not to the agent
            settings["learning_rate"] = rate
        # A converted optimizer says how it clips; the guide's training loop clips by itself, at 1.
        settings["gradient_clip"] = group.get("global_clipnorm", 1.0)
    return settings


def load_optimizer(
    optimizer: Adam, network: nn.Module, checkpoint: TorchCheckpoint, *, replaced: Set[str]
) -> None:
    """Take over Adam's state and numbers, by parameter name: the file may have another order.

    State of `torch.optim.Adam` (the guide's files) goes on with Keras' formula.

    Args:
        optimizer: changed.
        network: whose parameters it has, in order.
        checkpoint: the file.
        replaced: settings of the agent that the caller gave; they win over the file.

    Raises:
        ValueError: There is not one group of parameters.
        KeyError: The state is not Adam's.
    """
    stored: Any = checkpoint.optimizer_state_dict  # Any: a foreign file, read by key
    if stored is None:
        return
    (group,), state = stored["param_groups"], stored["state"]
    about: Any = checkpoint.metadata.get("optimizer") or {}
    names = about.get("parameters", checkpoint.model_state_dict)
    by_name = {name: state[index] for index, name in enumerate(names) if index in state}
    own = optimizer.state_dict()
    numbers = group if "iterations" in group else _keras_numbers(group, state)
    won = {key for name in replaced for key in _GROUP_KEYS.get(name, (name,))}
    known = {*own["param_groups"][0], "learning_rate"} - {"params"} - won
    own["param_groups"][0] |= {key: value for key, value in numbers.items() if key in known}
    own["state"] = {
        index: {slot: by_name[name][slot] for slot in ("exp_avg", "exp_avg_sq")}
        for index, (name, _) in enumerate(network.named_parameters())
        if name in by_name
    }
    optimizer.load_state_dict(own)


_GROUP_KEYS = {
    "learning_rate": ("lr", "learning_rate", "schedule"),
    "gradient_clip": ("clipnorm", "global_clipnorm", "clipvalue"),
}
"""Settings of the agent that the optimizer's group has under other names."""


def _keras_numbers(group: Mapping[str, Any], state: Mapping[int, Any]) -> dict[str, object]:
    """Return the numbers of a `torch.optim.Adam` under Keras' names; it counts steps in every parameter's state."""
    return {
        "lr": group["lr"],
        "beta_1": group["betas"][0],
        "beta_2": group["betas"][1],
        "epsilon": group["eps"],
        "iterations": max((int(entry["step"]) for entry in state.values()), default=0),
    }
