"""What DQN of RLlib with TensorFlow has behind its features: action values, and the value of the state with dueling.

    hidden_0, dense                                       action values; dense_1, ..., dense_2 the state's, without names of their own
    dense, layer_normalization, dense_1                   the same with `add_layer_norm`, which exploring by parameter noise brings
    q_func/action_value/hidden_0_fc_w, _sigma_w, output_fc_w      with `noisy`; below target_q_func/ those of the target

Source: ray 1.13, rllib/agents/dqn/distributional_q_tf_model.py, rllib/models/tf/layers/noisy_layer.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork
from converters.agents.rllib_settings import EXPORT_HINT
from converters.errors import UnsupportedError

NOISY = "q_func/"
NORM_EPSILON = 1e-3
"""Of `tf.keras.layers.LayerNormalization`."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One dense layer: its name, its arrays, and the normalization behind its activation, if there is one."""

    name: str
    kernel: str
    bias: str
    norm: str = ""


class Heads:
    """Adds the heads of a network and of its target, whose layers are numbered in one row.

    Attributes:
        network: gets the layers.
        facts: of the agent.
    """

    def __init__(self, network: AgentNetwork, facts: AgentFacts) -> None:
        self.network = network
        self.facts = facts
        self._dense = 0
        self._norms = 0
        self._is_noisy = any(name.startswith(f"{NOISY}action_value/") for name in network.arrays)
        self._is_normal = not self._is_noisy and "layer_normalization/gamma" in network.arrays
        self._hidden = 0
        self._check()

    def _check(self) -> None:
        """Raise UnsupportedError for normalization that is not in the arrays, and for noise unless the user turns it off."""
        for setting in ("add_layer_norm", "parameter_noise"):
            if self.facts.settings.get(setting) and not self._is_normal:
                msg = f"a DQN of RLlib with {setting}"
                raise UnsupportedError(msg, hint=EXPORT_HINT)
        if not self._is_noisy and not self.facts.settings.get("noisy"):
            return
        if not self._is_noisy or self.facts.given.get("noise") != "off":
            msg = "a DQN of RLlib with noisy layers, which draw new noise whenever it acts, also when it does not explore"
            raise UnsupportedError(msg, hint="--set noise=off converts the means of their weights")
        for name in self.network.arrays:
            if "_sigma_" in name:
                self.network.ignore(name, "how much noise there is, which was turned off")

    def action_value(self, suffix: str) -> list[Layer]:
        """Return the layers of action values; empty if the features are the values."""
        if self._is_noisy:
            return self._noisy(f"{_target(suffix)}action_value/", "hidden", "output")
        if self._is_normal:
            self._hidden = self._stated_hidden()
            return self._unnamed(self._hidden)
        named = self._named(suffix)
        self._hidden = len(named)
        if not named and f"{_numbered('dense', self._dense)}/kernel" not in self.network.arrays:
            return []
        return [*named, *self._unnamed(0)]

    def state_value(self, suffix: str, scores: str) -> list[Layer]:
        """Return the layers of the state's value, a number or atoms; empty if there are none. Files may not say it."""
        stated = self.facts.settings.get("dueling")
        if self._is_noisy:
            return self._noisy(f"{_target(suffix)}state_value/", "dueling_hidden", "dueling_output")
        before = self._dense, self._norms
        layers = self._unnamed(self._hidden)
        missing = any(layer.kernel not in self.network.arrays for layer in layers)
        fits = not missing and self._fits(layers[-1], scores)
        if stated is True or (stated is None and fits):
            return layers
        self._dense, self._norms = before
        return []

    def apply(self, x: str, layers: Sequence[Layer]) -> str:
        """Return what layers make of x, with relu between them."""
        network = self.network
        for place, layer in enumerate(layers):
            x = network.linear(x, layer.name, layer.kernel, layer.bias)
            if place == len(layers) - 1:
                break
            x = network.activation("relu", x)
            if layer.norm:
                x = self._normalized(x, layer.norm)
        return x

    def expected(self, scores: str, state: str | None) -> str:
        """Return action values: advantages less their mean plus the state's value; of atoms, the expectation.

        Raises:
            UnsupportedError: The values of the atoms are not in the file.
        """
        network, settings = self.network, self.facts.settings
        stated = settings.get("num_atoms")
        told = 1 if state is None else network.width(state)
        atoms = stated if isinstance(stated, int) else told
        if atoms > 1:
            shape = (-1, network.width(scores) // atoms, atoms)
            scores = network.call("torch.reshape", scores, shape=shape)
            state = None if state is None else network.call("torch.unsqueeze", state, dim=1)
        if state is not None:
            mean = network.call("torch.mean", scores, dim=1, keepdim=True, name="mean")
            centered = network.call("operator.sub", scores, mean, name="advantage")
            scores = network.call("operator.add", state, centered)
        if atoms == 1:
            return scores
        low, high = (settings.get(name) for name in ("v_min", "v_max"))
        if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
            msg = f"the values of its {atoms} atoms, v_min and v_max, are not in the file"
            raise UnsupportedError(msg, hint=EXPORT_HINT)
        support = tuple(low + place * (high - low) / (atoms - 1) for place in range(atoms))
        chances = network.call("F.softmax", scores, dim=-1)
        return network.call("agent.expectation", chances, support=support)

    def _fits(self, last: Layer, scores: str) -> bool:
        size, total = self.network.last_size(last.kernel), self.network.width(scores)
        atoms = self.facts.settings.get("num_atoms")
        return size == atoms if isinstance(atoms, int) else size < total and total % size == 0

    def _stated_hidden(self) -> int:
        stated = self.facts.settings.get("hiddens")
        return len(stated) if isinstance(stated, (list, tuple)) else 1

    def _named(self, suffix: str) -> list[Layer]:
        """Return "hidden_0", "hidden_1", ... of the network whose names end in `suffix`."""
        found: list[Layer] = []
        while f"hidden_{len(found)}{suffix}/kernel" in self.network.arrays:
            name = f"hidden_{len(found)}{suffix}"
            found.append(Layer(name, f"{name}/kernel", f"{name}/bias"))
        return found

    def _unnamed(self, hidden: int) -> list[Layer]:
        """Return the next layers without names of their own: hidden ones, and the last."""
        found = []
        for place in range(hidden + 1):
            name = _numbered("dense", self._dense)
            self._dense += 1
            norm = ""
            if self._is_normal and place < hidden:
                norm = _numbered("layer_normalization", self._norms)
                self._norms += 1
            found.append(Layer(name, f"{name}/kernel", f"{name}/bias", norm))
        return found

    def _noisy(self, scope: str, hidden: str, last: str) -> list[Layer]:
        names: list[str] = []
        while f"{scope}{hidden}_{len(names)}_fc_w" in self.network.arrays:
            names.append(f"{hidden}_{len(names)}")
        if f"{scope}{last}_fc_w" in self.network.arrays:
            names.append(last)
        return [Layer(name, f"{scope}{name}_fc_w", f"{scope}{name}_fc_b") for name in names]

    def _normalized(self, x: str, scope: str) -> str:
        return self.network.layer_norm(x, scope, scope, epsilon=NORM_EPSILON)


def _target(suffix: str) -> str:
    return f"target_{NOISY}" if suffix else NOISY


def _numbered(name: str, number: int) -> str:
    """Return a name as Keras numbers it when it comes again."""
    return f"{name}_{number}" if number else name
