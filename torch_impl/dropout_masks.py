"""Dropout masks that an agent draws itself and hands to its networks, or that it is handed in place of them.

It has no legacy mirror: layers of Keras draw their own masks.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from experience.agent import Noise
from experience.shapes import check_shapes
from torch_impl.arrays import to_tensor
from torch_impl.networks import DTYPES


class DropoutMasks:
    """Masks of all dropout layers of an agent: 0, or 1/(1 - rate).

    Attributes:
        generator: what they are drawn from; of the agent alone.

    Args:
        units: of every dropout layer, in the order of the network.
        rates: of the same layers.
        dtype: "float32" or "float64".
        seed: of the generator.
        device: of the masks.
    """

    def __init__(
        self,
        units: Mapping[str, int],
        rates: Mapping[str, float],
        *,
        dtype: str,
        seed: int,
        device: torch.device,
    ) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self._units, self._dtype, self._device = dict(units), dtype, device
        repeated = [rates[name] for name, count in units.items() for _ in range(count)]
        self._rates = torch.tensor(repeated, dtype=DTYPES[dtype], device=device)
        self._is_on = any(repeated)

    def draw(self, *axes: int) -> dict[str, Tensor]:
        """Return a mask for every layer, (*axes, units); none without dropout."""
        if not self._is_on:
            return {}
        units = list(self._units.values())
        # One draw for all layers, in the order of single updates, so that many updates in one call get the same.
        uniform = torch.rand(*axes, sum(units), generator=self.generator, device=self._device)
        kept = (uniform >= self._rates).to(self._rates.dtype).div_(1 - self._rates)
        return dict(zip(self._units, torch.split(kept, units, dim=-1), strict=True))

    def take(self, rows: int, noise: Noise | None) -> dict[str, Tensor]:
        """Return the masks of a batch: those of `noise`, (rows, units) each, or drawn ones if it is None.

        Raises:
            ValueError: Names or shapes do not fit.
        """
        if noise is None:
            return self.draw(rows)
        check_shapes("noise arrays", noise, {name: (rows, n) for name, n in self._units.items()})
        return {name: to_tensor(mask, self._dtype, self._device) for name, mask in noise.items()}

    def load(self, state: object) -> None:
        """Go on from a stored state of the generator; of another kind of device, from the seed."""
        if isinstance(state, Tensor) and state.shape == self.generator.get_state().shape:
            self.generator.set_state(state)
