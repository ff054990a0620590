"""The module of an agent while it is put together: steps in order, and which array fills which parameter.

Libraries differ in names and in what they connect; what they connect with is here: layers by the names of their arrays,
named networks as submodules, rules of acting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from converters.architecture import ActionRule, Architecture, InputValue, Step
from converters.checkpoint import ArrayInfo
from converters.errors import MismatchError, UnsupportedError
from converters.layouts import Layout
from converters.moves import Move
from converters.names import identifier, taken_names, unique
from converters.registry import Plain
from converters.targets import piece_names

LINEAR = "in out -> out in"
CONVOLUTION = "h w in out -> out in h w"
VECTOR = "out -> out"
CHANNELS_FIRST, CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
ACTIVATIONS: Mapping[str, tuple[str, Mapping[str, Plain]] | None] = {
    "relu": ("F.relu", {}),
    "tanh": ("torch.tanh", {}),
    "elu": ("F.elu", {}),
    "selu": ("F.selu", {}),
    "sigmoid": ("torch.sigmoid", {}),
    "leaky_relu": ("F.leaky_relu", {"negative_slope": 0.2}),
    "relu6": ("F.relu6", {}),
    "softplus": ("F.softplus", {}),
    "softsign": ("F.softsign", {}),
    "swish": ("F.silu", {}),
    "silu": ("F.silu", {}),
    "identity": None,
    "linear": None,
}
"""TensorFlow's functions by their last name; None: nothing is done."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array's way into a layer: its name in the file, the layer's own name, the layout."""

    array: str
    name: str
    layout: str


class AgentNetwork:
    """Collects the steps and moves of an agent.

    Args:
        arrays: all that the file holds, by name.
    """

    def __init__(self, arrays: Mapping[str, ArrayInfo]) -> None:
        self.arrays = arrays
        self.steps: list[Step] = []
        self.moves: list[Move] = []
        self.inputs: list[InputValue] = []
        self.outputs: dict[str, str] = {}
        self.ignored: dict[str, str] = {}
        self.notes: list[str] = []
        self.moved: set[str] = set()
        self.assumed: list[str] = []
        self.training: dict[
            str, object
        ] = {}  # the optimizer's settings, as far as the library fixes them
        self._blocks: tuple[str, ...] = ()
        self._names = taken_names()

    @contextmanager
    def block(self, name: str) -> Iterator[None]:
        """Put the layers made meanwhile into a submodule of this name."""
        around = self._blocks
        self._blocks = (*around, name)
        try:
            yield
        finally:
            self._blocks = around

    def input(
        self, name: str, shape: Sequence[int] | None, dtype: str, *, default: str = ""
    ) -> str:
        """Return a new input; `shape` is without the batch."""
        sizes = None if shape is None else (None, *shape)
        self._names |= taken_names([name])
        self.inputs.append(InputValue(name, sizes, dtype, None, default))
        return name

    def call(self, op: str, *inputs: str, name: str = "x", **kwargs: Plain) -> str:
        """Return what a function makes of values."""
        output = self._free(name)
        blocks = tuple((block, 0) for block in self._blocks)
        self.steps.append(Step(op, inputs, output, None, kwargs, blocks=blocks))
        return output

    def layer(
        self,
        op: str,
        attribute: str,
        inputs: Sequence[str],
        parameters: Sequence[Parameter],
        *,
        name: str = "x",
        further: Sequence[str] = (),
        kwargs: Mapping[str, Plain],
    ) -> str:
        """Return what a module makes of values; it is noted under `attribute` in the submodule at hand."""
        output = self._free(name)
        full = ".".join((*self._blocks, identifier(attribute)))
        step = Step(
            op,
            tuple(inputs),
            output,
            full,
            kwargs,
            state=tuple(parameter.name for parameter in parameters),
            further_outputs=tuple(self._free(each) for each in further),
            blocks=tuple((block, 0) for block in self._blocks),
        )
        self.steps.append(step)
        for parameter in parameters:
            array = self.array(parameter.array)
            self.moved.add(parameter.array)
            self.moves.append(
                Move(array, f"{full}.{parameter.name}", Layout.parse(parameter.layout))
            )
        return output

    def again(self, attribute: str, x: str, *, name: str = "x") -> str:
        """Return what a module that is there already, of one input and one result, makes of another value."""
        first = next(step for step in self.steps if step.attribute == attribute)
        blocks = tuple((block, 0) for block in self._blocks)
        self.steps.append(replace(first, inputs=(x,), output=self._free(name), blocks=blocks))
        return self.steps[-1].output

    def array(self, name: str) -> ArrayInfo:
        """Return an array. Raises MismatchError if the file has none of that name."""
        if name not in self.arrays:
            msg = f"the agent has no variable '{name}'"
            raise MismatchError(msg)
        return self.arrays[name]

    def linear(
        self, x: str, attribute: str, kernel: str, bias: str | None, *, name: str = "x"
    ) -> str:
        """Return a dense layer of x; the kernel is (in, out)."""
        shape = self.shape_of(kernel, 2)
        parameters = [Parameter(kernel, "weight", LINEAR)]
        if bias is not None:
            rank = len(self.array(bias).shape)
            parameters.append(Parameter(bias, "bias", VECTOR if rank == 1 else "() out -> out"))
        sizes: dict[str, Plain] = {"in_features": shape[0], "out_features": shape[1]}
        if bias is None:
            sizes["bias"] = False
        return self.layer("nn.Linear", attribute, (x,), parameters, name=name, kwargs=sizes)

    def convolution(
        self,
        x: str,
        attribute: str,
        kernel: str,
        bias: str,
        *,
        stride: int | tuple[int, int],
        padding: str,
    ) -> str:
        """Return a convolution of x, whose channels lie in front; the kernel is (h, w, in, out).

        Raises:
            UnsupportedError: A padding that is neither VALID nor SAME.
        """
        height, width, channels, filters = self.shape_of(kernel, 4)
        if padding.upper() == "SAME":
            steps = (stride, stride) if isinstance(stride, int) else stride
            x = self.call("compat.pad_same", x, window=(height, width), stride=steps)
        elif padding.upper() != "VALID":
            msg = f"the convolution '{attribute}' has the padding {padding!r:.20}"
            raise UnsupportedError(msg, hint="VALID and SAME are known")
        rank = len(self.array(bias).shape)
        layout = "() out () () -> out" if rank == 4 else VECTOR
        if rank == 4 and self.array(bias).shape[1] == 1 and filters > 1:
            layout = "() () () out -> out"
        return self.layer(
            "nn.Conv2d",
            attribute,
            (x,),
            (Parameter(kernel, "weight", CONVOLUTION), Parameter(bias, "bias", layout)),
            kwargs={
                "in_channels": channels,
                "out_channels": filters,
                "kernel_size": (height, width),
                "stride": stride,
            },
        )

    def layer_norm(self, x: str, attribute: str, scope: str, *, epsilon: float = 1e-12) -> str:
        """Return the layer normalization of `tf.contrib.layers`: arrays `gamma` and `beta`."""
        (units,) = self.shape_of(f"{scope}/gamma", 1)
        parameters = (
            Parameter(f"{scope}/gamma", "weight", VECTOR),
            Parameter(f"{scope}/beta", "bias", VECTOR),
        )
        kwargs: dict[str, Plain] = {"normalized_shape": units, "eps": epsilon}
        return self.layer("nn.LayerNorm", attribute, (x,), parameters, kwargs=kwargs)

    def activation(self, name: str, x: str, *, output: str = "x") -> str:
        """Return an activation of x by TensorFlow's name.

        Raises:
            UnsupportedError: A function that is not known.
        """
        if name not in ACTIVATIONS:
            msg = f"the activation '{name:.60}' is not known"
            raise UnsupportedError(msg, hint=f"one of {', '.join(ACTIVATIONS)}")
        found = ACTIVATIONS[name]
        return x if found is None else self.call(found[0], x, name=output, **found[1])

    def last_size(self, kernel: str) -> int:
        """Return the number of outputs of a dense kernel."""
        return self.shape_of(kernel, 2)[1]

    def width(self, value: str) -> int:
        """Return the size of the last axis of what a dense layer gave. Raises MismatchError for other values."""
        step = next((step for step in self.steps if step.output == value), None)
        keys = ("out_features", "units", "actions")
        size = (
            None if step is None else next((step.kwargs[k] for k in keys if k in step.kwargs), None)
        )
        if step is not None and step.op == "torch.cat":
            return sum(self.width(each) for each in step.inputs)
        if step is not None and not isinstance(size, int) and len(step.inputs) == 1:
            return self.width(step.inputs[0])  # an activation behind it
        if not isinstance(size, int):
            msg = f"how many numbers '{value}' has is not known"
            raise MismatchError(msg)
        return size

    def ignore(self, name: str, reason: str) -> None:
        """Note that an array is not converted."""
        self.ignored[name] = reason

    def steps_in_order(self) -> list[Step]:
        """Return the steps; what an optional input is needed for comes last, so that it can be left out."""
        absent = {value.name for value in self.inputs if value.default == "absent"}
        late: list[Step] = []
        early: list[Step] = []
        for step in self.steps:
            if absent.intersection(step.inputs):
                late.append(step)
                absent.update(step.results)
            else:
                early.append(step)
        return [*early, *late]

    def architecture(self, class_name: str, rule: ActionRule | None, dtype: str) -> Architecture:
        """Return the module; outputs that need what is optional come last."""
        steps = tuple(self.steps_in_order())
        absent = {value.name for value in self.inputs if value.default == "absent"}
        for step in steps:
            if absent.intersection(step.inputs):
                absent.update(step.results)
        order = {key: number for number, key in enumerate(parameter_order(steps))}
        self.moves.sort(key=lambda move: order[move.target])
        names = sorted(self.outputs, key=lambda name: self.outputs[name] in absent)
        return Architecture(
            name=unique(class_name, taken_names(piece_names())),
            inputs=tuple(self.inputs),
            outputs=tuple(self.outputs[name] for name in names),
            steps=steps,
            structure="dict",
            output_names=tuple(names),
            dtype=dtype,
            action=rule,
        )

    def shape_of(self, name: str, rank: int) -> tuple[int, ...]:
        """Return the shape of an array. Raises MismatchError if it has another number of axes."""
        shape = self.array(name).shape
        if len(shape) != rank:
            msg = f"'{name}'   found {len(shape)} axes   needed {rank}"
            raise MismatchError(msg)
        return shape

    def _free(self, name: str) -> str:
        return unique(identifier(name), self._names)


def parameter_order(steps: Sequence[Step]) -> list[str]:
    """Return the state of a module in torch's order: submodule by submodule, each where it is first used."""
    tree: dict[str, object] = {}
    for step in steps:
        if step.attribute is not None:
            place = tree
            for part in step.attribute.split("."):
                below = place.setdefault(part, {})
                place = below if isinstance(below, dict) else {}
            place.update(dict.fromkeys(step.state))
    return list(_flat(tree, ""))


def _flat(tree: Mapping[str, object], prefix: str) -> list[str]:
    found: list[str] = []
    for name, below in tree.items():
        path = f"{prefix}{name}"
        found += _flat(below, f"{path}.") if isinstance(below, Mapping) else [path]
    return found
