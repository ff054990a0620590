"""What collects while a graph is walked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from converters.architecture import Step
from converters.errors import ConversionError
from converters.matching.model_weights import Path
from converters.names import Taken, taken_names
from converters.registry import Param, Shape
from converters.targets import piece_names


@dataclass(slots=True)
class Lowering:
    """What collects while a graph is walked.

    Attributes:
        iterations: training steps done, where the file tells; some layers need it to train on.
        steps: torch steps so far, with the layer path of each in `origins`.
        params: state key to the layer and the parameter it comes from, in the module's order.
        trainable: state keys that train, in the module's order.
        shapes: of the first output of every layer that was lowered.
        problems: what cannot be converted, collected to be reported together.
        notes: what a user should know.
        same: output of a layer that only acts in training, to what its input is an output of, if that is one, too, and
            so on: in Keras's inference all are one tensor, the one named here.
        unmasked: tensors whose mask a layer has taken away, by the names of `same`.
        mode: what the call that is being lowered is fixed to: "train", "eval" or "".
        modes: of the submodules so far, by attribute.
    """

    iterations: int | None = None
    steps: list[Step] = field(default_factory=list)
    origins: list[Path] = field(default_factory=list)
    attributes: dict[tuple[Path, str], str] = field(default_factory=dict)
    values: Taken = field(
        default_factory=lambda: taken_names(piece_names())
    )  # no variable may hide a function
    taken: Taken = field(default_factory=taken_names)
    blocks: tuple[tuple[str, int], ...] = ()  # the nested models that are being walked
    calls: Counter[Path] = field(default_factory=Counter)  # of nested models
    params: dict[str, tuple[Path, Param]] = field(
        default_factory=dict
    )  # state key to where it comes from
    trainable: list[str] = field(default_factory=list)  # state keys, in the module's order
    shapes: dict[Path, Shape] = field(default_factory=dict)
    problems: list[ConversionError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)
    unmasked: set[str] = field(default_factory=set)
    mode: str = ""
    modes: dict[str, str] = field(default_factory=dict)
    dtypes: dict[str, str] | None = None  # of values, where layers differ in precision
    floats: dict[str, str] = field(
        default_factory=dict
    )  # values that an operation has cast to a floating type, and what follows from them
    whole: set[str] = field(default_factory=set)  # values of whole numbers
    flags: set[str] = field(default_factory=set)  # those of them that are of bool
    text: set[str] = field(default_factory=set)  # values of words
