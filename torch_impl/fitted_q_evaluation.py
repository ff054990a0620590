"""Fitted Q evaluation: what a policy would earn, by a network that learns its action values from recorded transitions.

    evaluation = FittedQEvaluation(agent.predict, buffer, gamma=0.99)
    evaluation.fit(5_000)
    evaluation.estimate(first_observations)

Unlike importance sampling it needs no probabilities and does not mind long episodes; its error is that of the network, and of
actions that the data do not have. It has no legacy mirror: it judges agents of either framework.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experience.offline_data import ReplayBuffer
from torch_impl.devices import find_device
from torch_impl.offline_networks import DenseNetwork

Choose = Callable[[NDArray[Any]], NDArray[Any]]
"""Observations (batch, *observation) to the actions that the policy takes: numbers, or (batch, action)."""


class FittedQEvaluation:
    """Learns Q of one policy: Q(s, a) = r + gamma * Q'(s', policy(s')) * (1 - terminated).

    Attributes:
        q_network: learns; of all numbered actions at once, or of (observation, action).
        updates: done so far.

    Args:
        choose: the policy, such as an agent's `predict`.
        buffer: recorded transitions, of whatever policy.
        gamma: discount per step.
        actions: number of actions; None: the largest in the data and one. Without meaning for continuous ones.
        hidden_sizes: units of the hidden layers.
        lr: of Adam.
        batch_size: transitions of an update.
        target_update_freq: updates between two copies of the target network.
        seed: of weights and batches.
        device: "cpu", "cuda", ..., or "auto".

    Raises:
        ValueError: A number is out of range, or the policy acts with something else than the data.

    Source: Le, Voloshin and Yue 2019, algorithm 3, with a target network as in d3rlpy's FQE.
    """

    def __init__(
        self,
        choose: Choose,
        buffer: ReplayBuffer,
        *,
        gamma: float = 0.99,
        actions: int | None = None,
        hidden_sizes: Sequence[int] = (128, 128),
        lr: float = 1e-3,
        batch_size: int = 256,
        target_update_freq: int = 100,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if not 0 <= gamma <= 1 or min(batch_size, target_update_freq) < 1:
            msg = f"gamma {gamma}, batch_size {batch_size}, target_update_freq {target_update_freq} is out of range"
            raise ValueError(msg)
        self._choose, self._gamma = choose, gamma
        self._batch_size, self._every = batch_size, target_update_freq
        self.device = find_device(device)
        self.updates = 0
        self._rng = np.random.default_rng(seed)
        data = buffer.transitions
        self._numbered = data.action.dtype.kind in "iu"
        following = np.asarray(choose(data.next_observation))
        if following.shape != data.action.shape:
            msg = f"the policy acts with {following.shape} for {len(buffer)} rows; the data have {data.action.shape}"
            raise ValueError(msg)
        count = int(data.action.max()) + 1 if actions is None and self._numbered else actions or 1
        if self._numbered:
            least = min(data.action.min(), following.min())
            most = max(data.action.max(), following.max())
            if not 0 <= least <= most < count:
                msg = f"policy and data take actions up to {most}, of {count}; say actions=..."
                raise ValueError(msg)
        inputs = int(np.prod(data.observation.shape[1:]))
        size = inputs if self._numbered else inputs + int(np.prod(data.action.shape[1:]))
        self.q_network, self._target = (
            DenseNetwork(size, hidden_sizes, {"q": count}, name="evaluation", seed=seed).to(
                self.device
            )
            for _ in range(2)
        )
        self._optimizer = torch.optim.Adam(self.q_network.parameters(), lr=lr)
        # What the policy does next never changes: it is asked once, not in every update.
        self._inputs = self._rows(data.observation, data.action)
        self._next_inputs = self._rows(data.next_observation, following)
        self._actions = self._numbers(data.action)
        self._next_actions = self._numbers(following)
        self._rewards = self._tensor(data.reward)
        self._continues = gamma * (1.0 - self._tensor(data.terminated))

    def fit(self, updates: int) -> float:
        """Do some updates and return the mean of their losses.

        Raises:
            ValueError: The number is below 1.
        """
        if updates < 1:
            msg = f"{updates} updates; needed at least 1"
            raise ValueError(msg)
        total = torch.zeros((), device=self.device)
        for _ in range(updates):
            if self.updates % self._every == 0:
                self._target.load_state_dict(self.q_network.state_dict())
            drawn = self._rng.integers(0, len(self._rewards), self._batch_size)
            total += self._update(torch.from_numpy(drawn).to(self.device))
            self.updates += 1
        return total.item() / updates

    def estimate(self, first_observations: NDArray[Any]) -> float:
        """Return the mean value of episodes that begin with these observations, (episodes, *observation)."""
        return float(self.values(first_observations).mean())

    def values(self, observations: NDArray[Any]) -> NDArray[np.floating]:
        """Return Q(s, policy(s)), (batch,)."""
        actions = np.asarray(self._choose(observations))
        with torch.inference_mode():
            rows = self.q_network(self._rows(observations, actions))["q"]
            found: NDArray[np.floating] = self._pick(rows, self._numbers(actions)).cpu().numpy()
        return found

    def _update(self, drawn: Tensor) -> Tensor:
        with torch.no_grad():
            following = self._target(self._next_inputs[drawn])["q"]
            next_value = self._pick(following, self._next_actions[drawn])
            target = self._rewards[drawn] + self._continues[drawn] * next_value
        value = self._pick(self.q_network(self._inputs[drawn])["q"], self._actions[drawn])
        loss = (value - target).square().mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return loss.detach()

    def _pick(self, rows: Tensor, actions: Tensor) -> Tensor:
        """Return the values of the actions, (batch,)."""
        if not self._numbered:
            return rows.squeeze(1)
        return rows.gather(1, actions.unsqueeze(1)).squeeze(1)

    def _rows(self, observations: NDArray[Any], actions: NDArray[Any]) -> Tensor:
        rows = self._tensor(observations).flatten(1)
        return (
            rows if self._numbered else torch.cat([rows, self._tensor(actions).flatten(1)], dim=1)
        )

    def _numbers(self, actions: NDArray[Any]) -> Tensor:
        numbers = actions if self._numbered else np.zeros(len(actions))
        return torch.from_numpy(np.array(numbers, np.int64)).to(self.device)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(array, np.float32)).to(self.device)
