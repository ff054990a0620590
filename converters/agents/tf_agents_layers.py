"""Layers of TF-Agents' networks in the lists that hold them, and what has to be assumed of them."""

from __future__ import annotations

import re

from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork
from converters.errors import UnsupportedError
from converters.readers.files.natural_order import natural_key

ROOT = "agent/"
CRITICS = {
    f"_{target}critic_network{suffix}": f"{target}q{suffix.lstrip('_') or '1'}"
    for target in ("", "target_") for suffix in ("", "_1", "_2")
}  # fmt: skip
"""Attribute to the name of what it computes."""
TANH = ("_actor_net", "_value_net")
"""Attributes of PPO's agent, whose examples and paper have tanh, those with an LSTM excepted; else relu is the default."""
HINT = "convert the folder that PolicySaver wrote: its graph says what it computes"
_NUMBERED = re.compile(r"\d+")


class Layers:
    """Adds layers of an agent to a network.

    Attributes:
        network: gets them.
        attributes: those of the agent that hold arrays.
        bounds: of actions, as the user stated them; None: they are not known.
    """

    def __init__(self, network: AgentNetwork, facts: AgentFacts) -> None:
        self.network = network
        stated = facts.given.get("activation")
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

    @property
    def has_critics(self) -> bool:
        """Whether the agent learns values of actions: DDPG, TD3 or SAC."""
        return any(name in CRITICS for name in self.attributes)

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
