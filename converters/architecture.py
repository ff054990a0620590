"""The plain-data description of a torch module: what `build` makes live, `emit` prints and the .pth carries.

One description, two uses: neither the live module nor the source is made from the other. Everything in it is
checked on the way in, because a .pth may come from anyone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from converters.errors import UnreadableFileError
from converters.registry import Plain

MAX_NESTED_BLOCKS = 50
"""Models inside of models; torch walks submodules recursively, and Python bounds that."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the forward pass.

    Attributes:
        op: key of `converters.targets.TARGETS`.
        inputs: names of the values it takes.
        output: name of the value it makes.
        attribute: name of the submodule for modules, with dots where it lies in a block; None for functions. Two
            steps with one attribute share it.
        kwargs: arguments of the constructor or the function.
        state: names of the module's own parameters and buffers that the file fills.
        frozen: True if the parameters do not train.
        further_outputs: names of the results after the first, where the operation gives a tuple.
        blocks: the submodules the step belongs to, from the outside in: name, and which of its calls this is.
        dtype: of the module's parameters, where not all of the network have one; "" is float32, or the network's.
        mode: "train" or "eval" for a module that keeps to it, whatever the network's mode; "" follows the network.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    attribute: str | None = None
    kwargs: Mapping[str, Plain] = field(default_factory=dict)
    state: tuple[str, ...] = ()
    frozen: bool = False
    further_outputs: tuple[str, ...] = ()
    blocks: tuple[tuple[str, int], ...] = ()
    dtype: str = ""
    mode: str = ""

    @property
    def results(self) -> tuple[str, ...]:
        """Names of all values it makes."""
        return (self.output, *self.further_outputs)


@dataclass(frozen=True, slots=True)
class InputValue:
    """An argument of the forward pass."""

    name: str
    shape: (
        tuple[int | None, ...] | None
    )  # batch first, None is free; None as a whole: not stated in the file
    dtype: str  # what Keras casts the argument to: "float32"
    key: str | None = None  # what the legacy model calls it, in a dictionary of inputs
    default: str = ""  # of one that may be left out: "zeros", or "absent" (with what is made of it)


@dataclass(frozen=True, slots=True)
class ActionRule:
    """How an agent acts: functions of what its forward pass gives, in order; the last one's result is the action.

    Attributes:
        deterministic: of the action that `predict` gives; their inputs are names of outputs, or earlier results.
        sampled: of a random one.
        state: names of the outputs that are given back the next time, with spaces between them; "": there are none.
    """

    deterministic: tuple[Step, ...]
    sampled: tuple[Step, ...]
    state: str = ""

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the outputs that are given back the next time."""
        return tuple(self.state.split())


INPUT_DEFAULTS = ("", "zeros", "absent")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A module: inputs and outputs by value name, steps in order of computation.

    Attributes:
        name: Python class name for the emitted source.
        inputs: in the legacy model's order.
        outputs: value names in the legacy model's order.
        structure: "single", "list", "dict" (then `output_names` are its keys) or "nested" (then `nesting` is it).
        dtype: of floating parameters: "float32", "float64", ...
        nesting: a number is an output's place; ("list", ...) and ("dict", (key, ...), ...) hold others.
        action: how an agent acts; None: it is a network.
    """

    name: str
    inputs: tuple[InputValue, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    structure: str = "single"
    output_names: tuple[str, ...] = ()
    dtype: str = "float32"
    nesting: Plain = None
    action: ActionRule | None = None

    def to_data(self) -> dict[str, object]:
        """Return lists, dicts, strings and numbers only, as stored in the .pth."""
        return {
            "name": self.name,
            "inputs": [
                [i.name, None if i.shape is None else list(i.shape), i.dtype, i.key]
                + ([i.default] if i.default else [])
                for i in self.inputs
            ],
            "outputs": list(self.outputs),
            "structure": self.structure,
            "output_names": list(self.output_names),
            "dtype": self.dtype,
            "nesting": _thaw(self.nesting),
            "steps": [_step_data(step) for step in self.steps],
            **({} if self.action is None else {"action": _rule_data(self.action)}),
        }

    @staticmethod
    def from_data(data: object) -> Architecture:
        """Return the architecture that `to_data` gave.

        Raises:
            UnreadableFileError: The data has another form.
        """
        try:
            return _parse(cast("Mapping[str, object]", data))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            msg = f"the architecture in the file is not readable: {error!r}"
            raise UnreadableFileError(msg) from error


def _step_data(step: Step) -> dict[str, object]:
    return {
        "op": step.op,
        "inputs": list(step.inputs),
        "output": step.output,
        "attribute": step.attribute,
        "kwargs": {key: _thaw(value) for key, value in step.kwargs.items()},
        "state": list(step.state),
        "frozen": step.frozen,
        "further_outputs": list(step.further_outputs),
        "blocks": [list(block) for block in step.blocks],
        **({"dtype": step.dtype} if step.dtype else {}),
        **({"mode": step.mode} if step.mode else {}),
    }


def _rule_data(rule: ActionRule) -> dict[str, object]:
    return {
        "deterministic": [_step_data(step) for step in rule.deterministic],
        "sampled": [_step_data(step) for step in rule.sampled],
        "state": rule.state,
    }


def _thaw(value: Plain) -> object:
    return [_thaw(item) for item in value] if isinstance(value, tuple) else value


def _freeze(value: object) -> Plain:
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(item) for item in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    msg = f"{type(value).__name__} is not plain data"
    raise TypeError(msg)


def _identifier(value: object) -> str:
    if not isinstance(value, str) or not value.isidentifier() or value.startswith("__"):
        msg = f"{value!r} is not a name"
        raise ValueError(msg)
    return value


def _identifiers(values: object) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple)):
        msg = "a list of names is needed"
        raise TypeError(msg)
    return tuple(_identifier(value) for value in values)


def _attribute(value: object) -> str:
    """Return the dotted name of a submodule."""
    names = _identifiers(value.split(".") if isinstance(value, str) else value)
    if len(names) > MAX_NESTED_BLOCKS + 1:
        msg = f"submodules are nested {len(names)} deep; {MAX_NESTED_BLOCKS} blocks at most"
        raise ValueError(msg)
    return ".".join(names)


def _floating(value: object) -> str:
    """Return the dtype of one module's parameters, or "". Raises ValueError for anything else."""
    if value not in ("", "float16", "bfloat16", "float32", "float64"):
        msg = f"a module has parameters of type {value!r:.40}"
        raise ValueError(msg)
    return str(value)


def _mode(value: object) -> str:
    """Return the mode of one module. Raises ValueError for anything else."""
    if value not in ("", "train", "eval"):
        msg = f"a module has the mode {value!r:.40}"
        raise ValueError(msg)
    return str(value)


def _blocks(values: object) -> tuple[tuple[str, int], ...]:
    pairs = cast("list[tuple[object, object]]", values)
    if len(pairs) > MAX_NESTED_BLOCKS or not all(isinstance(call, int) for _, call in pairs):
        msg = "blocks are pairs of a name and a number"
        raise ValueError(msg)
    return tuple((_identifier(name), cast("int", call)) for name, call in pairs)


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        msg = "a list of strings is needed"
        raise TypeError(msg)
    return tuple(values)


def _parse(data: Mapping[str, object]) -> Architecture:
    inputs = []
    for name, shape, dtype, *key in cast("list[list[object]]", data["inputs"]):
        frozen = _freeze(shape)
        if frozen is not None and not isinstance(frozen, tuple):
            msg = "an input shape is a list"
            raise TypeError(msg)
        sizes = cast("tuple[int | None, ...] | None", frozen)
        called = None if not key or key[0] is None else str(key[0])
        default = str(key[1]) if len(key) > 1 else ""
        if default not in INPUT_DEFAULTS:
            msg = f"an input has the default {default!r:.40}"
            raise ValueError(msg)
        inputs.append(InputValue(_identifier(name), sizes, str(dtype), called, default))
    architecture = Architecture(
        name=_identifier(data["name"]),
        inputs=tuple(inputs),
        outputs=_identifiers(data["outputs"]),
        steps=_parse_steps(data["steps"]),
        structure=str(data["structure"]),
        output_names=_texts(data["output_names"]),
        dtype=str(data["dtype"]),
        nesting=_freeze(data.get("nesting")),
        action=_parse_rule(data.get("action")),
    )
    _check_values(architecture)
    _check_rule(architecture)
    return architecture


def _parse_rule(data: object) -> ActionRule | None:
    if data is None:
        return None
    rule = cast("Mapping[str, object]", data)
    return ActionRule(
        _parse_steps(rule["deterministic"]), _parse_steps(rule["sampled"]), str(rule["state"])
    )


def _check_rule(architecture: Architecture) -> None:
    """Raise ValueError unless the rule of acting uses what the forward pass gives, by functions only."""
    rule = architecture.action
    if rule is None:
        return
    if architecture.structure != "dict" or not {*rule.states} <= {*architecture.output_names}:
        msg = "an agent that acts has outputs with names"
        raise ValueError(msg)
    for steps in (rule.deterministic, rule.sampled):
        known = set(architecture.output_names)
        for step in steps:
            if step.attribute is not None or not known.issuperset(step.inputs):
                msg = f"step '{step.op}' of acting takes what is not there ({step.inputs})"
                raise ValueError(msg)
            known.update(step.results)
        if not steps:
            msg = "a rule of acting has no steps"
            raise ValueError(msg)


def _parse_steps(data: object) -> tuple[Step, ...]:
    steps = []
    for step in cast("list[Mapping[str, object]]", data):
        attribute = step["attribute"]
        kwargs = cast("Mapping[object, object]", step["kwargs"])
        steps.append(
            Step(
                op=str(step["op"]),
                inputs=_identifiers(step["inputs"]),
                output=_identifier(step["output"]),
                attribute=None if attribute is None else _attribute(attribute),
                kwargs={_identifier(key): _freeze(value) for key, value in kwargs.items()},
                state=tuple(
                    ".".join(_identifiers(name.split("."))) for name in _texts(step["state"])
                ),
                frozen=bool(step["frozen"]),
                further_outputs=_identifiers(step.get("further_outputs", [])),
                blocks=_blocks(step.get("blocks", [])),
                dtype=_floating(step.get("dtype", "")),
                mode=_mode(step.get("mode", "")),
            )
        )
    return tuple(steps)


def _places(nesting: Plain) -> list[int]:
    """Return the places of an arrangement. Raises ValueError for another form."""
    if isinstance(nesting, int) and not isinstance(nesting, bool):
        return [nesting]
    if not isinstance(nesting, tuple) or not nesting or nesting[0] not in ("list", "dict"):
        msg = f"{nesting!r} is no arrangement of outputs"
        raise ValueError(msg)
    found = []
    for entry in nesting[1:]:
        if nesting[0] == "dict":
            if not isinstance(entry, tuple) or len(entry) != 2 or not isinstance(entry[0], str):
                msg = f"{entry!r} is no key with an output"
                raise ValueError(msg)
            entry = entry[1]
        found += _places(entry)
    return found


def _check_values(architecture: Architecture) -> None:
    """Raise ValueError unless every value is made once, before it is used, and the outputs have their structure."""
    known: set[str] = set()
    for name in (value.name for value in architecture.inputs):
        if name in known:
            msg = f"two inputs are named '{name}'"
            raise ValueError(msg)
        known.add(name)
    for step in architecture.steps:
        missing = [name for name in step.inputs if name not in known]
        again = known.intersection(step.results) or len(set(step.results)) != len(step.results)
        if missing or again:
            msg = f"step '{step.op}' takes what nothing made before it ({missing}), or makes {step.results} again"
            raise ValueError(msg)
        known.update(step.results)
    count = len(architecture.outputs)
    counts = {"single": count == 1, "list": count > 0, "dict": count > 0}
    if architecture.structure == "nested":
        counts["nested"] = sorted(_places(architecture.nesting)) == list(range(count))
    if not counts.get(architecture.structure, False) or not known.issuperset(architecture.outputs):
        msg = f"outputs {architecture.outputs} as '{architecture.structure}' cannot be given"
        raise ValueError(msg)
    names = set(architecture.output_names)
    if len(names) != (count if architecture.structure == "dict" else 0):
        msg = f"{count} outputs have the names {architecture.output_names}"
        raise ValueError(msg)
