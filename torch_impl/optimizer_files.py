"""What an agent's optimizer takes from a checkpoint: its own, a converted Keras optimizer's, or torch's.

It has no legacy mirror: Keras reads its optimizers itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from torch import nn

from torch_impl.checkpoints import TorchCheckpoint
from torch_impl.keras_compat.optimizers import Adam


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
        ValueError: There is not one group of parameters, or the state is not Adam's.
    """
    stored: Any = checkpoint.optimizer_state_dict  # Any: a foreign file, read by key
    if stored is None:
        return
    (group,), state = stored["param_groups"], stored["state"]
    slots = sorted({slot for entry in state.values() for slot in entry})
    if state and not {"exp_avg", "exp_avg_sq"} <= set(slots):
        msg = (
            f"the file's optimizer keeps {', '.join(slots)}; the agent trains with Adam, which needs exp_avg and "
            "exp_avg_sq. torchward.load(path) returns the module as it is"
        )
        raise ValueError(msg)
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
