"""All that keeps a graph from being converted, said at once: what is mended one by one is met one by one."""

from __future__ import annotations

from collections.abc import Sequence

from converters.errors import ConversionError, OwnCodeError, UnsupportedError, own_code_hint
from converters.graph import Graph, Layer
from converters.matching.model_weights import leaves
from converters.names import class_identifier
from converters.refusals import REFUSED
from converters.registry import find_layer_rule


def check_rules(graph: Graph) -> None:
    """Raise for the layers that no rule converts, together with the activations that nothing is known of.

    Raises:
        UnsupportedError: There are such layers; all are listed.
    """
    problems: list[ConversionError] = []
    for path, layer in leaves(graph):
        for each in (layer, *layer.inner.values()):
            try:
                if each.class_name != "InputLayer":
                    find_layer_rule(each.class_name)
            except UnsupportedError as error:
                msg = f"layer '{'/'.join(path)}': {error}"
                name = _own_name(each)
                example = class_identifier(name, default="MyLayer")
                problems.append(OwnCodeError(msg, name=name, example=example))
    if problems:
        raise joined([*problems, *unknown_activations(graph)])


def _own_name(layer: Layer) -> str:
    """Return what the user may call a layer: by its class, which others may be of, or a Lambda by its own name."""
    own_class = layer.class_name.rsplit(">", 1)[-1]
    return layer.name if own_class in REFUSED else own_class


def unknown_activations(graph: Graph) -> list[UnsupportedError]:
    """Return what is wrong with activations anywhere in a graph: a walk ends at the first."""
    from converters.layers.activations import unknown_activations as unknown_of_layer

    return [
        problem
        for _, layer in leaves(graph)
        for each in (layer, *layer.inner.values())
        for problem in unknown_of_layer(each)
    ]


def joined(problems: Sequence[ConversionError]) -> ConversionError:
    """Return one error with every problem once, and what to type for all of them that the user's own code can settle."""
    distinct = {str(problem): problem for problem in problems}
    first, *others = distinct.values()
    if not others:
        return first
    lines = "\n  ".join(distinct)
    own = {
        problem.name: problem.example
        for problem in distinct.values()
        if isinstance(problem, OwnCodeError)
    }
    hint = own_code_hint(own) if own else first.hint
    return type(first)(f"{len(distinct)} layers cannot be converted:\n  {lines}", hint=hint)
