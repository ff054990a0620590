"""The registry of layer rules: a decorator, a look-up that names the nearest names, and the data a rule returns.

A rule is one function. It gets a layer of the graph and the shapes that reach it, and returns the torch steps that
compute the same. Registering it is all there is to adding a layer; its examples are its parity test.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from converters.errors import UnsupportedError, UsageError
from converters.graph import Layer
from converters.refusals import REFUSED

Plain = int | float | bool | str | None | tuple["Plain", ...]
"""What may be an argument of a torch step: plain data that prints as Python source."""
Shape = tuple[int | None, ...]
"""Batch first, in Keras's order of axes; None is a free size."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight that Keras stores for a layer, in stored order."""

    role: str  # "kernel"
    # The configuration entry that must be true for the weight to exist, or a test of the configuration.
    when: str | Callable[[Mapping[str, object]], bool] | None = None
    trainable: bool = True
    formerly: str | None = None  # its name in files of Keras 1 and 2: "depthwise_kernel"
    place: str | None = (
        None  # of a layer made of layers, inside its group of a .keras: "query_dense/0"
    )

    def exists(self, config: Mapping[str, object]) -> bool:
        """Return whether a layer of this configuration has the weight."""
        if self.when is None or isinstance(self.when, str):
            return self.when is None or bool(config.get(self.when, True))
        return self.when(config)


@dataclass(frozen=True, slots=True)
class Param:
    """Where a torch parameter or buffer comes from."""

    name: str  # of the torch module: "weight"
    source: str  # role of the legacy weight: "kernel"
    layout: str  # "in out -> out in"
    shape: Shape = ()  # of the legacy weight, as the configuration demands it; None: any size


@dataclass(frozen=True, slots=True)
class TorchStep:
    """One torch operation of a rule's result.

    The first step of a rule gets the layer's inputs, every later one the result of the step before it, unless `inputs`
    names others.

    Attributes:
        op: key of the closed table in `converters.targets`.
        kwargs: arguments of the module's constructor or of the function.
        params: for modules with weights; in the order of the module's own parameters.
        shape: of the result; None: as the first input's.
        suffix: added to the attribute's name when one layer becomes several modules.
        inputs: names of what it takes: "input_0", "input_1", ... for the layer's inputs, or names in `results`.
        results: names for what it gives, for later steps and `Lowered`; several where it gives a tuple.
        further_shapes: shapes of the results after the first.
    """

    op: str
    kwargs: Mapping[str, Plain] = field(default_factory=dict)
    params: tuple[Param, ...] = ()
    shape: Shape | None = None
    suffix: str = ""
    inputs: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    further_shapes: tuple[Shape, ...] = ()


@dataclass(frozen=True, slots=True)
class Lowered:
    """The result of a rule for a layer with several outputs: steps, and the names of the layer's outputs in order.

    Attributes:
        masks: for rules of `mask="use"`: the name of every output's mask, None for an output without.
        unmasks: Keras 3 takes the masks of the inputs away from all that use them later.
    """

    steps: tuple[TorchStep, ...]
    outputs: tuple[str, ...]
    masks: tuple[str | None, ...] = ()
    unmasks: bool = False


@dataclass(frozen=True, slots=True)
class Masks:
    """What a rule of `mask="use"` finds in the configuration, as "masks".

    Attributes:
        shapes: of the masks there are, by the names that steps may take: "mask_0" is that of the first input; "mask",
            "query_mask" and the like were given to the call by that name, a list of them as "mask_given_0", ...
        generation: the Keras generation that wrote the file; merging layers join masks otherwise since Keras 3.
    """

    shapes: Mapping[str, Shape] = field(default_factory=dict)
    generation: int = 3

    def of_input(self, index: int = 0) -> str | None:
        """Return the name of an input's mask: what the call was given, else what came along with the input."""
        single = ("mask",) if index == 0 else ()
        names = (*single, f"mask_given_{index}", f"mask_{index}")
        return next((name for name in names if name in self.shapes), None)


MASK_USES = ("pass", "drop", "end", "use")
"""What a layer does with the mask of its input: the output has it as well; Keras warns that it is lost; it ends here
without a warning; the rule computes with it."""


NUMBERS = ("whole", "kept", "places", "floats")
"""What becomes of whole numbers in a layer: it gives such; it gives what it takes, in another arrangement, and finds
whether these are whole numbers as "whole" in its configuration; they are places in a table; it makes floating ones of them. Where nothing is said, weights multiply them, and a layer with weights
computes with floating ones."""


@dataclass(frozen=True, slots=True)
class Example:
    """Arguments and input shapes (without batch) for which a rule is compared with the live Keras layer."""

    kwargs: Mapping[str, object]
    shapes: tuple[tuple[int, ...], ...]
    separate: bool = False  # inputs are arguments of their own, not one list
    below: int | None = None  # inputs are whole numbers from 0 up to this, not normal draws
    masked: tuple[int, ...] = ()  # inputs that come out of a Masking layer
    pooled: bool = False  # followed by GlobalAveragePooling1D, which shows the output's mask


class Rule(Protocol):
    """Signature of a rule: the layer and the shapes of its inputs to the torch steps."""

    def __call__(self, layer: Layer, /, *shapes: Shape) -> list[TorchStep] | Lowered:
        """Return the steps. Raises UnsupportedError for settings that have no counterpart."""
        ...


@dataclass(frozen=True, slots=True)
class LayerRule:
    """A registered rule."""

    class_name: str
    weights: tuple[Weight, ...]
    examples: tuple[Example, ...]
    lower: Rule
    random_in_training: bool = (
        False  # draws in training mode, so that only inference can be compared
    )
    takes_call: bool = False  # finds its `Call` in the configuration, as "call"
    # Keras draws here in training and the converted module does not: an augmentation.
    idle_in_training: bool = False
    mask: str | None = None  # one of MASK_USES; None: not known, so that a mask is refused
    takes_text: bool = (
        False  # may get words; finds which inputs are, as "text" in the configuration
    )
    numbers: str | None = None  # one of NUMBERS

    def stored_weights(self, layer: Layer) -> tuple[Weight, ...]:
        """Return the weights that exist for this configuration, in stored order."""
        return tuple(weight for weight in self.weights if weight.exists(layer.config))


LAYERS: dict[str, LayerRule] = {}
"""Every rule by Keras class name; filled by importing `converters.layers`."""
OWN_LAYERS: dict[str, LayerRule] = {}
"""Rules of single layers that a user's own code computes (`converters.live.own_layers`), by the name of that code."""


def layer(
    *class_names: str,
    weights: Iterable[Weight] = (),
    examples: Iterable[Example] = (),
    random_in_training: bool = False,
    takes_call: bool = False,
    idle_in_training: bool = False,
    mask: str | None = None,
    takes_text: bool = False,
    numbers: str | None = None,
) -> Callable[[Rule], Rule]:
    """Register the decorated function as the rule of these Keras classes.

    Raises:
        UsageError: One of the names has a rule already.
        ValueError: `mask` or `numbers` is none of the words for it.
    """
    for name, value, words in (("mask", mask, MASK_USES), ("numbers", numbers, NUMBERS)):
        if value not in (None, *words):
            msg = f"{name}={value!r}: needed is one of {', '.join(words)}"
            raise ValueError(msg)

    def register(rule: Rule) -> Rule:
        for class_name in class_names:
            if class_name in LAYERS:
                both = " and ".join(map(_place, (LAYERS[class_name].lower, rule)))
                msg = f"Keras layer '{class_name}' has two rules, {both}"
                hint = "leave yours out; a layer of one file: --layer NAME=my_layers.py:Class"
                raise UsageError(msg, hint=hint)
            LAYERS[class_name] = LayerRule(
                class_name,
                tuple(weights),
                tuple(examples),
                rule,
                random_in_training or idle_in_training,
                takes_call,
                idle_in_training,
                mask,
                takes_text,
                numbers,
            )
        return rule

    return register


def _place(rule: Rule) -> str:
    """Return "my_module.leaky_relu"."""
    return f"{getattr(rule, '__module__', '?')}.{getattr(rule, '__qualname__', rule)}"


def find_layer_rule(class_name: str) -> LayerRule:
    """Return the rule for a Keras class.

    Raises:
        UnsupportedError: There is none; the message names the nearest.
    """
    import converters.layers  # noqa: F401  # fills the table on first use

    if class_name in OWN_LAYERS:
        return OWN_LAYERS[class_name]
    if class_name in REFUSED and class_name not in LAYERS:
        msg = f"Keras layer '{class_name}' is not converted: it {REFUSED[class_name]}"
        raise UnsupportedError(msg, hint="your own rule: --rules MODULE")
    if class_name not in LAYERS:
        own_class = class_name.rsplit(">", 1)[-1]
        kind = [name for name in LAYERS if name.startswith("ops.") == own_class.startswith("ops.")]
        msg = f"no rule for Keras layer '{class_name}'{nearest(own_class, kind)}"
        raise UnsupportedError(
            msg, hint="supported layers: torchward support; your own: --rules MODULE"
        )
    return LAYERS[class_name]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; nearest: A, B" for the known names most like `name`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""
