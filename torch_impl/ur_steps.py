"""Gradient steps of the two Ur networks: losses, one vector of parameters, Adam.

The networks are small, so that a step is limited by how many operations are dispatched. All parameters are views of
one vector and their gradients of another: clearing, Adam and the exchange between processes are one operation each,
and a step takes three quarters of the time of Adam over twenty tensors. It has no legacy mirror.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from torch_impl.compiled_steps import FlatTensors

Masks = Mapping[str, Tensor]
_SCALER_KEYS = {"scale": "scale", "steps_since_growth": "_growth_tracker"}
"""What changes of a GradScaler's state, by the names in our files."""


class TwoNetworks(Protocol):
    """What `UrSteps` needs of the networks."""

    value: nn.Module
    policy: Any  # with `logits`; nn.Module's attributes are untyped


class UrSteps:
    """Trains both networks in place.

    The original has one Adam for each network. One Adam over all parameters does the same, element by element: nothing
    in it joins two elements.

    Args:
        networks: with `value` and `policy`; in eval mode, dropout is what the masks say.
        value_loss: "mse" or "huber".
        policy_loss: "cross_entropy", "double_softmax" or "kl".
        learning_rate: of Adam.
        amp: run the networks in half precision.
    """

    def __init__(
        self,
        networks: Any,  # noqa: ANN401  an nn.Module with the attributes of TwoNetworks
        *,
        value_loss: str,
        policy_loss: str,
        learning_rate: float,
        amp: bool,
    ) -> None:
        self._networks = networks
        self._value_loss, self._policy_loss = value_loss, policy_loss
        self._parameters: list[nn.Parameter] = list(networks.parameters())
        self._flat = FlatTensors(self._parameters)
        self._vector = nn.Parameter(self._flat.vector)
        self._vector.grad = torch.zeros_like(self._flat.vector)
        sizes = [parameter.numel() for parameter in self._parameters]
        for parameter, part in zip(
            self._parameters, torch.split(self._vector.grad, sizes), strict=True
        ):
            parameter.grad = part.view(parameter.shape)
        self.optimizer = torch.optim.Adam([self._vector], lr=learning_rate, fused=True)
        kind = self._vector.device.type
        half = torch.float16 if kind == "cuda" else torch.bfloat16
        self._autocast = torch.autocast(kind, dtype=half, enabled=amp)
        self._scaler = torch.amp.GradScaler(kind, enabled=amp and kind == "cuda")

    def losses(self, batch: Sequence[Tensor], masks: Masks) -> Tensor:
        """Return the mean value loss and the mean policy loss over the batch, (2,).

        Args:
            batch: (batch, 150) features, (batch,) value targets, (batch, 7) policy targets.
            masks: by network and layer; empty: no dropout.
        """
        features, value_target, policy_target = batch
        with self._autocast:
            value = self._networks.value(features, _masks_of("value", masks))[:, 0]
            logits = self._networks.policy.logits(features, _masks_of("policy", masks))
        value, logits = value.to(value_target.dtype), logits.to(value_target.dtype)
        return torch.stack(
            [
                value_loss(value, value_target, kind=self._value_loss),
                policy_loss(logits, policy_target, kind=self._policy_loss),
            ]
        )

    def take(self, batch: Sequence[Tensor], masks: Masks) -> Tensor:
        """Take one step and return the two losses before it, (2,).

        In a process group each process computes its rows, and gradients and losses are added up.

        Args:
            batch: as in `losses`.
            masks: as in `losses`.
        """
        if not self._flat.holds(self._parameters):
            msg = "the networks' parameters were replaced (by .to() or .data); make a new trainer"
            raise RuntimeError(msg)
        gradient = self._vector.grad
        if gradient is None:
            msg = "the optimizer's gradient was set to None; zero_grad(set_to_none=False) keeps it"
            raise RuntimeError(msg)
        gradient.zero_()
        share, batch, masks = own_share(batch, masks)
        losses = torch.zeros(2, dtype=gradient.dtype, device=gradient.device)
        if share:  # a last batch may have fewer rows than there are processes
            losses = share * self.losses(batch, masks)
            self._scaler.scale(losses.sum()).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        losses = losses.detach()
        if count_processes() > 1:
            dist.all_reduce(gradient)
            dist.all_reduce(losses)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return losses

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the rate of the next steps."""
        self.optimizer.param_groups[0]["lr"] = learning_rate

    def optimizer_state(self) -> dict[str, object]:
        """Return the state as `torch.optim.Adam` over the networks' parameters would have it."""
        stored = self.optimizer.state_dict()
        group = {**stored["param_groups"][0], "params": list(range(len(self._parameters)))}
        state = stored["state"].get(0)
        if state is None:
            return {"state": {}, "param_groups": [group]}
        slots = {name: self._split(state[name]) for name in ("exp_avg", "exp_avg_sq")}
        split = {
            index: {"step": state["step"], **{name: parts[index] for name, parts in slots.items()}}
            for index in range(len(self._parameters))
        }
        return {"state": split, "param_groups": [group]}

    def load_optimizer(self, stored: Mapping[str, Any]) -> None:
        """Take over what `optimizer_state` returned; Any: from a file.

        Raises:
            KeyError: It is not Adam's state.
            ValueError: It is of other parameters.
        """
        own = self.optimizer.state_dict()
        (group,) = stored["param_groups"]
        own["param_groups"][0] |= {name: group[name] for name in ("lr", "betas", "eps")}
        states = [stored["state"][index] for index in range(len(self._parameters))] * bool(
            stored["state"]
        )
        for entry, parameter in zip(states, self._parameters, strict=False):
            if entry["exp_avg"].shape != parameter.shape:
                msg = f"the optimizer's state has shape {tuple(entry['exp_avg'].shape)}, needed {tuple(parameter.shape)}"
                raise ValueError(msg)
        if states:
            slots = {
                name: torch.cat([entry[name].reshape(-1) for entry in states])
                for name in ("exp_avg", "exp_avg_sq")
            }
            own["state"] = {0: {"step": states[0]["step"], **slots}}
        self.optimizer.load_state_dict(own)

    def scaler_state(self) -> dict[str, float]:
        """Return what the loss is multiplied by in half precision, and the steps since it grew; empty without that."""
        stored = self._scaler.state_dict()
        return {name: stored[key] for name, key in _SCALER_KEYS.items() if key in stored}

    def load_scaler(self, stored: Mapping[str, float]) -> None:
        """Take over what `scaler_state` returned; steps in full precision have no use for it.

        Raises:
            KeyError: It is not the state of a scaler.
        """
        own = self._scaler.state_dict()
        if own and stored:
            given = {key: stored[name] for name, key in _SCALER_KEYS.items()}
            self._scaler.load_state_dict({**own, **given})

    def _split(self, vector: Tensor) -> list[Tensor]:
        parts = torch.split(vector, [parameter.numel() for parameter in self._parameters])
        return [p.view(own.shape) for p, own in zip(parts, self._parameters, strict=True)]


def count_processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def own_share(batch: Sequence[Tensor], masks: Masks) -> tuple[float, Sequence[Tensor], Masks]:
    """Return this process's share of a batch, its rows and their masks; alone, the whole.

    Every process draws the same masks for the whole batch and takes every n-th row, so that n processes compute what
    one would.
    """
    processes = count_processes()
    if processes == 1:
        return 1.0, batch, masks
    rows = slice(dist.get_rank(), None, processes)
    own = [field[rows] for field in batch]
    share = len(own[0]) / len(batch[0])
    return share, own, {name: mask[rows] for name, mask in masks.items()}


def value_loss(value: Tensor, target: Tensor, *, kind: str) -> Tensor:
    """Return the mean of error**2 ("mse"), or of 0.5 * error**2 up to an error of 1 and |error| - 0.5 beyond ("huber")."""
    return F.mse_loss(value, target) if kind == "mse" else F.huber_loss(value, target)


def policy_loss(logits: Tensor, target: Tensor, *, kind: str) -> Tensor:
    """Return the mean loss of a policy over the batch.

        cross_entropy   -sum(target * log_softmax(logits))
        double_softmax  -sum(target * log_softmax(softmax(logits)))
        kl              sum(target * (log(target) - log_softmax(logits)))

    Args:
        logits: (batch, 7), before softmax.
        target: (batch, 7), sums to 1.
        kind: one of the names above.
    """
    if kind == "double_softmax":
        logits = torch.softmax(logits, dim=1)
    log_policy = F.log_softmax(logits, dim=1)
    if kind == "kl":
        return F.kl_div(log_policy, target, reduction="batchmean")
    return -(target * log_policy).sum(dim=1).mean()


def _masks_of(network: str, masks: Masks) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{network}/"): mask
        for name, mask in masks.items()
        if name.startswith(f"{network}/")
    }
