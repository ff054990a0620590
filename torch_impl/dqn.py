"""The DQN agent of the migration guide: plain, double and dueling.

Mirror: legacy_tf/dqn.py has the same names in the same order, so the difference of the two files is the migration;
so do networks.py, losses.py and devices.py. Replay memory and training loop are in `experience`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experience.agent import Batch, Noise
from experience.buffers import ReplayMemory
from experience.compiling import Compiled
from experience.dqn_rules import (
    check_settings,
    choose_actions,
    dropout_rates,
    empty_history,
    explain_action,
)
from experience.evaluation import Environment
from experience.guide_training import train_by_guide
from experience.schedules import decay_epsilon
from experience.shapes import check_rows
from experience.training import TrainingResult
from torch_impl.arrays import to_tensor
from torch_impl.checkpoints import (
    CheckpointError,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)
from torch_impl.devices import describe_device, find_device
from torch_impl.dqn_files import infer_settings, rename_layers
from torch_impl.dropout_masks import DropoutMasks
from torch_impl.gradient_steps import GradientSteps
from torch_impl.keras_compat.optimizers import Adam
from torch_impl.losses import TensorBatch, q_learning_loss
from torch_impl.networks import DQNetwork, read_weights, write_weights
from torch_impl.optimizer_files import load_optimizer
from torch_impl.placement import to_device

__all__ = ["DQNAgent", "DQNetwork"]


class DQNAgent:
    """DQN with epsilon-greedy exploration, a replay memory and a hard-copied target network.

    Attributes:
        q_network: online network. It stays in eval mode: the masks of a training pass are drawn here, from a
            generator that belongs to the agent, and handed to it.
        target_network: copy of the online network as of the last `update_target`.
        memory: the last `memory_size` transitions.
        epsilon: present exploration rate.
        history: figures per episode: "rewards", "lengths", "losses", "epsilons".
        configuration: the arguments as plain data, without those of the machine (device, compiled).

    Args:
        state_size: numbers in an observation.
        action_size: number of actions.
        hidden_sizes: units of the hidden layers.
        dropout: rate, in [0, 1), or one for each dropout layer; active on Q(observation, action) in training, nowhere else.
        dueling: value and advantage heads.
        double: the online network chooses the action of the target (van Hasselt et al. 2016).
        learning_rate: of Adam.
        gamma: discount per step.
        epsilon: first exploration rate.
        epsilon_min: no decay at or below it, so epsilon ends slightly under it.
        epsilon_decay: factor per replay that trains, not per episode.
        batch_size: transitions per update.
        memory_size: transitions kept.
        gradient_clip: limit of the global gradient norm; None: no clipping.
        loss: "mse" or "huber".
        dtype: "float32" or "float64".
        seed: of initial weights and dropout.
        device: "auto" (CUDA if there is one, else the CPU) or the name of a device.
        compiled: True: updates are compiled, several in one call where the training loop asks for several. "auto":
            once so many are done that compiling pays. False: eager PyTorch. See `gradient_steps`.

    Raises:
        ValueError: A setting is out of range, or the device is not there.
    """

    def __init__(
        self,
        state_size: int = 12,
        action_size: int = 5,
        *,
        hidden_sizes: Sequence[int] = (128, 64, 32),
        dropout: float | Sequence[float] = 0.2,
        dueling: bool = False,
        double: bool = False,
        learning_rate: float = 0.001,
        gamma: float = 0.95,
        epsilon: float = 1.0,
        epsilon_min: float = 0.01,
        epsilon_decay: float = 0.995,
        batch_size: int = 32,
        memory_size: int = 10_000,
        gradient_clip: float | None = 1.0,
        loss: str = "mse",
        dtype: str = "float32",
        seed: int = 0,
        device: str = "auto",
        compiled: Compiled = False,
    ) -> None:
        # Any: read back as keyword arguments of several types.
        self.configuration: dict[str, Any] = {
            "state_size": state_size,
            "action_size": action_size,
            "hidden_sizes": list(hidden_sizes),
            "dropout": dropout if isinstance(dropout, (int, float)) else list(dropout),
            "dueling": dueling,
            "double": double,
            "learning_rate": learning_rate,
            "gamma": gamma,
            "epsilon": epsilon,
            "epsilon_min": epsilon_min,
            "epsilon_decay": epsilon_decay,
            "batch_size": batch_size,
            "memory_size": memory_size,
            "gradient_clip": gradient_clip,
            "loss": loss,
            "dtype": dtype,
            "seed": seed,
        }
        check_settings(self.configuration)
        self.device = find_device(device)
        self.state_size, self.action_size = state_size, action_size
        self.epsilon, self.epsilon_min, self.epsilon_decay = epsilon, epsilon_min, epsilon_decay
        self.batch_size, self.dtype = batch_size, dtype
        self.history = empty_history()
        self.memory = ReplayMemory(memory_size, (state_size,), observation_dtype=dtype)
        networks = [
            DQNetwork(
                state_size,
                action_size,
                hidden_sizes=hidden_sizes,
                dropout=dropout,
                dueling=dueling,
                dtype=dtype,
                seed=seed,
            )
            for _ in range(2)
        ]
        self.q_network, self.target_network = (
            network.eval().to(self.device) for network in networks
        )
        self.optimizer = Adam(
            self.q_network.parameters(), learning_rate=learning_rate, global_clipnorm=gradient_clip
        )
        rates = dropout_rates(dropout, hidden_sizes)
        # A mask has its dropout layer's input shape: the units of the layer before.
        units = dict(zip(rates, hidden_sizes, strict=False))
        self._masks = DropoutMasks(units, rates, dtype=dtype, seed=seed, device=self.device)
        self._loss = partial(q_learning_loss, gamma=gamma, double=double, loss=loss)
        self._steps = GradientSteps(
            self.q_network, self.target_network, self.optimizer, self._loss, compiled=compiled
        )

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.int64]:
        """Return the greedy action of every observation, or with probability epsilon a random one.

        A call that explores always draws the same numbers from `rng`, whatever the outcome.

        Args:
            observation: (batch, state), or (state,) for one.
            rng: drawn from only if `explore`.
            explore: False: greedy.

        Returns:
            (batch,), or 0-d for one observation.

        Raises:
            ValueError: The observation has another length.
        """
        rows = check_rows(observation, self.state_size, self.dtype)
        if explore:
            actions = choose_actions(
                lambda: self._greedy(rows), len(rows), self.action_size, self.epsilon, rng
            )
        else:
            actions = self._greedy(rows)
        return actions.reshape(np.shape(observation)[:-1])

    def remember(
        self,
        observation: NDArray[np.floating],
        action: int,
        reward: float,
        next_observation: NDArray[np.floating],
        terminated: bool,
    ) -> None:
        """Store one transition; the oldest one goes when the memory is full."""
        self.memory.add(observation, action, reward, next_observation, terminated)

    def replay(self, rng: np.random.Generator) -> float:
        """Train on a random batch, decay epsilon, and return the loss; 0.0 while there is less than a batch."""
        if len(self.memory) < self.batch_size:
            return 0.0
        loss = self.update(self.memory.sample(self.batch_size, rng))["loss"]
        self.epsilon = decay_epsilon(
            self.epsilon, epsilon_min=self.epsilon_min, epsilon_decay=self.epsilon_decay
        )
        return loss

    def update_many(self, count: int, rng: np.random.Generator) -> float:
        """Do `count` replays and return their mean loss; compiled updates are fastest in multiples of 8.

        Draws, decay and (on the CPU) dropout masks are those of as many calls of `replay`.
        """
        if len(self.memory) < self.batch_size or count < 1:
            return 0.0
        indices = self.memory.sample_indices(self.batch_size, rng, count=count)
        batches = self._transfer(self.memory.gather(indices))
        losses = self._steps(batches, self._masks.draw(count, self.batch_size))
        for _ in range(count):
            self.epsilon = decay_epsilon(
                self.epsilon, epsilon_min=self.epsilon_min, epsilon_decay=self.epsilon_decay
            )
        return losses.mean().item()

    def update(self, batch: Batch, noise: Noise | None = None) -> dict[str, float]:
        """Take one gradient step.

        Args:
            batch: transitions.
            noise: dropout masks by layer name, (batch, units); None: drawn here. Ones switch dropout off.

        Returns:
            "loss": before the step.

        Raises:
            ValueError: Shapes or names of masks do not fit.
        """
        tensors, masks = self._tensors(batch), self._masks.take(len(batch.reward), noise)
        losses = self._steps(
            TensorBatch(*(field[None] for field in tensors)),
            {name: mask[None] for name, mask in masks.items()},
        )
        return {"loss": losses.item()}

    def loss_and_gradients(
        self, batch: Batch, noise: Noise | None = None
    ) -> tuple[float, dict[str, NDArray[np.floating]]]:
        """Return the loss and its unclipped gradients, named and laid out as in `get_weights`; nothing changes."""
        parameters = dict(self.q_network.named_parameters())
        tensors, masks = self._tensors(batch), self._masks.take(len(batch.reward), noise)
        loss = self._loss(self.q_network, self.target_network, tensors, masks)
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        return loss.item(), read_weights(dict(zip(parameters, gradients, strict=True)))

    def update_target(self) -> None:
        """Copy the online network into the target network."""
        self.target_network.load_state_dict(self.q_network.state_dict())

    def train(
        self,
        environment: Environment,
        episodes: int = 1000,
        *,
        rng: np.random.Generator | None = None,
        update_target_freq: int = 10,
        save_path: str | Path | None = None,
        tensorboard_log: str | Path | bool | None = None,
    ) -> TrainingResult:
        """Train as the guide does; `experience.training.train` has all that can be set.

        Args:
            environment: of Gymnasium, or `experience.environments.language_learning`.
            episodes: to play.
            rng: None: from the agent's seed.
            update_target_freq: episodes between two copies of the target network.
            save_path: for `save`, every 100 episodes and at the end.
            tensorboard_log: folder for TensorBoard; True: runs/guide, False: none, as the guide's agent has it.

        Returns:
            The figures of the run; those of every episode are in `history`.
        """
        return train_by_guide(
            self,
            environment,
            episodes,
            rng=rng or np.random.default_rng(self.configuration["seed"]),
            update_target_freq=update_target_freq,
            save_path=save_path,
            tensorboard_log=tensorboard_log,
        )

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of the online network's weights: "fc1/kernel" (in, out), "fc1/bias" (out,), ..."""
        return read_weights(dict(self.q_network.named_parameters()))

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Set the online network's weights; the target network keeps its own until `update_target`.

        Raises:
            ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
        """
        write_weights(self.q_network, weights)

    def get_q_values(self, state: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the values of all actions: (actions,) for one state, (batch, actions) for several."""
        rows = check_rows(state, self.state_size, self.dtype)
        with torch.inference_mode():
            values: NDArray[np.floating] = self.q_network(self._tensor(rows)).cpu().numpy()
        return values.reshape(*np.shape(state)[:-1], self.action_size)

    def get_action_explanation(self, state: NDArray[np.floating]) -> dict[str, object]:
        """Return the greedy action of one state and why; keys as `experience.dqn_rules.explain_action` says."""
        return explain_action(self.get_q_values(state), self.epsilon)

    def get_device_info(self) -> dict[str, object]:
        """Return where the agent runs; keys as `devices.describe_device` says."""
        return describe_device(self.device)

    def save(self, path: str | Path) -> None:
        """Write `<path>.pth`: everything but the replay memory; training goes on from it bit by bit.

        The guide's pair of `<path>_model.pth` and `<path>_params.pkl` is one file here: a pickle runs code when it
        is loaded, and two files can be of different runs.
        """
        metadata = {
            "agent": {
                "class": "DQNAgent",
                "configuration": self.configuration,
                "epsilon": self.epsilon,
                "history": self.history,
                "updates": self._steps.done,
            }
        }
        write_checkpoint(
            checkpoint_path(path),
            self.q_network.state_dict(),
            optimizer_state_dict=self.optimizer.state_dict(),
            metadata=metadata,
            extras={
                "target_model_state_dict": self.target_network.state_dict(),
                "generator_state": self._masks.generator.get_state(),
            },
        )

    @classmethod
    def load(cls, path: str | Path, **settings: Any) -> Self:  # noqa: ANN401  of the constructor
        """Return the agent of a `save`, of a converted Keras file or of the guide's own `_model.pth`.

        The last two do not say everything: sizes, dueling and dtype are read off the arrays, dropout and Adam's
        numbers are taken from the file if it has them, all else are the defaults or `settings`. Without a target
        network in the file, it is a copy of the online one.

        Args:
            path: with or without `.pth`.
            settings: arguments of the constructor that replace what the file says.

        Raises:
            CheckpointError: The file is damaged or not of a network like this.
        """
        path = checkpoint_path(path)
        checkpoint = read_checkpoint(path)
        saved = checkpoint.agent("DQNAgent")
        try:
            if saved is None:
                checkpoint = rename_layers(checkpoint)
            known = saved["configuration"] if saved else infer_settings(checkpoint)
            agent = cls(**{**known, **settings})
            agent.q_network.load_state_dict(checkpoint.model_state_dict)
            target = checkpoint.extras.get("target_model_state_dict", checkpoint.model_state_dict)
            agent.target_network.load_state_dict(cast("Mapping[str, Any]", target))
            load_optimizer(agent.optimizer, agent.q_network, checkpoint, replaced=set(settings))
            if saved:
                agent.epsilon = settings.get("epsilon", float(saved["epsilon"]))
                agent.history = {key: list(values) for key, values in saved["history"].items()}
                # For "auto": a run that is continued compiles where it would have.
                agent._steps.done = int(saved.get("updates", 0))
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            msg = f"{path}: not a DQNAgent of these settings: {error}"
            raise CheckpointError(msg) from error
        agent._masks.load(checkpoint.extras.get("generator_state"))
        return agent

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """Return a tensor of the network's dtype on its device."""
        return to_tensor(array, self.dtype, self.device)

    def _greedy(self, rows: NDArray[np.floating]) -> NDArray[np.int64]:
        with torch.inference_mode():
            values = self.q_network.evaluate(self._tensor(rows))
        action: NDArray[np.int64] = values.cpu().numpy().argmax(axis=1)
        return action

    def _tensors(self, batch: Batch) -> TensorBatch:
        for rows in (batch.observation, batch.next_observation):
            check_rows(rows, self.state_size, self.dtype)
        return self._transfer(batch)

    def _transfer(self, batch: Batch) -> TensorBatch:
        """Return the fields as tensors, whatever axes come before those of one transition."""
        arrays = (batch.observation, batch.reward, batch.next_observation, batch.terminated)
        observation, reward, following, terminated = (
            torch.from_numpy(np.array(array, dtype=self.dtype)) for array in arrays
        )
        action = torch.from_numpy(np.array(batch.action, dtype=np.int64))
        tensors = TensorBatch(observation, action, reward, following, terminated)
        return to_device(tensors, self.device)
