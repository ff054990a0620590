"""What DDPG, TD3, SAC, the image DQN and return decomposition share: networks, steps, targets, files.

An algorithm says its networks, its optimizers and its two losses; the rest is here. Both losses are computed anew from
the tensors of every batch. A joint step takes all gradients at the old weights and then applies them.

Mirror: legacy_tf/actor_critic.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experience.actor_critics import (
    Settings,
    batch_arrays,
    generator_text,
    initial_array,
    plain_arguments,
    restore_arguments,
    set_generator,
)
from experience.agent import Noise
from experience.shapes import check_shapes
from torch_impl.checkpoints import (
    CheckpointError,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)
from torch_impl.compiled_losses import CompiledLosses
from torch_impl.compiled_steps import CompilingError
from torch_impl.devices import find_device
from torch_impl.networks import DTYPES
from torch_impl.normalizer import SCOPE, Normalizer
from torch_impl.session_optimizers import AdamOptimizer, RMSPropOptimizer, SessionOptimizer
from torch_impl.variables import get_vars

Shapes = dict[str, tuple[int | None, ...]]
Tensors = Mapping[str, Tensor]
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)

_log = logging.getLogger(__name__)


class Losses(NamedTuple):
    """What one kind of step minimises and what it reports.

    Attributes:
        objectives: optimizer name to the 0-d tensor that it minimises, in the order in which they are applied.
        figures: name to 0-d tensor, as the log shows it.
    """

    objectives: dict[str, Tensor]
    figures: dict[str, Tensor]


class ActorCritic:
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
        self.optimizers: dict[str, SessionOptimizer] = {}
        self.counters = {"pi": 0, "q": 0, "target": 0}
        self._trained: dict[str, list[Tensor]] = {}
        self._compiled: CompiledLosses | None = None
        self._variables: dict[str, Tensor] = {}
        self.normalizer = self._create_normalizer()
        self.create_networks()
        self._pairs = self._find_targets()
        self.create_optimizers()
        self.target_init()

    def create_networks(self) -> None:
        """Add the networks with `add_network`."""
        raise NotImplementedError

    def create_optimizers(self) -> None:
        """Add the optimizers with `add_optimizer`."""
        raise NotImplementedError

    def pi_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return what a policy step minimises; observations in `batch` are normalised."""
        raise NotImplementedError

    def q_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return what a critic step minimises; observations in `batch` are normalised."""
        raise NotImplementedError

    def greedy_action(self, observation: Tensor) -> Tensor:
        """Return the best actions (batch, action) of normalised observations."""
        raise NotImplementedError

    def exploring_action(self, observation: Tensor, noise: Tensor) -> Tensor:
        """Return actions that explore, from standard normal noise (batch, action)."""
        raise NotImplementedError

    def step_figures(self, observation: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Return what a test episode reports of one step: "Q_average", ..."""
        raise NotImplementedError

    def input_shapes(self) -> Shapes:
        """Return the arrays of a batch, None for the batch axis."""
        observation, action = self.args.obs_dims, self.args.acts_dims
        return {
            "obs": (None, *observation),
            "obs_next": (None, *observation),
            "acts": (None, *action),
            "rews": (None, 1),
            "done": (None, 1),
        }

    def convert_batch(self, batch: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401  see `batch_arrays`
        """Return the arrays of `input_shapes` from a batch."""
        return batch_arrays(batch)

    def add_network(self, name: str, network: AnyNetwork, *, scope: str) -> AnyNetwork:
        """Keep the network and give its variables their names: scope "main/policy/net", "target/policy/net", ..."""
        self.networks[name] = network.to(self.device)
        setattr(self, name, network)
        for parameter_name, parameter in network.named_parameters():
            variable = f"{scope}/{_original_name(parameter_name)}"
            self._variables[variable] = parameter
            if scope.startswith("target/"):
                parameter.requires_grad_(False)
            if parameter.ndim > 0:
                # Scalars keep what the network gave them (the temperature of SAC).
                shape = tuple(_to_array(parameter).shape)
                _fill(parameter, initial_array(variable, shape, self.seed))
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
            targets, mains = self._pairs
            torch._foreach_mul_(targets, polyak)
            torch._foreach_add_(targets, mains, alpha=1.0 - polyak)
        self.counters["target"] += 1

    def target_init(self) -> None:
        """Copy the trained networks into the target networks."""
        with torch.no_grad():
            torch._foreach_copy_(*self._pairs)

    def compile_steps(self) -> str | None:
        """Compile every kind of step at its first call with a size of batch, for 10 to 60 seconds each.

        The numbers of `args` that the losses read are fixed then. Should the compiler fail, steps go on in eager
        PyTorch with a line in the log.

        Returns:
            What stands against it, steps then stay in eager PyTorch; None if nothing does.
        """
        try:
            self._compiled = CompiledLosses(
                self._networks(), self._trained, self.optimizers, self._losses
            )
        except CompilingError as error:
            return str(error)
        return None

    def losses(self, batch: Any, noise: Noise | None = None) -> dict[str, float]:  # noqa: ANN401
        """Return the figures of `train`; nothing changes."""
        with torch.no_grad():
            losses = self._losses("joint", *self._tensors(batch, noise))
        return _numbers(losses.figures)

    def read_variables(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all weights and statistics under the original's names: "main/policy/net/pi/kernel" (in, out)."""
        return {name: _to_array(tensor) for name, tensor in self._variables.items()}

    def write_variables(self, arrays: Mapping[str, NDArray[np.floating]]) -> None:
        """Set some of the variables of `read_variables`.

        Raises:
            ValueError: A name is unknown or a shape differs; nothing is changed then.
        """
        known = {
            name: _to_array(self._variables[name]).shape
            for name in arrays
            if name in self._variables
        }
        check_shapes("variables", arrays, known)
        for name, array in arrays.items():
            _fill(self._variables[name], array)

    def save_model(self, path: str | Path) -> None:
        """Write everything but the replay buffer; training goes on from it bit by bit.

        One file, `<path>.pth`: all networks, optimizers and the normaliser, counters and the state of the noise.
        """
        write_checkpoint(
            checkpoint_path(path),
            self._networks().state_dict(),
            metadata={
                "agent": {
                    "class": type(self).__name__,
                    "arguments": plain_arguments(self.args),
                    "dtype": self.dtype,
                    "seed": self.seed,
                    "counters": self.counters,
                    "generator": generator_text(self.rng),
                }
            },
            extras={"optimizers": {name: o.state_dict() for name, o in self.optimizers.items()}},
        )

    def load_model(self, path: str | Path) -> None:
        """Read what `save_model` wrote; optimizers, counters and noise go on if the file has them.

        Raises:
            CheckpointError: The file is damaged or not of an agent like this.
        """
        path = checkpoint_path(path)
        checkpoint = read_checkpoint(path)
        try:
            self._networks().load_state_dict(checkpoint.model_state_dict)
            states = cast("Mapping[str, Any]", checkpoint.extras.get("optimizers", {}))
            for name, state in states.items():
                self.optimizers[name].load_state_dict(state)
            stored = cast("Mapping[str, Any]", checkpoint.metadata.get("agent", {}))
            self.counters = {**self.counters, **stored.get("counters", {})}
            if "generator" in stored:
                set_generator(self.rng, stored["generator"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            msg = f"{path}: not a {type(self).__name__} of these settings: {error}"
            raise CheckpointError(msg) from error

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.floating]:
        """Return `step` with noise from `rng`, which is drawn from only if `explore`."""
        rows, single = self._rows(observation)
        noise = rng.standard_normal((len(rows), *self.args.acts_dims)) if explore else None
        actions: NDArray[np.floating] = self.step(rows, explore, noise=noise)
        return actions[0] if single else actions

    def update(self, batch: Any, noise: Noise | None = None) -> dict[str, float]:  # noqa: ANN401
        """Return `train`, with the sum of the magnitudes of all figures as "loss"."""
        figures = self.train(batch, noise)
        return {"loss": sum(map(abs, figures.values())), **figures}

    def update_target(self) -> None:
        """Do `target_init`: the name that all agents of this project have for it."""
        self.target_init()

    def loss_and_gradients(
        self,
        batch: Any,  # noqa: ANN401
        noise: Noise | None = None,
    ) -> tuple[float, dict[str, NDArray[np.floating]]]:
        """Return the loss of `update` and the gradients of all trained weights; nothing changes.

        Magnitudes are added because the losses of policy and critic may cancel, and with them what differs.
        """
        losses = self._losses("joint", *self._tensors(batch, noise))
        gradients = self._differentiate(losses)
        names = {id(tensor): name for name, tensor in self._variables.items()}
        found = {
            names[id(parameter)]: _to_array(gradient)
            for name, each in gradients.items()
            for parameter, gradient in zip(self._trained[name], each, strict=True)
        }
        return sum(map(abs, _numbers(losses.figures).values())), found

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all trained weights, without the target networks."""
        return {name: _to_array(self._variables[name]) for name in self._trained_names()}

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
        path = checkpoint_path(path)
        stored = cast("Mapping[str, Any]", read_checkpoint(path).metadata.get("agent", {}))
        if "arguments" not in stored and "args" not in settings:
            msg = f"{path}: does not say the agent's arguments; needed args=..."
            raise CheckpointError(msg)
        known = {
            "args": restore_arguments(stored.get("arguments", {})),
            "dtype": stored.get("dtype", "float32"),
            "seed": stored.get("seed", 0),
        }
        agent = cls(**{**known, **settings})
        agent.load_model(path)
        return agent

    def _create_normalizer(self) -> Normalizer | None:
        if not self.args.obs_normalization:
            return None
        identity_start = bool(getattr(self.args, "normalizer_identity_start", False))
        normalizer = Normalizer(
            tuple(self.args.obs_dims), identity_start=identity_start, dtype=self.dtype
        )
        return self.add_network("normalizer", normalizer, scope=SCOPE)

    def _networks(self) -> nn.ModuleDict:
        return nn.ModuleDict(self.networks)

    def _find_targets(self) -> tuple[list[Tensor], list[Tensor]]:
        targets = [name for name in self._variables if name.startswith("target/")]
        mains = [f"main/{name.removeprefix('target/')}" for name in targets]
        return (
            [self._variables[name] for name in targets],
            [self._variables[name] for name in mains],
        )

    def _normalize(self, batch: Tensors) -> dict[str, Tensor]:
        if self.normalizer is None:
            return dict(batch)
        return {
            name: self.normalizer.normalize(x) if name in self.normalized_inputs else x
            for name, x in batch.items()
        }

    def _trained_names(self) -> list[str]:
        prefixes = ("target/", "normalizer/")
        return [name for name in self._variables if not name.startswith(prefixes)]

    def _rows(self, observation: NDArray[np.floating]) -> tuple[NDArray[np.floating], bool]:
        rows: NDArray[np.floating] = np.asarray(observation, dtype=self.dtype)
        single = rows.ndim == len(self.args.obs_dims)
        rows = rows[None] if single else rows
        if rows.shape[1:] != tuple(self.args.obs_dims):
            needed = tuple(self.args.obs_dims)
            msg = f"an observation of shape {np.shape(observation)}; needed {needed} or (batch, *{needed})"
            raise ValueError(msg)
        return rows, single

    def _action_noise(
        self, rows: int, explore: bool, noise: NDArray[np.floating] | None
    ) -> NDArray[np.floating]:
        shape = (rows, *self.args.acts_dims)
        if not explore:
            return np.zeros(shape)
        if noise is None:
            return self.rng.standard_normal(shape)
        return np.reshape(np.asarray(noise, dtype=np.float64), shape)

    def _run(self, kind: str, batch: Any, noise: Noise | None) -> dict[str, float]:  # noqa: ANN401
        figures = self._take_step(kind, *self._tensors(batch, noise))
        for counted in ("pi", "q") if kind == "joint" else (kind,):
            self.counters[counted] += 1
        return _numbers(figures)

    def _take_step(self, kind: str, batch: Tensors, noise: Tensors) -> dict[str, Tensor]:
        if self._compiled is not None:
            try:
                return self._compiled(kind, batch, noise)
            except CompilingError as error:
                self._compiled = None
                _log.warning("steps run in eager PyTorch: %s", error)
        losses = self._losses(kind, batch, noise)
        gradients = self._differentiate(losses)
        for name, each in gradients.items():
            self.optimizers[name].apply_gradients(each)
        return losses.figures

    def _losses(self, kind: str, batch: Tensors, noise: Tensors) -> Losses:
        if kind == "pi":
            return self.pi_losses(batch, noise)
        if kind == "q":
            return self.q_losses(batch, noise)
        pi, q = self.pi_losses(batch, noise), self.q_losses(batch, noise)
        return Losses({**pi.objectives, **q.objectives}, {**pi.figures, **q.figures})

    def _differentiate(self, losses: Losses) -> dict[str, list[Tensor]]:
        """Return the gradients for every optimizer, all at the present weights."""
        return {
            # Objectives may share a part (the policy's loss and the temperature's): it is still needed.
            name: list(torch.autograd.grad(objective, self._trained[name], retain_graph=True))
            for name, objective in losses.objectives.items()
        }

    def _tensors(self, batch: Any, noise: Noise | None) -> tuple[Tensors, Tensors]:  # noqa: ANN401
        arrays = self.convert_batch(batch)
        shape = (len(arrays["obs"]), *self.args.acts_dims)
        if noise is None:
            noise = {name: self.rng.standard_normal(shape) for name in self.noise_names}
        check_shapes("noise arrays", noise, dict.fromkeys(self.noise_names, shape))
        feed = {name: self._tensor(arrays[name]) for name in self.input_shapes() if name in arrays}
        return self._normalize(feed), {name: self._tensor(array) for name, array in noise.items()}

    def _tensor(self, array: NDArray[Any]) -> Tensor:  # Any: integers and booleans as well
        """Return a tensor of the agent's dtype on its device."""
        # One copy at most: torch refuses read-only arrays only with a warning, which a copy avoids.
        converted = np.asarray(array, dtype=self.dtype)
        writable = converted if converted.flags.writeable else converted.copy()
        return torch.from_numpy(writable).to(self.device, DTYPES[self.dtype])


def _original_name(name: str) -> str:
    """Return "pi_dense1/kernel" for "pi_dense1.weight"."""
    return name.replace(".weight", "/kernel").replace(".bias", "/bias").replace(".", "/")


def _to_array(tensor: Tensor) -> NDArray[np.floating]:
    """Return a copy as TensorFlow has it: matrices (in, out), windows (height, width, in, out)."""
    array: NDArray[np.floating] = tensor.detach().cpu().numpy()
    axes = {2: (1, 0), 4: (2, 3, 1, 0)}.get(array.ndim)
    return (array.transpose(axes) if axes else array).copy(order="C")


def _fill(tensor: Tensor, array: NDArray[np.floating]) -> None:
    """Set a tensor to an array as `_to_array` gives it."""
    axes = {2: (1, 0), 4: (3, 2, 0, 1)}.get(np.ndim(array))
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.array(np.transpose(array, axes) if axes else array)))


def _numbers(figures: Mapping[str, Tensor]) -> dict[str, float]:
    # One copy for all: on a GPU every copy waits for what was computed before.
    values: list[float] = torch.stack(list(figures.values())).tolist() if figures else []
    return dict(zip(figures, values, strict=True))
