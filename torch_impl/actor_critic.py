"""What DDPG, TD3, SAC, the image DQN and return decomposition share: networks, steps, targets, files.

An algorithm says its networks, its optimizers and its two losses; the rest is here. Both losses are computed anew from
the tensors of every batch. A joint step takes all gradients at the old weights and then applies them.

Mirror: legacy_tf/actor_critic.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experience.actor_critics import (
    Settings,
    action_noise,
    batch_arrays,
    initial_array,
    observation_rows,
    target_pairs,
    trained_names,
    transition_shapes,
)
from experience.agent import Noise
from experience.shapes import check_shapes
from torch_impl.agent_files import load_agent, read_settings, save_agent
from torch_impl.agent_steps import AgentSteps
from torch_impl.arrays import (
    fill_tensor,
    fill_tensors,
    original_name,
    to_array,
    to_numbers,
    to_tensor,
)
from torch_impl.devices import find_device
from torch_impl.normalizer import SCOPE, create_normalizer, normalize_batch
from torch_impl.session_optimizers import AdamOptimizer, RMSPropOptimizer
from torch_impl.variables import get_vars

Shapes = dict[str, tuple[int | None, ...]]
Tensors = Mapping[str, Tensor]
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class Losses(NamedTuple):
    """What one kind of step minimises and what it reports.

    Attributes:
        objectives: optimizer name to the 0-d tensor that it minimises, in the order in which they are applied.
        figures: name to 0-d tensor, as the log shows it.
    """

    objectives: dict[str, Tensor]
    figures: dict[str, Tensor]


class ActorCritic(ABC):
    """Base of the agents.

    Attributes:
        args: flags: obs_dims, acts_dims, gamma, polyak, obs_normalization and what the algorithm reads.
        networks: name to network: "policy", "value", "target_policy", ... and "normalizer".
        normalizer: of the observations, or None.
        optimizers: by name; the names are the keys of `Losses.objectives`.
        counters: steps done, by kind: "pi", "q", "target".
        rng: draws the noise that is not handed in.
        device: of everything.

    Args:
        args: see above; `hidden_sizes`, if there, replaces the units of all hidden layers.
        dtype: "float32" or "float64".
        seed: of first weights and noise.
        device: "cpu", "cuda", or "auto": CUDA if there is one and `args.cuda` is not False.
    """

    normalized_inputs: tuple[str, ...] = ("obs", "obs_next")
    noise_names: tuple[str, ...] = ()

    def __init__(
        self, args: Settings, *, dtype: str = "float32", seed: int = 0, device: str = "auto"
    ) -> None:
        self.args, self.dtype, self.seed = args, dtype, seed
        self.rng = np.random.default_rng(seed)
        wanted = "cpu" if device == "auto" and getattr(args, "cuda", True) is False else device
        self.device = find_device(wanted)
        self.networks: dict[str, Any] = {}  # Any: what a call returns is the network's own
        self._steps = AgentSteps({"pi": self.pi_losses, "q": self.q_losses})
        self.optimizers, self._trained = self._steps.optimizers, self._steps.trained
        self.counters = {"pi": 0, "q": 0, "target": 0}
        self._variables: dict[str, Tensor] = {}
        self.normalizer = create_normalizer(args, dtype)
        if self.normalizer is not None:
            self.add_network("normalizer", self.normalizer, scope=SCOPE)
        self.create_networks()
        pairs = target_pairs(self._variables)
        self._targets, self._mains = (
            [self._variables[pair[side]] for pair in pairs] for side in (0, 1)
        )
        self.create_optimizers()
        self.target_init()

    @property
    def is_cuda(self) -> bool:
        """Whether there is a GPU to compute on."""
        return self.device.type == "cuda"

    @abstractmethod
    def create_networks(self) -> None:
        """Add the networks with `add_network`."""

    @abstractmethod
    def create_optimizers(self) -> None:
        """Add the optimizers with `add_optimizer`."""

    @abstractmethod
    def pi_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return what a policy step minimises; observations in `batch` are normalised."""

    @abstractmethod
    def q_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return what a critic step minimises; observations in `batch` are normalised."""

    @abstractmethod
    def greedy_action(self, observation: Tensor) -> Tensor:
        """Return the best actions (batch, action) of normalised observations."""

    @abstractmethod
    def exploring_action(self, observation: Tensor, noise: Tensor) -> Tensor:
        """Return actions that explore, from standard normal noise (batch, action)."""

    @abstractmethod
    def step_figures(self, observation: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Return what a test episode reports of one step: "Q_average", ..."""

    def input_shapes(self) -> Shapes:
        """Return the arrays of a batch, None for the batch axis."""
        return transition_shapes(self.args)

    def convert_batch(self, batch: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401  see `batch_arrays`
        """Return the arrays of `input_shapes` from a batch."""
        return batch_arrays(batch)

    def add_network(self, name: str, network: AnyNetwork, *, scope: str) -> AnyNetwork:
        """Keep the network and give its variables their names: scope "main/policy/net", "target/policy/net", ..."""
        self.networks[name] = network.to(self.device)
        setattr(self, name, network)
        for parameter_name, parameter in network.named_parameters():
            variable = f"{scope}/{original_name(parameter_name)}"
            self._variables[variable] = parameter
            if scope.startswith("target/"):
                parameter.requires_grad_(False)
            if parameter.ndim > 0:
                # Scalars keep what the network gave them (the temperature of SAC).
                shape = tuple(to_array(parameter).shape)
                fill_tensor(parameter, initial_array(variable, shape, self.seed))
        for buffer_name, buffer in network.named_buffers():
            self._variables[f"{scope}/{buffer_name}"] = buffer
        return network

    def add_optimizer(
        self,
        name: str,
        prefix: str,
        *,
        learning_rate: float,
        epsilon: float = 1e-8,
        kind: str = "adam",
        decay: float = 0.9,
    ) -> None:
        """Add the optimizer of all variables whose names begin with `prefix`.

        Args:
            name: key of `Losses.objectives`.
            prefix: of `get_vars`.
            learning_rate: constant.
            epsilon: beside or inside the root.
            kind: "adam" or "rmsprop".
            decay: of "rmsprop".
        """
        self._trained[name] = get_vars(self._variables, prefix)
        self.optimizers[name] = (
            AdamOptimizer(self._trained[name], learning_rate, epsilon=epsilon)
            if kind == "adam"
            else RMSPropOptimizer(self._trained[name], learning_rate, decay=decay, epsilon=epsilon)
        )

    def step(
        self,
        observation: NDArray[np.floating],
        explore: bool = False,
        test_info: bool = False,
        noise: NDArray[np.floating] | None = None,
    ) -> Any:  # noqa: ANN401  as in the original: one value or two
        """Return the action of one observation, or of several.

        Args:
            observation: (*observation) or (batch, *observation), not normalised.
            explore: add noise.
            test_info: also return the figures of the step.
            noise: standard normal, of the action's shape; None: drawn here if needed.

        Returns:
            Action, (action) or (batch, action); with `test_info` a pair of it and a dictionary of floats.
        """
        rows, single = self._rows(observation)
        with torch.inference_mode():
            x = self._normalize({"obs": self._tensor(rows)})["obs"]
            drawn = self._tensor(self._action_noise(len(rows), explore, noise))
            chosen = self.exploring_action(x, drawn) if explore else self.greedy_action(x)
            figures = self.step_figures(x, drawn) if test_info else {}
        action = chosen.cpu().numpy()
        action = action[0] if single else action
        if not test_info:
            return action
        return action, {name: value.mean().item() for name, value in figures.items()}

    def train(self, batch: Any, noise: Noise | None = None) -> dict[str, float]:  # noqa: ANN401
        """Take a policy step and a critic step with gradients at the same weights; return the figures of both."""
        return self._run("joint", batch, noise)

    def train_pi(self, batch: Any, noise: Noise | None = None) -> dict[str, float]:  # noqa: ANN401
        """Take a policy step and return its figures."""
        return self._run("pi", batch, noise)

    def train_q(self, batch: Any, noise: Noise | None = None) -> dict[str, float]:  # noqa: ANN401
        """Take a critic step and return its figures."""
        return self._run("q", batch, noise)

    def normalizer_update(self, batch: Any) -> None:  # noqa: ANN401
        """Add the observations and next observations of a batch to the normaliser's statistics, if there is one."""
        if self.normalizer is not None:
            arrays = self.convert_batch(batch)
            rows = np.concatenate([arrays["obs"], arrays["obs_next"]])
            self.normalizer.update(rows.astype(self.dtype, copy=False))

    def target_update(self) -> None:
        """Move the target networks towards the trained ones: target = polyak * target + (1 - polyak) * main."""
        polyak = self.args.polyak
        with torch.no_grad():
            torch._foreach_mul_(self._targets, polyak)
            torch._foreach_add_(self._targets, self._mains, alpha=1.0 - polyak)
        self.counters["target"] += 1

    def target_init(self) -> None:
        """Copy the trained networks into the target networks."""
        with torch.no_grad():
            torch._foreach_copy_(self._targets, self._mains)

    def compile_steps(self) -> str | None:
        """Compile every kind of step at its first call with a size of batch, for 10 to 60 seconds each.

        The numbers of `args` that the losses read are fixed then. Should the compiler fail, steps go on in eager
        PyTorch with a line in the log.

        Returns:
            What stands against it, steps then stay in eager PyTorch; None if nothing does.
        """
        return self._steps.compile(self.network_modules())

    def use_mixed_precision(self) -> str | None:
        """Compute the layers of networks in bfloat16 in all later training steps.

        Returns:
            What stands against it, all stays in float32 then; None if nothing does.
        """
        return self._steps.use_mixed_precision(self.network_modules(), self.dtype)

    def losses(self, batch: Any, noise: Noise | None = None) -> dict[str, float]:  # noqa: ANN401
        """Return the figures of `train`; nothing changes."""
        with torch.no_grad():
            losses = self._steps.losses("joint", *self._tensors(batch, noise))
        return to_numbers(losses.figures)

    def network_modules(self) -> nn.ModuleDict:
        """Return all networks and the normaliser as one module."""
        return nn.ModuleDict(self.networks)

    def read_variables(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all weights and statistics under the original's names: "main/policy/net/pi/kernel" (in, out)."""
        return {name: to_array(tensor) for name, tensor in self._variables.items()}

    def write_variables(self, arrays: Mapping[str, NDArray[np.floating]]) -> None:
        """Set some of the variables of `read_variables`.

        Raises:
            ValueError: A name is unknown or a shape differs; nothing is changed then.
        """
        fill_tensors("variables", self._variables, arrays)

    def save_model(self, path: str | Path) -> None:
        """Write everything but the replay buffer; training goes on from it bit by bit."""
        save_agent(self, path)

    def load_model(self, path: str | Path) -> None:
        """Read what `save_model` wrote.

        Raises:
            CheckpointError: The file is damaged or not of an agent like this.
        """
        load_agent(self, path)

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.floating]:
        """Return `step` with noise from `rng`, which is drawn from only if `explore`."""
        rows, single = self._rows(observation)
        noise = rng.standard_normal((len(rows), *self.args.acts_dims)) if explore else None
        actions: NDArray[np.floating] = self.step(rows, explore, noise=noise)
        return actions[0] if single else actions

    def update(self, batch: Any, noise: Noise | None = None) -> dict[str, float]:  # noqa: ANN401
        """Do `train`: the name that all agents of this project have for it."""
        return self.train(batch, noise)

    def update_target(self) -> None:
        """Do `target_init`: the name that all agents of this project have for it."""
        self.target_init()

    def loss_and_gradients(
        self,
        batch: Any,  # noqa: ANN401
        noise: Noise | None = None,
    ) -> tuple[float, dict[str, NDArray[np.floating]]]:
        """Return the sum of the magnitudes of all figures and the gradients of all trained weights; nothing changes.

        Magnitudes, because the losses of policy and critic may cancel, and with them what differs.
        """
        losses = self._steps.losses("joint", *self._tensors(batch, noise))
        gradients = self._steps.differentiate(losses)
        names = {id(tensor): name for name, tensor in self._variables.items()}
        found = {
            names[id(parameter)]: to_array(gradient)
            for name, each in gradients.items()
            for parameter, gradient in zip(self._trained[name], each, strict=True)
        }
        return sum(map(abs, to_numbers(losses.figures).values())), found

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all trained weights, without the target networks."""
        return {name: to_array(self._variables[name]) for name in trained_names(self._variables)}

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Set all trained weights.

        Raises:
            ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
        """
        needed = {name: array.shape for name, array in self.get_weights().items()}
        check_shapes("weights", weights, needed)
        self.write_variables(weights)

    def get_actions(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the greedy actions of (batch, *observation), or of one observation."""
        actions: NDArray[np.floating] = self.step(observation)
        return actions

    def get_values(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the critic's value of the greedy action, "Q_average", (batch, 1), or (1,) for one observation."""
        rows, single = self._rows(observation)
        noise = self._action_noise(len(rows), explore=False, noise=None)
        with torch.inference_mode():
            x = self._normalize({"obs": self._tensor(rows)})["obs"]
            found = self.step_figures(x, self._tensor(noise))["Q_average"]
        values: NDArray[np.floating] = found.cpu().numpy()
        return values[0] if single else values

    def save(self, path: str | Path) -> None:
        """Do `save_model`: the name that all agents of this project have for it."""
        self.save_model(path)

    @classmethod
    def load(cls, path: str | Path, **settings: Any) -> Self:  # noqa: ANN401  of the constructor
        """Return the agent of a `save`; `settings` replace arguments of the constructor."""
        agent = cls(**read_settings(path, settings))
        agent.load_model(path)
        return agent

    def _normalize(self, batch: Tensors) -> dict[str, Tensor]:
        return normalize_batch(self.normalizer, batch, self.normalized_inputs)

    def _rows(self, observation: NDArray[np.floating]) -> tuple[NDArray[np.floating], bool]:
        return observation_rows(self.args, observation, self.dtype)

    def _action_noise(
        self, rows: int, explore: bool, noise: NDArray[np.floating] | None
    ) -> NDArray[np.floating]:
        shape = (rows, *self.args.acts_dims)
        return action_noise(shape, self.rng, explore=explore, noise=noise)

    def _run(self, kind: str, batch: Any, noise: Noise | None) -> dict[str, float]:  # noqa: ANN401
        figures = self._steps.take(kind, *self._tensors(batch, noise))
        for counted in ("pi", "q") if kind == "joint" else (kind,):
            self.counters[counted] += 1
        return to_numbers(figures)

    def _tensors(self, batch: Any, noise: Noise | None) -> tuple[Tensors, Tensors]:  # noqa: ANN401
        arrays = self.convert_batch(batch)
        shape = (len(arrays["obs"]), *self.args.acts_dims)
        if noise is None:
            noise = {name: self.rng.standard_normal(shape) for name in self.noise_names}
        check_shapes("noise arrays", noise, dict.fromkeys(self.noise_names, shape))
        feed = {name: self._tensor(arrays[name]) for name in self.input_shapes() if name in arrays}
        return self._normalize(feed), {name: self._tensor(array) for name, array in noise.items()}

    def _tensor(self, array: NDArray[Any]) -> Tensor:  # Any: integers and booleans as well
        return to_tensor(array, self.dtype, self.device)
