"""What the settings of a policy of RLlib with TensorFlow say of its layers: the user's, the file's, else RLlib's own.

Source: ray 1.13, rllib/models/catalog.py, rllib/models/utils.py (`get_filter_config`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork
from converters.agents.spaces import read_space
from converters.errors import MismatchError, UnsupportedError

DEFAULT_ACTIVATION = "tanh"
"""Of `fcnet_activation`; that of convolutions is relu."""
EXPORT_HINT = "convert what policy.export_model() writes: the graph says what it computes"
STRIDES: Mapping[tuple[int, ...], tuple[int | tuple[int, int], ...]] = {
    (480, 640): ((14, 18), 4, 1),
    (240, 320): ((7, 9), 4, 1),
    (96, 96): (4, 2, 2),
    (84, 84): (4, 2, 1),
    (42, 42): (2, 2, 1),
    (10, 10): (2, 2),
}
"""Of RLlib's own convolutions, by height and width of the images."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the settings of a model say of its layers.

    Attributes:
        activation: of dense hidden layers.
        values: of the model, by RLlib's names.
    """

    activation: str
    values: Mapping[object, object]

    def stated(self, name: str, default: str) -> str:
        """Return an activation; None in the file is none at all."""
        value = self.values.get(name, default)
        return "linear" if value is None else value if isinstance(value, str) else default

    def holds(self, name: str) -> bool:
        """Tell whether an option is set."""
        return bool(self.values.get(name))


def read_settings(network: AgentNetwork, facts: AgentFacts) -> Settings:
    """Return the settings of the model: the user's, the file's, else RLlib's.

    Raises:
        UnsupportedError: Attention, or a model of the user's own.
    """
    model = facts.settings.get("model")
    values = model if isinstance(model, Mapping) else {}
    own = values.get("custom_model")
    if values.get("use_attention") or own is not None:
        msg = f"a policy of RLlib with {'attention' if own is None else 'a model of the user'}"
        raise UnsupportedError(msg, hint=EXPORT_HINT)
    # Without hidden layers of its own, the network takes the activation of those behind it.
    key = "fcnet_activation"
    if "fcnet_hiddens" in values and not values["fcnet_hiddens"]:
        key = "post_fcnet_activation"
    for stated in (facts.given.get("activation"), values.get(key)):
        if isinstance(stated, str):
            return Settings(stated, values)
    if key in values:
        return Settings("linear", values)
    network.notes.append(
        f"the file does not say which activation the network has; taken for RLlib's {DEFAULT_ACTIVATION} "
        "(--set activation=relu changes it)"
    )
    return Settings(DEFAULT_ACTIVATION, values)


def strides_of(facts: AgentFacts, settings: Settings) -> Sequence[int | tuple[int, int]]:
    """Return strides: stated by the user, by the file, or RLlib's own for images of that size."""
    stated = stated_strides(facts, settings)
    if stated:
        return stated
    space = read_space(facts.settings.get("observation_space"))
    shape = () if space is None else space.shape
    return STRIDES.get(shape[:2], STRIDES.get(shape[1:], ()))


def stated_strides(facts: AgentFacts, settings: Settings) -> Sequence[int | tuple[int, int]]:
    """Return strides that the user or the file states; empty if neither does."""
    given = facts.given.get("strides")
    if isinstance(given, list):
        return [stride for stride in given if isinstance(stride, int)]
    filters = settings.values.get("conv_filters")
    return [_stride(each) for each in filters] if isinstance(filters, (list, tuple)) else []


def _stride(layer: object) -> int | tuple[int, int]:
    stride = layer[2] if isinstance(layer, (list, tuple)) and len(layer) == 3 else None
    if isinstance(stride, (list, tuple)) and len(stride) == 2:
        rows, columns = stride
        if isinstance(rows, int) and isinstance(columns, int):
            return rows, columns
    if isinstance(stride, int):
        return stride
    msg = f"conv_filters has {layer!r:.60}; needed channels, size and stride"
    raise MismatchError(msg)
