"""Optimizers of different classes as one object: agents of TensorFlow 1 train actor and critic with what suits each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor

from torch_impl.keras_compat.adaptive_optimizers import Adadelta, Adagrad, Adamax, Ftrl
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer, Slots
from torch_impl.keras_compat.optimizers import SGD, Adam, RMSprop
from torch_impl.keras_compat.parameter_groups import Group

KINDS: Mapping[str, type[KerasOptimizer]] = {
    each.__name__: each
    for each in (Adadelta, Adagrad, Adam, Adamax, Ftrl, RMSprop, SGD)
}
"""Classes that a group may name: those whose updates need nothing but their group and slots."""


class SeveralOptimizers(KerasOptimizer):
    """Every parameter group is updated by the class that it names as "kind", by its own options.

    One `step` and one `zero_grad` act on all of them; a network whose parameters have no gradient is left alone.

    Args:
        groups: of parameters, each with "kind", a key of `KINDS`, and options of that class.

    Raises:
        ValueError: A group names no kind that is known.
        TypeError: A class has no such option.
    """

    def __init__(self, groups: list[dict[str, object]]) -> None:
        super().__init__(groups, 0.01, {"kind": ""}, {})

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters with the options of its class.

        Raises:
            ValueError: It names no kind that is known, or its options contradict each other.
        """
        given = {
            key: value
            for key, value in param_group.items()
            if key not in ("params", "kind")
        }
        kind = str(param_group.get("kind"))
        if kind not in KINDS:
            msg = f"a parameter group names {kind!r} as its optimizer; known: {', '.join(KINDS)}"
            raise ValueError(msg)
        make = cast("Callable[..., KerasOptimizer]", KINDS[kind])
        [group] = make(param_group["params"], **given).param_groups
        # What a constructor splits into lr and schedule, which `KerasOptimizer` does once more.
        rate = group["lr"] if group["schedule"] is None else group["schedule"]
        super().add_param_group({**group, "kind": kind, "learning_rate": rate})

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return the slots of the group's class."""
        return KINDS[group["kind"]].slots(self, group)

    def decay_weights(self, group: Group, parameters: list[Tensor], lr: float) -> None:
        """Decay weights as the group's class does."""
        KINDS[group["kind"]].decay_weights(self, group, parameters, lr)

    @torch.no_grad()
    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """Update as the group's class does."""
        KINDS[group["kind"]].update(self, group, parameters, gradients, slots, lr)
