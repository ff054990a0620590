"""The network that RLlib with TensorFlow takes for observations of several parts, one of them an image, or of two axes.

    fc_1, ...; fc_1_1, ...       one for each part that is no image, of its flat or one-hot numbers
    conv1, ...; conv1_1, ...     one for each image
    fc_1_2, ...                  behind all of them side by side: `post_fcnet_hiddens`
    logits, value_out_3          the heads; the values of the networks for the parts have no use

Keras numbers names that come again. Source: ray 1.13, rllib/models/tf/complex_input_net.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from converters.agents.facts import AgentFacts
from converters.agents.network import CHANNELS_LAST, AgentNetwork
from converters.agents.rllib_models import add_convolutions
from converters.agents.rllib_settings import EXPORT_HINT, STRIDES, Settings, stated_strides
from converters.agents.spaces import BOX, Space, read_parts, read_space
from converters.errors import MismatchError, UnsupportedError
from converters.readers.pickles import PickledObject


def is_complex(names: Collection[str]) -> bool:
    """Tell whether variables are those of this network."""
    heads = {"fc_out/kernel", "conv_out/kernel", "values/kernel"}
    return "logits/kernel" in names and "value_out_1/kernel" in names and heads.isdisjoint(names)


def add_complex(
    network: AgentNetwork, facts: AgentFacts, settings: Settings, x: str
) -> tuple[str, str]:
    """Add the network; return the inputs of the distribution, and the value.

    Args:
        network: gets the layers.
        facts: of the agent.
        settings: of the model.
        x: (batch, features), the parts flat and side by side, as RLlib's preprocessor leaves them.

    Raises:
        UnsupportedError: The file does not say what the parts are.
        MismatchError: Strides are not known.
    """
    spaces = _parts(facts)
    if not spaces:
        msg = "a policy of RLlib for observations of several parts, which the file does not tell"
        raise UnsupportedError(msg, hint=EXPORT_HINT)
    names = _Names(network)
    found, first = [], 0
    for number, space in enumerate(spaces):
        cut = (("slice", None, None, None), ("slice", first or None, first + space.features, None))
        part = x if len(spaces) == 1 else network.call("operator.getitem", x, index=cut)
        first += space.features
        with network.block(f"part{number}"):
            if len(space.shape) == 3:
                found.append(_image(network, facts, settings, names, part, space))
            else:
                found.append(names.dense(part, _depth(settings), settings.activation))
    x = found[0] if len(found) == 1 else network.call("torch.cat", *found, dim=-1)
    behind = settings.values.get("post_fcnet_hiddens")
    depth = len(behind) if isinstance(behind, (list, tuple)) else None
    x = names.dense(x, depth, settings.stated("post_fcnet_activation", "relu"))
    with network.block("policy"):
        scores = network.linear(
            x, "logits", "logits/kernel", "logits/bias", name="action_dist_inputs"
        )
    values = [
        name.removesuffix("/kernel") for name in network.arrays if name.startswith("value_out")
    ]
    head = max((name for name in values if not name.endswith("/bias")), key=lambda n: (len(n), n))
    with network.block("value"):
        value = network.linear(x, "value_out", f"{head}/kernel", f"{head}/bias")
        value = network.call("torch.squeeze", value, dim=-1, name="value")
    return scores, value


class _Names:
    """Adds dense layers by the names that Keras gives to those that come again."""

    def __init__(self, network: AgentNetwork) -> None:
        self._network = network
        self._seen: Counter[str] = Counter()

    def next(self, name: str) -> str:
        """Return the next variable scope of a layer."""
        number = self._seen[name]
        self._seen[name] += 1
        return f"{name}_{number}" if number else name

    def dense(self, x: str, depth: int | None, activation: str) -> str:
        """Return dense layers of x; None: as many as there are."""
        network, place = self._network, 0
        while depth is None or place < depth:
            place += 1
            name = self.next(f"fc_{place}")
            if depth is None and f"{name}/kernel" not in network.arrays:
                break
            x = network.linear(x, name, f"{name}/kernel", f"{name}/bias")
            x = network.activation(activation, x)
        return x


def _image(
    network: AgentNetwork,
    facts: AgentFacts,
    settings: Settings,
    names: _Names,
    x: str,
    space: Space,
) -> str:
    strides = stated_strides(facts, settings) or STRIDES.get(space.shape[:2], ())
    if not strides:
        msg = f"the strides of the convolutions of images {space.shape} are not in the file"
        raise MismatchError(msg, hint="--set strides=[4,2,1]")
    layers = [names.next(f"conv{place + 1}") for place in range(len(strides))]
    x = network.call("torch.reshape", x, shape=(-1, *space.shape))
    x = add_convolutions(network, settings, x, layers, strides)
    return network.call(
        "torch.flatten", network.call("torch.permute", x, dims=CHANNELS_LAST), start_dim=1
    )


def before_preprocessing(facts: AgentFacts) -> object:
    """Return the space of observations as the environment gives them, where the file says it; else None."""
    space = facts.settings.get("observation_space")
    return space.attributes.get("original_space") if isinstance(space, PickledObject) else None


def _parts(facts: AgentFacts) -> Sequence[Space]:
    """Return the parts of observations as the environment gives them; empty if the file does not say."""
    for each in (before_preprocessing(facts), facts.settings.get("observation_space")):
        whole = read_space(each)
        if whole is not None and whole.kind == BOX:
            return [whole]
        parts = read_parts(each)
        if parts:
            return parts
    return []


def _depth(settings: Settings) -> int | None:
    hiddens = settings.values.get("fcnet_hiddens")
    return len(hiddens) if isinstance(hiddens, (list, tuple)) else None
