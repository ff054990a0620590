"""What a file of stable-baselines says of its policy, as far as it can be read, and what is taken where it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from converters.agents.facts import OWN, AgentFacts, GraphHints
from converters.agents.spaces import Space, read_space
from converters.agents.stable_baselines.user_classes import OwnClass, read_class
from converters.errors import UnsupportedError
from converters.readers.pickles import PickledObject, Reference

ALGORITHMS: Mapping[str, str] = {
    "exploration_fraction": "DQN",
    "q_coef": "ACER",
    "kfac_clip": "ACKTR",
    "vf_fisher_coef": "ACKTR",
    "cliprange": "PPO2",
    "timesteps_per_actorbatch": "PPO1",
    "max_kl": "TRPO",
    "policy_delay": "TD3",
    "target_entropy": "SAC",
    "actor_lr": "DDPG",
    "alpha": "A2C",
    "async_eigen_decomp": "ACKTR",
    "gae_lambda": "ACKTR",
}
"""A setting that only one algorithm has, to its name; looked for in this order."""
DEFAULT_ACTIVATION = {"actor-critic": "tanh", "off-policy": "relu"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What is known of the policy.

    Attributes:
        name: of its class: "MlpPolicy", "CnnLstmPolicy"; "" if the file does not say.
        activation: TensorFlow's name; None: the file does not say.
        extractor: the function that takes in images, where the user gave one.
        observation: None where the file does not say.
        action: the same.
        settings: all settings of the file.
        given: what the user states.
        graph: of the graph beside the variables.
        kwargs: arguments of its class, as far as they are known.
        is_stock: whether it is a class of the library, or one that only gives it settings: defaults are known then.
    """

    name: str
    activation: str | None
    extractor: object
    observation: Space | None
    action: Space | None
    settings: Mapping[str, object]
    given: Mapping[str, object]
    graph: GraphHints | None = None
    kwargs: Mapping[str, object] = field(default_factory=dict)
    is_stock: bool = False

    def activation_or(self, default: str) -> tuple[str, bool]:
        """Return the activation, and whether the default was taken for what is not known.

        Raises:
            UnsupportedError: It is a function of the user's own, by the settings or the graph.
        """
        stated = self.given.get("activation")
        if isinstance(stated, str):
            return stated, False
        found = self.activation
        if found is None and self.graph is not None:
            found = self.graph.activation(*HIDDEN_SCOPES, layers=HIDDEN)
        if found == OWN:
            msg = "its activation is a function of the user's own, which is not run"
            raise UnsupportedError(msg, hint="--set activation=relu, if it computes just that")
        return (found, False) if found is not None else (default, not self.is_stock)

    def image_layer(self, scope: str, name: str) -> tuple[int, str, str] | None:
        """Return stride (0: a dense layer), padding and activation of a layer for images as the graph states them."""
        layer = f"{scope}/{name}"
        if self.graph is None:
            return None
        function = self.graph.activations.get(layer, "identity")
        return (*self.graph.convolutions.get(layer, (0, "VALID")), function)

    @property
    def takes_images(self) -> bool:
        """True for policies of images, where the file states it."""
        stated = self.kwargs.get("feature_extraction")
        return stated == "cnn" or (stated is None and "cnn" in self.name.lower())

    @property
    def has_norm(self) -> bool:
        """True for policies with layer normalization, where the file states it."""
        by_name = self.name.startswith("Ln") or "LnLstm" in self.name
        return self.kwargs.get("layer_norm") is True or by_name

    @property
    def is_recurrent(self) -> bool:
        """True for policies with an LSTM, where the file states it."""
        arch = self.kwargs.get("net_arch")
        named = "lstm" in self.name.lower() or "n_lstm" in self.kwargs
        return LSTM in arch if isinstance(arch, list) else named


LSTM = "lstm"
"""How `net_arch` says where the LSTM is."""
HIDDEN_SCOPES = (
    *("deepq/model/action_value", "deepq/model/state_value"),
    *("model/values_fn/qf1", "model/qf", "model"),
)
"""Where the hidden layers lie in a graph, with their activations."""
HIDDEN = re.compile(r"(?:(?:shared|pi|vf)_fc\d+|fully_connected(?:_\d+)?|fc\d+|LayerNorm(?:_\d+)?)")
"""Names of hidden layers below these scopes; the heads, whose results are made into actions, are not among them."""
STOCK_POLICIES = (
    *("MlpPolicy", "CnnPolicy", "LnMlpPolicy", "LnCnnPolicy"),
    *("MlpLstmPolicy", "MlpLnLstmPolicy", "CnnLstmPolicy", "CnnLnLstmPolicy"),
)
GIVEN = ("activation", "strides", "padding", "algorithm", "observation_shape", "actions")
"""What --set may state."""


def read_policy(facts: AgentFacts) -> Policy:
    """Return what the settings say of the policy.

    Raises:
        UnsupportedError: The user states something that has no meaning here.
    """
    unknown = sorted(set(facts.given) - set(GIVEN))
    if unknown:
        msg = f"--set {unknown[0]} has no meaning for an agent of stable-baselines"
        raise UnsupportedError(msg, hint=f"one of {', '.join(GIVEN)}")
    settings = facts.settings
    kwargs = settings.get("policy_kwargs")
    kwargs = kwargs if isinstance(kwargs, Mapping) else {}
    policy = settings.get("policy")
    own = read_class(policy)
    kwargs = {**kwargs, **(own.settings if own is not None else {})}
    activation = kwargs.get("act_fun", kwargs.get("activ"))
    return Policy(
        name=class_name(policy),
        activation=_function_name(activation),
        extractor=kwargs.get("cnn_extractor"),
        observation=read_space(settings.get("observation_space")),
        action=read_space(settings.get("action_space")),
        settings=settings,
        given=facts.given,
        graph=facts.graph,
        kwargs={**_of_base(own), **kwargs},
        is_stock=own is not None or class_name(policy) in STOCK_POLICIES,
    )


def _of_base(own: OwnClass | None) -> dict[str, object]:
    """Return what the library's class that an own one extends fixes by its name."""
    if own is None:
        return {}
    images = "cnn" in own.base.lower() or own.base in ("FeedForwardPolicy", "LstmPolicy")
    kind = {"feature_extraction": "cnn" if images else "mlp"}
    return {**kind, "layer_norm": True} if own.base.startswith("Ln") else dict(kind)


def _function_name(function: object) -> str | None:
    """Return the name of a function; `OWN` for one whose code is in the file, None where nothing is stated."""
    if isinstance(function, Reference):
        return function.name
    return None if function is None else OWN


def class_name(policy: object) -> str:
    """Return the name of a class: a reference, or one whose code is in the file; "" for anything else."""
    if isinstance(policy, Reference):
        return policy.name
    if isinstance(policy, PickledObject):  # of cloudpickle: (type, name, bases, ...)
        texts = [part for part in policy.arguments if isinstance(part, str)]
        return texts[0] if texts else ""
    return ""


def algorithm_of(facts: AgentFacts, names: Sequence[str]) -> str:
    """Return the algorithm's name as the settings and variables tell; "" where several share all of that."""
    given = facts.given.get("algorithm")
    if isinstance(given, str):
        return given.upper()
    if any(name.startswith("adversary/") for name in names) or is_gail(facts.settings):
        return "GAIL"
    for setting, algorithm in ALGORITHMS.items():
        if setting in facts.settings:
            return algorithm
    return ""


def is_gail(settings: Mapping[str, object]) -> bool:
    """Tell whether settings of TRPO are those of GAIL, which trains so."""
    return settings.get("using_gail") is True
