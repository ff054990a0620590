"""What DDPG, TD3, SAC, the image DQN and return decomposition share: networks, steps, targets, files.

An algorithm says its networks, its optimizers and its two losses; the rest is here. Both losses are built once from
placeholders. A joint step takes all gradients at the old weights and then applies them.

Mirror: torch_impl/actor_critic.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from experience.actor_critics import (
    Settings,
    action_noise,
    batch_arrays,
    initial_array,
    observation_rows,
    trained_names,
    transition_shapes,
)
from experience.agent import Noise
from experience.shapes import check_shapes
from legacy_tf.agent_files import load_agent, read_settings, save_agent
from legacy_tf.graph_layers import Network
from legacy_tf.graph_steps import create_assignments, create_steps
from legacy_tf.normalizer import create_normalizer, normalize_batch

Shapes = dict[str, tuple[int | None, ...]]
Tensors = Mapping[str, tf.Tensor]


class Losses(NamedTuple):
    """What one kind of step minimises and what it reports.

    Attributes:
        objectives: optimizer name to the 0-d tensor that it minimises, in the order in which they are applied.
        figures: name to 0-d tensor, as the log shows it.
    """

    objectives: dict[str, tf.Tensor]
    figures: dict[str, tf.Tensor]


class ActorCritic(ABC):
    """Base of the agents.

    Attributes:
        args: flags: obs_dims, acts_dims, gamma, polyak, obs_normalization and what the algorithm reads.
        networks: name to network: "policy", "value", "target_policy", ...
        normalizer: of the observations, or None.
        optimizers: by name; the names are the keys of `Losses.objectives`.
        counters: steps done, by kind: "pi", "q", "target".
        rng: draws the noise that is not handed in.
        graph: of everything.
        session: on the graph.
        saver: of all variables.

    Args:
        args: see above; `hidden_sizes`, if there, replaces the units of all hidden layers.
        dtype: "float32" or "float64".
        seed: of first weights and noise.
    """

    normalized_inputs: tuple[str, ...] = ("obs", "obs_next")
    noise_names: tuple[str, ...] = ()

    def __init__(self, args: Settings, *, dtype: str = "float32", seed: int = 0) -> None:
        self.args, self.dtype, self.seed = args, dtype, seed
        self.rng = np.random.default_rng(seed)
        self.networks: dict[str, Network] = {}
        self.optimizers: dict[str, tf.compat.v1.train.Optimizer] = {}
        self.counters = {"pi": 0, "q": 0, "target": 0}
        self._trained: dict[str, str] = {}
        self.graph = tf.Graph()
        with self.graph.as_default():
            self._create_placeholders()
            self.normalizer = create_normalizer(args, dtype)
            self.create_networks()
            self.create_optimizers()
            self._create_steps()
            self._assignments = create_assignments(args.polyak)
            self._variables = self._assignments.variables
            self.saver = tf.compat.v1.train.Saver()
            initialize = tf.compat.v1.global_variables_initializer()
        self.session = tf.compat.v1.Session(graph=self.graph, config=_session_config(args))
        self.session.run(initialize)
        self._set_initial_weights()
        self.target_init()

    @property
    def is_cuda(self) -> bool:
        """Whether there is a GPU to compute on."""
        return any(device.device_type == "GPU" for device in self.session.list_devices())

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
    def greedy_action(self, observation: tf.Tensor) -> tf.Tensor:
        """Return the best actions (batch, action) of normalised observations."""

    @abstractmethod
    def exploring_action(self, observation: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Return actions that explore, from standard normal noise (batch, action)."""

    @abstractmethod
    def step_figures(self, observation: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return what a test episode reports of one step: "Q_average", ..."""

    def input_shapes(self) -> Shapes:
        """Return the arrays of a batch, None for the batch axis."""
        return transition_shapes(self.args)

    def convert_batch(self, batch: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401  see `batch_arrays`
        """Return the arrays of `input_shapes` from a batch."""
        return batch_arrays(batch)

    def add_network(self, name: str, network: Network, *, scope: str) -> Network:
        """Keep the network and give its variables their names: scope "main/policy/net", "target/policy/net", ..."""
        network.scope = scope
        self.networks[name] = network
        setattr(self, name, network)
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
        train = tf.compat.v1.train
        self.optimizers[name] = (
            train.AdamOptimizer(learning_rate, epsilon=epsilon)
            if kind == "adam"
            else train.RMSPropOptimizer(learning_rate, decay, epsilon=epsilon)
        )
        self._trained[name] = prefix

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
        noise = self._action_noise(len(rows), explore, noise)
        feed = {self._inputs["obs"]: rows, self._step_noise: noise}
        action = self.session.run(self._actions[explore], feed)
        action = action[0] if single else action
        if not test_info:
            return action
        figures = self.session.run(self._figures, feed)
        return action, {name: float(np.mean(value)) for name, value in figures.items()}

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
            self.normalizer.update(rows.astype(self.dtype, copy=False), self.session)

    def target_update(self) -> None:
        """Move the target networks towards the trained ones: target = polyak * target + (1 - polyak) * main."""
        self.session.run(self._assignments.target_update)
        self.counters["target"] += 1

    def target_init(self) -> None:
        """Copy the trained networks into the target networks."""
        self.session.run(self._assignments.target_init)

    def losses(self, batch: Any, noise: Noise | None = None) -> dict[str, float]:  # noqa: ANN401
        """Return the figures of `train`; nothing changes."""
        values = self.session.run(self._steps.figures, self._feed(batch, noise))
        return {name: float(value) for name, value in values.items()}

    def read_variables(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all weights and statistics under the original's names: "main/policy/net/pi/kernel" (in, out)."""
        return dict(self.session.run(self._variables))

    def write_variables(self, arrays: Mapping[str, NDArray[np.floating]]) -> None:
        """Set some of the variables of `read_variables`.

        Raises:
            ValueError: A name is unknown or a shape differs; nothing is changed then.
        """
        known = {
            name: tuple(self._variables[name].shape) for name in arrays if name in self._variables
        }
        check_shapes("variables", arrays, known)
        chosen = [(*self._assignments.writers[name], array) for name, array in arrays.items()]
        # One run for all: TensorFlow prunes the graph anew for every new list of fetches.
        feed = {placeholder: array for placeholder, _, array in chosen}
        self.session.run([assign for _, assign, _ in chosen], feed)

    def save_model(self, path: str | Path) -> None:
        """Write everything but the replay buffer; training goes on from it bit by bit."""
        save_agent(self, path)

    def load_model(self, path: str | Path) -> None:
        """Read what `save_model` wrote, or what the original repository writes."""
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
        fetches = (self._steps.figures, self._steps.gradients)
        figures, gradients = self.session.run(fetches, self._feed(batch, noise))
        return float(sum(map(abs, figures.values()))), dict(gradients)

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all trained weights, without the target networks."""
        trained = {name: self._variables[name] for name in trained_names(self._variables)}
        return dict(self.session.run(trained))

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Set all trained weights.

        Raises:
            ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
        """
        needed = {
            name: tuple(self._variables[name].shape) for name in trained_names(self._variables)
        }
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
        feed = {self._inputs["obs"]: rows, self._step_noise: noise}
        values: NDArray[np.floating] = self.session.run(self._figures["Q_average"], feed)
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

    def _create_placeholders(self) -> None:
        placeholder = tf.compat.v1.placeholder
        actions = (None, *self.args.acts_dims)
        self._inputs = {
            name: placeholder(self.dtype, shape) for name, shape in self.input_shapes().items()
        }
        self._noise = {name: placeholder(self.dtype, actions) for name in self.noise_names}
        self._step_noise = placeholder(self.dtype, actions)

    def _normalize(self, batch: Tensors) -> dict[str, tf.Tensor]:
        return normalize_batch(self.normalizer, batch, self.normalized_inputs)

    def _create_steps(self) -> None:
        batch = self._normalize(self._inputs)
        self._actions = {
            False: self.greedy_action(batch["obs"]),
            True: self.exploring_action(batch["obs"], self._step_noise),
        }
        self._figures = self.step_figures(batch["obs"], self._step_noise)
        losses = {"pi": self.pi_losses(batch, self._noise), "q": self.q_losses(batch, self._noise)}
        self._steps = create_steps(losses, self.optimizers, self._trained)

    def _set_initial_weights(self) -> None:
        arrays = {
            name: initial_array(name, tuple(self._variables[name].shape), self.seed)
            for name in trained_names(self._variables)
            if len(self._variables[name].shape) > 1
        }
        self.write_variables(arrays)

    def _rows(self, observation: NDArray[np.floating]) -> tuple[NDArray[np.floating], bool]:
        return observation_rows(self.args, observation, self.dtype)

    def _action_noise(
        self, rows: int, explore: bool, noise: NDArray[np.floating] | None
    ) -> NDArray[np.floating]:
        shape = (rows, *self.args.acts_dims)
        return action_noise(shape, self.rng, explore=explore, noise=noise)

    def _run(self, kind: str, batch: Any, noise: Noise | None) -> dict[str, float]:  # noqa: ANN401
        figures, _ = self.session.run(self._steps.steps[kind], self._feed(batch, noise))
        for counted in ("pi", "q") if kind == "joint" else (kind,):
            self.counters[counted] += 1
        return {name: float(value) for name, value in figures.items()}

    def _feed(self, batch: Any, noise: Noise | None) -> dict[Any, Any]:  # noqa: ANN401
        arrays = self.convert_batch(batch)
        shape = (len(arrays["obs"]), *self.args.acts_dims)
        if noise is None:
            noise = {name: self.rng.standard_normal(shape) for name in self.noise_names}
        check_shapes("noise arrays", noise, dict.fromkeys(self.noise_names, shape))
        feed = {self._inputs[name]: arrays[name] for name in self._inputs if name in arrays}
        return {**feed, **{self._noise[name]: array for name, array in noise.items()}}


def _session_config(args: Settings) -> tf.compat.v1.ConfigProto:
    hidden = {"GPU": 0} if getattr(args, "cuda", True) is False else {}
    config = tf.compat.v1.ConfigProto(device_count=hidden)
    config.gpu_options.allow_growth = True
    return config
