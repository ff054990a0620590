"""What the offline agents share: networks, steps, targets, noise, files.

An algorithm says its networks, which step trains which of them, and the loss of every step; the rest is here. The steps
of an update are taken one after the other, each at the weights that the ones before it left.

Mirror: legacy_tf/offline_agent.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experience.actor_critics import generator_text, set_generator
from experience.agent import Batch, Noise
from experience.offline_data import ReplayBuffer
from experience.offline_settings import ActionScaling, Settings, check_actions, choose_settings
from experience.shapes import check_rows, check_shapes
from torch_impl.arrays import fill_tensors, keras_name, to_array, to_numbers, to_tensor
from torch_impl.checkpoints import CheckpointError, checkpoint_path
from torch_impl.devices import describe_device, find_device
from torch_impl.losses import TensorBatch
from torch_impl.offline_files import read_agent_file, read_configuration, write_agent_file
from torch_impl.offline_updates import Networks, OfflineUpdates

UPDATES_PER_CALL = 10
"""Updates that are compiled into one call; a divisor of the usual intervals between two target copies."""
UPDATES_PER_LARGE_CALL = 2
"""The same for agents with several steps and networks, whose compilation takes as many times longer."""


class OfflineAgent(ABC):
    """Base of the agents that learn from recorded transitions.

    Attributes:
        settings: hyper-parameters by name, as `experience.offline_settings` has them.
        networks: name to network: "q_network", "target_network", "policy", ...; each is an attribute as well.
        optimizers: torch.optim.Adam by step: "q", or "critic" and "actor".
        rng: draws the noise that is not handed in.
        device: of everything.
        updates_per_call: updates that are compiled into one call.

    Args:
        obs_dim: numbers in an observation.
        action_dim: number of actions, or numbers in an action.
        device: "cpu", "cuda", ..., or "auto".
        lr: learning rate, of every optimizer; None: the preset's.
        gamma: discount per step; None: the preset's.
        preset: of `experience.offline_settings.PRESETS`; None: the first one of the class.
        dtype: "float32" or "float64".
        seed: of first weights and noise.
        compiled: True: `update_many` compiles several updates into one call.
        settings: further hyper-parameters that replace the preset's.

    Raises:
        ValueError: A setting is unknown or out of range, or the device is not there.
    """

    trained: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    targets: ClassVar[Mapping[str, str]] = {}
    updates_per_call: int = UPDATES_PER_CALL
    discrete: bool = True

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        device: str = "cpu",
        lr: float | None = None,
        gamma: float | None = None,
        *,
        preset: str | None = None,
        dtype: str = "float32",
        seed: int = 0,
        compiled: bool = False,
        **settings: Any,  # noqa: ANN401  see `Settings`
    ) -> None:
        given = {"lr": lr, "gamma": gamma, **settings}
        self.settings: Settings = choose_settings(type(self).__name__, preset, given)
        self.obs_dim, self.action_dim = obs_dim, action_dim
        self.preset, self.dtype, self.seed = preset, dtype, seed
        self.device = find_device(device)
        self.rng = np.random.default_rng(seed)
        self.networks: dict[str, Any] = {}  # Any: see `Networks`
        self._scaling = ActionScaling(
            self.settings.get("action_low"), self.settings.get("action_high"), action_dim
        )
        self.create_networks()
        self._updates = OfflineUpdates(
            self.networks,
            trained=self.trained,
            targets=self.targets,
            losses=self.step_losses,
            steps_at=self.steps_at,
            learning_rates={step: self.learning_rate(step) for step in self.trained},
            tau=self.settings.get("tau"),
        )
        self.optimizers = self._updates.optimizers
        self.update_target_network()
        if compiled:
            self._updates.compile(self.updates_per_call)

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """Return the names of all hyper-parameters that the constructor takes beyond its own arguments."""
        return tuple(choose_settings(cls.__name__, None, {}))

    @abstractmethod
    def create_networks(self) -> None:
        """Add the networks with `add_network`, trained ones and targets."""

    @abstractmethod
    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the figures of a step; the first one is what it minimises."""

    @abstractmethod
    def best_action(self, networks: Networks, observation: Tensor) -> Tensor:
        """Return the greedy action of every row: (batch,) indices, or (batch, action) in [-1, 1]."""

    def noise_shapes(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Return the noise arrays of one update: standard normal, those called "uniform..." uniform in [-1, 1)."""
        return {}

    def steps_at(self, number: int) -> tuple[str, ...]:
        """Return the steps of update `number`, counted from 0, in their order."""
        return tuple(self.trained)

    def add_network(self, name: str, network: nn.Module) -> None:
        """Keep the network under its name, as an attribute as well."""
        self.networks[name] = network.to(self.device)
        setattr(self, name, network)

    def learning_rate(self, step: str) -> float:
        """Return the setting "<step>_lr", or "lr" of an algorithm with one optimizer."""
        name = f"{step}_lr"
        return float(self.settings[name if name in self.settings else "lr"])

    @property
    def updates(self) -> int:
        """Updates done so far."""
        return self._updates.done

    @property
    def optimizer(self) -> torch.optim.Adam:
        """The optimizer of an algorithm that has one.

        Raises:
            AttributeError: It has several, by step in `optimizers`.
        """
        if len(self.optimizers) != 1:
            msg = f"{type(self).__name__} has no single optimizer; `optimizers` has {', '.join(self.optimizers)}"
            raise AttributeError(msg)
        [only] = self.optimizers.values()
        return only

    @property
    def batch_size(self) -> int:
        """Transitions of an update, as the settings say."""
        return int(self.settings["batch_size"])

    def predict(self, observation: NDArray[np.floating]) -> NDArray[Any]:
        """Return the greedy action of every observation.

        Args:
            observation: (batch, obs_dim), or (obs_dim,) for one.

        Returns:
            int64 (batch,), or 0-d for one; or numbers (batch, action_dim), or (action_dim,), within the bounds of the
            settings.

        Raises:
            ValueError: The observation has another length.
        """
        rows = check_rows(observation, self.obs_dim, self.dtype)
        with torch.inference_mode():
            found = self.best_action(self.networks, self._tensor(rows)).cpu().numpy()
        actions: NDArray[Any] = found if self.discrete else self._scaling.from_unit(found)
        return actions if np.ndim(observation) > 1 else actions[0]

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[Any]:
        """Return `predict`: an offline agent does not explore."""
        return np.asarray(self.predict(observation))

    def update(self, batch: Batch, noise: Noise | None = None) -> dict[str, float]:
        """Take the steps of one update.

        Args:
            batch: transitions.
            noise: arrays of `noise_shapes`; None: drawn here.

        Returns:
            "loss" and the figures of the steps, as they were before each. Of several steps "loss" is the sum of the
            magnitudes of theirs.

        Raises:
            ValueError: Shapes or names do not fit.
        """
        tensors = self._tensors(batch)
        drawn = self._noise_tensors(len(batch.reward), noise)
        return to_numbers(self._updates.take(tensors, drawn))

    def update_many(
        self,
        buffer: ReplayBuffer,
        count: int,
        generator: np.random.Generator,
        batch_size: int | None = None,
    ) -> dict[str, float]:
        """Do `count` updates on random batches and return the means of their figures.

        Draws, and all else but rounding, are those of as many calls of `update`. Compiled, it is fastest where `count`
        is a multiple of `updates_per_call`.

        Args:
            buffer: to draw from.
            count: updates, at least one.
            generator: draws the batches.
            batch_size: None: the settings' own.
        """
        size = self.batch_size if batch_size is None else batch_size
        sums: dict[str, list[Tensor]] = {}
        left = count
        while left > 0:
            length = self._updates.best_count(left)
            batches = buffer.gather(buffer.sample_indices(size, generator, count=length))
            self._check(Batch(*(field[0] for field in batches)))  # they are alike
            drawn = [self.draw_noise(size) for _ in range(length)]
            noise = {name: self._tensor(np.stack([d[name] for d in drawn])) for name in drawn[0]}
            figures = self._updates.take_several(self._transfer(batches), noise)
            for name, values in figures.items():
                sums.setdefault(name, []).append(values)
            left -= length
        return to_numbers({name: torch.cat(values).mean() for name, values in sums.items()})

    def loss_and_gradients(
        self, batch: Batch, noise: Noise | None = None
    ) -> tuple[float, dict[str, NDArray[np.floating]]]:
        """Return the loss of all steps at the present weights and their gradients; nothing changes."""
        tensors = self._tensors(batch)
        drawn = self._noise_tensors(len(batch.reward), noise)
        names = {id(p): name for name, p in self._named_parameters().items()}
        loss, gradients = self._updates.differentiate(tensors, drawn)
        return loss, {names[id(p)]: to_array(gradient) for p, gradient in gradients}

    def update_target_network(self) -> None:
        """Copy the trained networks into their targets."""
        self._updates.copy_targets()

    def update_target(self) -> None:
        """Do `update_target_network`: the name that all agents of this project have for it."""
        self.update_target_network()

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all trained weights: "q_network/fc1/kernel" (in, out), ...; no targets."""
        return {
            name: array
            for name, array in self.read_variables().items()
            if name.partition("/")[0] not in self.targets
        }

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Set all trained weights; the targets keep theirs until they are updated.

        Raises:
            ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
        """
        needed = {name: array.shape for name, array in self.get_weights().items()}
        check_shapes("weights", weights, needed)
        self.write_variables(weights)

    def read_variables(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all weights, targets included."""
        return {name: to_array(parameter) for name, parameter in self._named_parameters().items()}

    def write_variables(self, arrays: Mapping[str, NDArray[np.floating]]) -> None:
        """Set some of the weights of `read_variables`.

        Raises:
            ValueError: A name is unknown or a shape differs; nothing is changed then.
        """
        fill_tensors("variables", self._named_parameters(), arrays)

    def get_device_info(self) -> dict[str, object]:
        """Return where the agent runs; keys as `devices.describe_device` says."""
        return describe_device(self.device)

    def save_model(self, path: str | Path) -> None:
        """Write everything but the data to exactly this path; training goes on from it bit by bit.

        The file is of the .pth contract and has the keys of the migration guide as well: the name of every network
        ("q_network", "target_network", "policy_network", ...) with its state dict, and "optimizer".
        """
        state = {
            "class": type(self).__name__,
            "configuration": self.configuration(),
            "updates": self.updates,
            "generator": generator_text(self.rng),
        }
        write_agent_file(Path(path), self.networks, self.optimizers, state)

    def load_model(self, path: str | Path) -> None:
        """Read what `save_model` wrote, or the guide's own files: networks by name, layers by their order.

        Raises:
            CheckpointError: The file is damaged or not of an agent like this; nothing is changed then.
        """
        stored = read_agent_file(Path(path), self.networks, self.optimizers, set(self.targets))
        self._updates.restart(int(cast("int", stored.get("updates", self.updates))))
        if "generator" in stored:
            set_generator(self.rng, str(stored["generator"]))

    def save(self, path: str | Path) -> None:
        """Do `save_model`; the name may leave `.pth` out."""
        self.save_model(checkpoint_path(path))

    @classmethod
    def load(cls, path: str | Path, **settings: Any) -> Self:  # noqa: ANN401  of the constructor
        """Return the agent of a `save`; `settings` replace arguments of the constructor.

        Raises:
            CheckpointError: The file is damaged, or of another class.
        """
        path = checkpoint_path(path)
        try:
            agent = cls(**{**read_configuration(path, cls.__name__), **settings})
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{path}: not a {cls.__name__}: {error}"
            raise CheckpointError(msg) from error
        agent.load_model(path)
        return agent

    def configuration(self) -> Settings:
        """Return the arguments of the constructor as plain data, without those of the machine."""
        return {
            "obs_dim": self.obs_dim,
            "action_dim": self.action_dim,
            "preset": self.preset,
            "dtype": self.dtype,
            "seed": self.seed,
            **self.settings,
        }

    def draw_noise(self, rows: int) -> dict[str, NDArray[np.floating]]:
        """Return the noise of one update from the agent's generator."""
        return {
            name: self.rng.uniform(-1.0, 1.0, shape)
            if name.startswith("uniform")
            else self.rng.standard_normal(shape)
            for name, shape in self.noise_shapes(rows).items()
        }

    def _named_parameters(self) -> dict[str, nn.Parameter]:
        return {
            f"{name}/{keras_name(path)}": parameter
            for name, network in self.networks.items()
            for path, parameter in network.named_parameters()
        }

    def _tensors(self, batch: Batch) -> TensorBatch:
        """Return a checked batch as tensors."""
        self._check(batch)
        return self._transfer(batch)

    def _check(self, batch: Batch) -> None:
        """Raise ValueError where the shapes of a batch do not fit."""
        for rows in (batch.observation, batch.next_observation):
            check_rows(rows, self.obs_dim, self.dtype)
        size = len(batch.reward)
        needed = {"action": (size,) if self.discrete else (size, self.action_dim)}
        needed |= {"reward": (size,), "terminated": (size,)}
        check_shapes("batch fields", {name: getattr(batch, name) for name in needed}, needed)

    def _transfer(self, batch: Batch) -> TensorBatch:
        """Return the fields as tensors, whatever axes come before those of one transition."""
        if self.discrete:
            check_actions(np.asarray(batch.action), self.action_dim)
            action = torch.from_numpy(np.array(batch.action, dtype=np.int64)).to(self.device)
        else:
            action = self._tensor(self._scaling.to_unit(np.asarray(batch.action)))
        return TensorBatch(
            self._tensor(batch.observation),
            action,
            self._tensor(batch.reward),
            self._tensor(batch.next_observation),
            self._tensor(batch.terminated),
        )

    def _noise_tensors(self, rows: int, noise: Noise | None) -> dict[str, Tensor]:
        drawn = self.draw_noise(rows) if noise is None else noise
        check_shapes("noise arrays", drawn, self.noise_shapes(rows))
        return {name: self._tensor(array) for name, array in drawn.items()}

    def _tensor(self, array: NDArray[Any]) -> Tensor:  # Any: booleans as well
        """Return a tensor of the agent's dtype on its device."""
        return to_tensor(array, self.dtype, self.device)
