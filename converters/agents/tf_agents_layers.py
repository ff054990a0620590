"""Layers of TF-Agents' networks in the lists that hold them, and what has to be assumed of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork
from converters.agents.tf_agents_names import CRITICS, ROOT, VALUES
from converters.errors import AmbiguousTargetError, UnsupportedError
from converters.readers.files.natural_order import natural_key

TANH = ("_actor_net", "_value_net")
"""Attributes of PPO's agent, whose examples and paper have tanh, those with an LSTM excepted; else relu is the default."""
ACTIONS = ("discrete", "continuous")
"""What `--set actions=` may say of a policy's last layer."""
HINT = "convert the folder that PolicySaver wrote: its graph says what it computes"
_NUMBERED = re.compile(r"\d+")


class Layers:
    """Adds layers of an agent to a network.

    Attributes:
        network: gets them.
        attributes: those of the agent that hold arrays.
        bounds: of actions, as the user stated them; None: they are not known.
    """

    def __init__(self, network: AgentNetwork, facts: AgentFacts, *, is_policy: bool) -> None:
        self.network = network
        self._is_policy = is_policy
        stated = facts.given.get("activation")
        self._actions = facts.given.get("actions")
        if self._actions not in (None, *ACTIONS):
            msg = f"--set actions={self._actions!s:.40} is not known"
            raise UnsupportedError(msg, hint=f"one of {', '.join(ACTIONS)}")
        self._stated = stated if isinstance(stated, str) else None
        self.attributes = dict.fromkeys(
            name.split("/")[1] for name in network.arrays if name.startswith(ROOT)
        )
        self.bounds = _bounds(facts)

    def chain(
        self, attribute: str, x: str, layers: list[str], *, last: str = "linear", name: str = "x"
    ) -> str:
        """Return dense layers of x; `last` is the activation after the last one."""
        network = self.network
        hidden = self.hidden(attribute)
        for place, layer in enumerate(layers):
            kernel, bias = f"{layer}/kernel", f"{layer}/bias"
            if len(network.array(kernel).shape) != 2:
                msg = f"'{layer:.200}' is no dense layer; its strides are not in the file"
                raise UnsupportedError(msg, hint=HINT)
            ends = place == len(layers) - 1
            own = "_".join(part.lstrip("_") for part in layer.split("/")[2:])
            x = network.linear(
                x,
                _short(own),
                kernel,
                bias if bias in network.arrays else None,
                name=name if ends else "x",
            )
            x = network.activation(last if ends else hidden, x)
        if layers:
            self.assume(f"{attribute.lstrip('_')} has {hidden} after its hidden layers")
        return x

    def encoder(self, scope: str) -> list[str]:
        """Return the layers that bring observations to features: of an `EncodingNetwork`, or of a `Sequential`."""
        return [
            *self.numbered(f"{scope}/_encoder/_postprocessing_layers"),
            *self.sequential(scope),
        ]

    def sequential(self, scope: str) -> list[str]:
        """Return the layers of a `Sequential`."""
        return self.numbered(f"{scope}/_sequential_layers")

    def numbered(self, scope: str) -> list[str]:
        """Return the layers of a list, in order."""
        found = {
            name.removesuffix("/kernel")
            for name in self.network.arrays
            if name.startswith(f"{scope}/")
            and _NUMBERED.fullmatch(name[len(scope) + 1 :].removesuffix("/kernel"))
        }
        return sorted(found, key=natural_key)

    def hidden(self, attribute: str) -> str:
        """Return the activation of hidden layers: stated, or by default."""
        recurrent = f"{ROOT}{attribute}/_lstm_encoder/"
        has_tanh = attribute in TANH and not any(
            n.startswith(recurrent) for n in self.network.arrays
        )
        return self._stated or ("tanh" if has_tanh else "relu")

    def held(self, attributes: Iterable[str]) -> list[str]:
        """Return those of some attributes that the agent has."""
        return [name for name in attributes if name in self.attributes]

    @property
    def has_critics(self) -> bool:
        """Whether the agent learns values of actions: DDPG, TD3 or SAC."""
        return any(name in CRITICS for name in self.attributes)

    @property
    def is_soft(self) -> bool:
        """Whether a policy with deviations of its own for every observation is SAC's, and not PPO's or REINFORCE's."""
        return self.has_critics or (self._is_policy and not set(VALUES) & set(self.attributes))

    def draws_categories(self, scores: int) -> bool:
        """Tell whether a last layer scores numbered actions; else it has means and deviations, as SAC's may.

        Raises:
            AmbiguousTargetError: It is of a policy without its agent, and either may be.
        """
        if self._actions is not None:
            return self._actions == ACTIONS[0]
        if self.has_critics or not self.is_soft or scores % 2:
            return not self.has_critics
        if self.bounds is not None:
            return False
        msg = f"its last layer has {scores} outputs: scores of as many actions, or means and deviations of {scores // 2} (SAC)"
        raise AmbiguousTargetError(msg, hint="--set actions=discrete or --set actions=continuous")

    def without_bounds(self, output: str) -> None:
        """Note that actions are left as an output has them."""
        self.assume(
            f"actions lie between -1 and 1, as '{output}' does (--set action_low=[-2.0] --set action_high=[2.0])"
        )

    def assume(self, what: str) -> None:
        """Note what a user has to check."""
        text = f"assumed, because the file has weights only: {what}; {HINT}"
        if text not in self.network.assumed:
            self.network.assumed.append(text)


def _short(path: str) -> str:
    """Return the name of a layer without what every path has."""
    for part in ("q_network_", "postprocessing_layers_", "projection_networks_"):
        path = path.removeprefix(part) if path != part.rstrip("_") else path
    return path.replace("encoder_postprocessing_layers_", "encoder_")


def _bounds(facts: AgentFacts) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return the bounds of actions that the user stated; None: there are none.

    Raises:
        UnsupportedError: They are no lists of as many numbers.
    """
    stated = [facts.given.get(name) for name in ("action_low", "action_high")]
    if stated == [None, None]:
        return None
    low, high = (
        tuple(float(x) for x in each if isinstance(x, (int, float)))
        if isinstance(each, list)
        else ()
        for each in stated
    )
    if not low or len(low) != len(high):
        msg = f"action_low {stated[0]!r:.60} and action_high {stated[1]!r:.60} are not two lists of as many numbers"
        raise UnsupportedError(msg, hint="--set action_low=[-2.0] --set action_high=[2.0]")
    return low, high
