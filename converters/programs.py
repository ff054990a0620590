"""Which way a file with a graph of TensorFlow goes: as an agent whose names are known, by its configuration, or by its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from converters.checkpoint import Checkpoint
from converters.errors import ConversionError, UnsupportedError

if TYPE_CHECKING:
    from converters.tensorflow_graphs.choose import Names

GRAPH_KEY = "tensorflow_graph"
"""Key of a converted file's metadata: the tensors that were chosen."""


def with_program(checkpoint: Checkpoint, inputs: Names = None, outputs: Names = None) -> Checkpoint:
    """Return the checkpoint with layers made of its graph, where that is what says what it computes.

    With `inputs` or `outputs` it always is. Without, a configuration of Keras or the names of a known agent come first.

    Raises:
        ConversionError: As `converters.tensorflow_graphs.lift.lift`.
    """
    chosen = inputs is not None or outputs is not None
    settled = checkpoint.graph is not None or checkpoint.agent is not None
    if not chosen and (checkpoint.program is None or settled):
        return checkpoint
    # Here and not above: every conversion imports this module, few need what reads graphs of TensorFlow.
    from converters.tensorflow_graphs.lift import lift

    if chosen:
        return lift(checkpoint, inputs, outputs)
    if checkpoint.provenance.format != "tf1-checkpoint":
        return lift(checkpoint)
    unknown = _unknown_agent(checkpoint)
    if unknown is None:
        return checkpoint
    try:
        return lift(checkpoint)
    except UnsupportedError as error:
        raise error from unknown


def _unknown_agent(checkpoint: Checkpoint) -> ConversionError | None:
    """Return why a checkpoint of TensorFlow 1 is none of the agents whose names are known; None if it is one."""
    from converters.agents.libraries import plan_agent

    try:
        plan_agent(checkpoint)
    except UnsupportedError as error:
        return error
    except ConversionError:
        return None
    return None


def tensor_candidates(checkpoint: Checkpoint) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names of tensors that may be inputs and outputs, where the file has a graph; by signature if it has one."""
    if checkpoint.program is None or checkpoint.graph is not None:
        return (), ()
    from converters.tensorflow_graphs.choose import candidates

    try:
        inputs, outputs, _ = candidates(checkpoint.program().graph)
    except ConversionError:
        return (), ()  # said when the graph is read for the conversion
    return tuple(inputs), tuple(outputs)


def chosen_tensors(inputs: Names, outputs: Names) -> dict[str, object]:
    """Return what a converted file keeps of the choice, so that `verify` makes the same; nothing if there was none."""
    if inputs is None and outputs is None:
        return {}
    return {GRAPH_KEY: {"inputs": _plain(inputs), "outputs": _plain(outputs)}}


def _plain(names: Names) -> object:
    if names is None or isinstance(names, str):
        return names
    return (
        [list(pair) for pair in names.items()]
        if isinstance(names, Mapping)
        else [str(name) for name in names]
    )


def stored_choice(metadata: Mapping[str, object]) -> tuple[Names, Names]:
    """Return the inputs and outputs that a converted file was made with."""
    found = metadata.get(GRAPH_KEY)
    entry = found if isinstance(found, Mapping) else {}
    inputs, outputs = (_names(entry.get(key)) for key in ("inputs", "outputs"))
    return inputs, outputs


def _names(stored: object) -> Names:
    if not isinstance(stored, (list, tuple)):
        return stored if isinstance(stored, str) else None
    if stored and all(isinstance(each, (list, tuple)) and len(each) == 2 for each in stored):
        return {str(key): str(value) for key, value in stored}
    return [str(each) for each in stored]
