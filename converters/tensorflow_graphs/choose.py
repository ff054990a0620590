"""Which tensors of a graph are the inputs and outputs of the network: as the user says, by signature, or the only ones.

Names are those of TensorFlow: "s:0", "actor/mul:0" (":0" may be left out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.errors import AmbiguousTargetError, MismatchError, UnreadableFileError
from converters.readers.tensorflow.attributes import Shape, dtype_name
from converters.readers.tensorflow.graph_def import GraphFile, Node, Signature
from converters.registry import nearest
from converters.tensorflow_graphs.flatten import parse_ref
from converters.tensorflow_graphs.values import Ref

PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
SERVING = "serving_default"
_INTERNAL = (
    "gradients",
    "save",
    "report_uninitialized",
    "init",
    "training",
    "metrics",
    "group_deps",
    "summary",
)
"""First parts of names of what training and saving add."""
_NEVER_OUTPUT = (
    *(
        "Const",
        "Placeholder",
        "PlaceholderV2",
        "PlaceholderWithDefault",
        "VariableV2",
        "Variable",
        "VarHandleOp",
    ),
    *(
        "Assign",
        "AssignVariableOp",
        "AssignSub",
        "AssignAdd",
        "NoOp",
        "Shape",
        "ShapeN",
        "Rank",
        "Size",
        "Switch",
    ),
    *(
        "IsVariableInitialized",
        "VarIsInitializedOp",
        "ScalarSummary",
        "HistogramSummary",
        "MergeSummary",
    ),
    *("AssignSubVariableOp", "AssignAddVariableOp", "StridedSlice"),
)
_LISTED = 12
Names = Sequence[str] | Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class ChosenInput:
    """Where the network begins: name of the argument, the tensor, its type and shape as far as the graph says.

    Attributes:
        is_single: whether the graph was made for a batch of one, which is open here.
    """

    key: str
    ref: Ref
    dtype: str
    shape: Shape
    is_single: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Inputs and outputs in order; `names` is empty where outputs have none.

    Attributes:
        optional: outputs that nobody asked for by name: they are left out where they cannot be converted.
        idle: whether inputs that nobody asked for by name stay where no output needs them.
    """

    inputs: tuple[ChosenInput, ...]
    outputs: tuple[Ref, ...]
    names: tuple[str, ...]
    optional: bool = False
    idle: bool = True


def choose(graph: GraphFile, inputs: Names, outputs: Names) -> Choice:
    """Return the inputs and outputs of the network.

    Args:
        graph: the file's.
        inputs: names of tensors or of a signature's inputs, in order; a mapping gives the arguments their names.
            None: those of the signature, else the placeholders that the outputs need.
        outputs: the same; a mapping gives the outputs their names. None: those of the signature, else the one
            tensor that depends on one placeholder alone and that nothing but training uses.

    Raises:
        MismatchError: A name is not in the graph.
        AmbiguousTargetError: Nothing is given, and there is more than one choice; candidates are listed.
    """
    signature = signature_of(graph)
    optional = outputs is None
    if outputs is not None:
        ends, names = _named(graph, outputs, signature.outputs if signature else {}, "output")
    elif signature is not None:
        names = tuple(signature.outputs)
        ends = tuple(parse_ref(info.name) for info in signature.outputs.values())
    else:
        ends, names = _only_output(graph)
    if inputs is not None:
        begins, keys = _named(graph, inputs, signature.inputs if signature else {}, "input")
        keys = keys or tuple(_key(ref, signature) for ref in begins)
    elif signature is not None:
        ordered = in_call_order(graph, signature)
        begins = tuple(parse_ref(signature.inputs[key].name) for key in ordered)
        keys = tuple(ordered)
    else:
        begins = tuple(placeholders_of(graph, ends))
        keys = tuple(_key(ref, None) for ref in begins)
    chosen = tuple(
        _input(graph, key, ref, signature) for key, ref in zip(keys, begins, strict=True)
    )
    return Choice(chosen, tuple(ends), names, optional, idle=inputs is not None)


def signature_of(graph: GraphFile) -> Signature | None:
    """Return the signature for serving, or the only one there is."""
    found = {
        key: each
        for key, each in graph.signatures.items()
        if not key.startswith("__") and each.outputs
    }
    if SERVING in found:
        return found[SERVING]
    return next(iter(found.values())) if found else None


def in_call_order(graph: GraphFile, signature: Signature) -> list[str]:
    """Return the inputs of a signature, which are stored by the alphabet, in the order they were written in.

    That of the placeholders (TensorFlow 1), or of the arguments of the function that the signature wraps (2).
    """
    places = {name: place for place, name in enumerate(graph.nodes)}
    keys = sorted(
        signature.inputs, key=lambda key: places.get(parse_ref(signature.inputs[key].name)[0], 0)
    )
    for info in signature.outputs.values():
        wrapper = graph.nodes.get(parse_ref(info.name)[0])
        function = (
            graph.functions.get(wrapper.attributes.function("f") or "")
            if wrapper is not None
            else None
        )
        if wrapper is None or function is None:
            continue
        arguments = dict(
            zip((each.name for each in function.arguments), wrapper.inputs, strict=False)
        )
        for node in function.nodes.values():
            taken = [parse_ref(arguments[each]) for each in node.inputs if each in arguments]
            by_ref = {parse_ref(signature.inputs[key].name): key for key in keys}
            found = [by_ref[ref] for ref in taken if ref in by_ref]
            if sorted(found) == sorted(keys):
                return found
    return keys


def _named(
    graph: GraphFile,
    wanted: Sequence[str] | Mapping[str, str],
    known: Mapping[str, object],
    what: str,
) -> tuple[tuple[Ref, ...], tuple[str, ...]]:
    """Return tensors by name, or by their name in the signature."""
    given = (
        list(wanted.values())
        if isinstance(wanted, Mapping)
        else [wanted]
        if isinstance(wanted, str)
        else list(wanted)
    )
    names: tuple[str, ...] = tuple(wanted) if isinstance(wanted, Mapping) else ()
    refs = []
    problems = []
    for text in given:
        stated = getattr(known.get(text), "name", text)
        name, index = parse_ref(str(stated))
        if name not in graph.nodes and what == "output":
            problems.append(
                f"{what} {text[:200]!r} is not in the graph{nearest(name, graph.nodes)}"
            )
        refs.append((name, index))
    if (
        not isinstance(wanted, Mapping)
        and given
        and all(text in known for text in given)
        and what == "output"
    ):
        names = tuple(given)
    if problems:
        listed = "\n  ".join(problems)
        msg = (
            problems[0]
            if len(problems) == 1
            else f"{len(problems)} names are not in the graph:\n  {listed}"
        )
        raise MismatchError(msg, hint="torchward inspect lists the candidates")
    return tuple(refs), names


def _key(ref: Ref, signature: Signature | None) -> str:
    """Return what an input is called: as the signature does, else by the name of its node."""
    for key, info in signature.inputs.items() if signature is not None else ():
        if parse_ref(info.name) == ref:
            return key
    return ref[0] if not ref[1] else f"{ref[0]}_{ref[1]}"


def _input(graph: GraphFile, key: str, ref: Ref, signature: Signature | None) -> ChosenInput:
    node = graph.nodes.get(ref[0])
    if node is None:  # nothing that is computed depends on it
        return ChosenInput(key, ref, "float32", None)
    dtype = node.attributes.dtype("dtype") or node.attributes.dtype("T")
    shape = node.attributes.shape("shape") if "shape" in node.attributes else None
    if node.op == "Placeholder" and shape == () and "_output_shapes" in node.attributes:
        shape = None  # before TensorFlow 1.0 a placeholder of unknown shape was written as one of a number
    shapes = node.attributes.shapes("_output_shapes")
    if shape is None and ref[1] < len(shapes):
        shape = shapes[ref[1]]
    for info in signature.inputs.values() if signature is not None else ():
        if parse_ref(info.name) == ref:
            dtype = dtype or dtype_name(info.dtype)
            shape = info.shape if shape is None else shape
    is_single = shape is not None and len(shape) > 1 and shape[0] == 1
    if shape is not None and is_single:
        shape = (None, *shape[1:])  # made for one observation at a time, as Dopamine's agents act
    return ChosenInput(key, ref, dtype or "float32", shape, is_single)


def placeholders_of(graph: GraphFile, outputs: Sequence[Ref]) -> list[Ref]:
    """Return the placeholders that outputs need, in the order of the graph; switches of training are not counted."""
    needed = _upstream(graph, [name for name, _ in outputs])
    return [
        (node.name, 0)
        for node in graph.nodes.values()
        if node.op in PLACEHOLDERS[:2] and node.name in needed and not is_switch(node)
    ]


def is_switch(node: Node) -> bool:
    """Tell whether a placeholder says whether the network trains, or how much is dropped, and has no other use."""
    return node.attributes.dtype("dtype") == "bool" and node.attributes.shape("shape") in ((), None)


def _upstream(graph: GraphFile, names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        node = graph.nodes.get(name)
        if node is None or name in found:
            continue
        found.add(name)
        waiting += [text.partition(":")[0] for text in node.inputs if not text.startswith("^")]
    return found


def candidates(graph: GraphFile) -> tuple[list[str], list[str], int]:
    """Return names of tensors that may be inputs, those that may be outputs, and how many of these need no other.

    An output depends on one or more placeholders, and whatever takes it depends on a further one (a target, an action)
    or belongs to training: it is where a network ends.
    """
    signature = signature_of(graph)
    if signature is not None:
        ends = [f"{key} ({info.name})" for key, info in signature.outputs.items()]
        begins = [f"{key} ({info.name})" for key, info in signature.inputs.items()]
        return begins, ends, len(ends)
    inputs = [
        f"{node.name}:0"
        for node in graph.nodes.values()
        if node.op in PLACEHOLDERS and not _is_internal(node.name)
    ]
    depends = _dependencies(graph)
    users: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        for text in node.inputs:
            if not text.startswith("^"):
                users.setdefault(text.partition(":")[0], []).append(node.name)
    networks = _network_scopes(graph)
    outputs = []
    for node in graph.nodes.values():
        own = depends.get(node.name, (frozenset(), False))
        if node.op in _NEVER_OUTPUT or not own[0] or not own[1]:
            continue
        if _is_internal(node.name) or "Apply" in node.op:
            continue
        scope = node.name.partition("/")[0]
        inside = [
            each
            for each in users.get(node.name, [])
            if not _is_internal(each)
            and depends.get(each, (frozenset(), False))[0] == own[0]
            and (scope not in networks or each.partition("/")[0] == scope)
        ]
        if not inside:
            outputs.append(node.name)
    # Where networks end comes before losses and what else is computed from those ends.
    first = [name for name in outputs if not (_upstream(graph, [name]) - {name}) & set(outputs)]
    rest = [name for name in outputs if name not in first]
    return inputs, [f"{name}:0" for name in (*first, *rest)], len(first)


def _network_scopes(graph: GraphFile) -> set[str]:
    """Return the first parts of names that hold variables of several layers: "actor", but not "dense_1"."""
    layers: dict[str, set[str]] = {}
    for node in graph.nodes.values():
        if node.op in ("VariableV2", "Variable", "VarHandleOp") and node.name.count("/") > 1:
            layers.setdefault(node.name.partition("/")[0], set()).add(node.name.rpartition("/")[0])
    return {scope for scope, found in layers.items() if len(found) > 1}


def _is_internal(name: str) -> bool:
    return any(part.startswith(_INTERNAL) for part in name.split("/"))


def _dependencies(graph: GraphFile) -> dict[str, tuple[frozenset[str], bool]]:
    """Return for every node the placeholders it depends on, and whether it depends on a variable."""
    found: dict[str, tuple[frozenset[str], bool]] = {}
    for start in graph.nodes:
        stack = [start]
        while stack:
            name = stack[-1]
            node = graph.nodes.get(name)
            if node is None or name in found:
                stack.pop()
                continue
            inputs = [text.partition(":")[0] for text in node.inputs if not text.startswith("^")]
            waiting = [
                each
                for each in inputs
                if each in graph.nodes and each not in found and each not in stack
            ]
            if waiting and len(stack) < 20_000:
                stack += waiting[:1]
                continue
            found[name] = _dependency(node, [found[each] for each in inputs if each in found])
            stack.pop()
    return found


def _dependency(
    node: Node, inputs: Sequence[tuple[frozenset[str], bool]]
) -> tuple[frozenset[str], bool]:
    if node.op in PLACEHOLDERS[:2]:
        return (frozenset() if is_switch(node) else frozenset([node.name])), False
    if node.op in ("VariableV2", "Variable", "VarHandleOp"):
        return frozenset(), True
    placeholders = frozenset[str]().union(*(each for each, _ in inputs))
    frozen = node.op in ("MatMul", "Conv2D")  # of a frozen graph: its variables are constants
    return placeholders, frozen or any(variable for _, variable in inputs)


def _only_output(graph: GraphFile) -> tuple[tuple[Ref, ...], tuple[str, ...]]:
    inputs, outputs, first = candidates(graph)
    if first == 1:
        ref = parse_ref(outputs[0])
        choices = [node for node in graph.nodes.values() if node.op == "ArgMax"]
        ends = {(node.name, 0): parse_ref(node.inputs[0]) for node in choices}
        chosen = {ref, ends.get(ref)}
        best = next((name for name, values in ends.items() if chosen & {name, values}), None)
        if best is None:
            return (ref,), ()
        # The program acts on the largest value (Dopamine's agents).
        return (ends[best], ends[best], best), ("q_values", "q", "deterministic_action")
    if not outputs:
        msg = "the graph has no tensor that a network might end in: none depends on a placeholder and a variable"
        raise UnreadableFileError(msg)
    msg = (
        f"the graph does not say what its outputs are.\n  inputs may be: {_listed(inputs)}\n"
        f"  outputs may be: {_listed(outputs)}"
    )
    raise AmbiguousTargetError(
        msg,
        hint=f"torchward convert ... --inputs {inputs[0] if inputs else 'x:0'} --outputs action={outputs[0]}",
    )


def _listed(names: Sequence[str]) -> str:
    more = f", ... {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(name[:200] for name in names[:_LISTED]) + more
