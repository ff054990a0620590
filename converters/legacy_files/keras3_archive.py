"""A `.keras` of Keras 3 for a model that an older Keras wrote: configuration, weights, optimizer and loss in Keras 3's forms.

What has no exact counterpart is refused where outputs hang on it (`keras3_config`), and otherwise left out with its reason: an
optimizer that Keras 3 computes otherwise, a loss or metric that it does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.checkpoint import ArrayInfo
from converters.errors import ConversionError, UnsupportedError
from converters.graph import Graph
from converters.legacy_files.keras3_config import HINT, keras3_model
from converters.legacy_files.keras_texts import archive_texts, stored_training
from converters.legacy_files.keras_trees import Arrays, layers_tree, read_layout
from converters.legacy_files.record import LegacyRecord
from converters.legacy_files.restore import Origin, Restored, number_array
from converters.loss_names import LOSSES, METRICS, REDUCTIONS, find_function
from converters.matching.keras1_gates import JOINT
from converters.optimizers.options import EMA, SCHEDULES, SHARED
from converters.optimizers.rules import OptimizerRule, find_rule
from converters.optimizers.stored_order import AVERAGE
from converters.optimizers.training_state import trainable_arrays
from converters.writers.keras_files import KerasTree

Json = dict[str, object]
VERSION = "3.0.0"
"""What the archive says wrote it: the least that reads it."""
SETTINGS = ("loss_weights", "run_eagerly", "steps_per_execution", "jit_compile")
"""What Keras 3 takes to compile besides optimizer, loss and metrics."""


class _NoCounterpart(Exception):  # noqa: N818  # the reason why something is left out, not an error
    """What Keras 3 has none for."""


def keras3_archive(origin: Origin, record: LegacyRecord, restored: Restored) -> KerasTree:
    """Return the tree of the archive; notes what stays behind in `restored`.

    Raises:
        UnsupportedError: The model itself has no counterpart in Keras 3.
    """
    if record.generation < 2:
        msg = f"the model's configuration is of Keras {record.version or 1}, which is not put into .keras files of Keras 3"
        raise UnsupportedError(msg, hint=HINT)
    graph, arrays = read_layout(record, restored)
    config = keras3_model(graph)
    training = stored_training(record)
    compiled: Json | None = None
    variables: list[ArrayInfo] = []
    if training is not None:
        try:
            optimizer = _optimizer(training.get("optimizer"), record)
            loss = _losses(training.get("loss"))
            scheduled = isinstance(optimizer["learning_rate"], Mapping)
            variables = _variables(origin, record, restored, (graph, arrays), scheduled=scheduled)
            compiled = _compiled(training, optimizer, loss, record, restored)
        except _NoCounterpart as reason:
            restored.lost.append(("compile settings", str(reason)))
            _leave_state(restored, str(reason))
    elif restored.slots is not None:
        _leave_state(restored, "the legacy file does not say what the model was compiled with")
    if compiled is not None:
        config["compile_config"] = compiled
    _note_statistics(graph, restored)
    tree = layers_tree(graph, arrays)
    if variables and record.optimizer is not None:
        tree.add_variables("optimizer/", record.optimizer.kind.lower(), variables)
    return tree.finish(archive_texts(config, VERSION))


def _leave_state(restored: Restored, reason: str) -> None:
    if restored.slots is not None:
        restored.slots = None
        restored.lost.append(("optimizer state", reason))


def _note_statistics(graph: Graph, restored: Restored) -> None:
    fused = [layer.name for layer in graph.layers if layer.config.get("fused_ranks")]
    if fused:
        restored.notes.append(
            "trained on, Keras 3 moves the variance of batch normalization by that of the batch, Keras 2 on images by "
            f"n / (n - 1) of it: {', '.join(fused[:5])}"
        )


def _compiled(
    training: Mapping[str, object],
    optimizer: Json,
    loss: object,
    record: LegacyRecord,
    restored: Restored,
) -> Json:
    kind = "" if record.optimizer is None else record.optimizer.kind
    entry = {
        "module": "keras.optimizers",
        "class_name": kind,
        "config": optimizer,
        "registered_name": None,
    }
    compiled: Json = {"optimizer": entry, "loss": loss}
    compiled |= {key: training[key] for key in SETTINGS if training.get(key) is not None}
    for key in ("metrics", "weighted_metrics"):
        try:
            compiled[key] = _metrics(training.get(key))
        except _NoCounterpart as reason:
            compiled[key] = None
            restored.lost.append((key, str(reason)))
    return compiled


def _optimizer(stored: object, record: LegacyRecord) -> Json:
    """Return the optimizer's configuration in Keras 3. Raises _NoCounterpart."""
    if not isinstance(stored, Mapping) or record.optimizer is None:
        msg = "the file has no optimizer that converted"
        raise _NoCounterpart(msg)
    rule, dialect = find_rule(record.optimizer.kind), record.optimizer.dialect
    config = stored.get("config")
    config = dict(config) if isinstance(config, Mapping) else {}
    reason = _other_formula(rule, dialect, config)
    if reason is not None:
        msg = f"{rule.kind} of Keras {record.version or record.generation} {reason}"
        raise _NoCounterpart(msg)
    names = dict.fromkeys((*rule.options, *SHARED, *EMA, "name"))
    names.pop("decay")
    result: Json = {key: config[key] for key in names if config.get(key) is not None}
    if dialect == "standalone" and "clipnorm" in result:
        result["global_clipnorm"] = result.pop("clipnorm")  # of all gradients together
    result["learning_rate"] = _learning_rate(config)
    return result


def _other_formula(rule: OptimizerRule, dialect: str, config: Mapping[str, object]) -> str | None:
    """Return why the optimizer of Keras 3 with this name would not continue as the stored one."""
    if rule.choose_kind is not None:
        return "keeps its state otherwise than that of Keras 3"
    if rule.kind == "Nadam":
        return "multiplies its momenta otherwise than that of Keras 3"
    if dialect not in ("legacy", "standalone"):
        return None
    if rule.legacy_options(config).get("epsilon_inside_root") is False:
        return "adds epsilon to the root, that of Keras 3 inside of it"
    return None


def _learning_rate(config: Mapping[str, object]) -> object:
    """Return the number or schedule; the decay of older optimizers is the schedule InverseTimeDecay."""
    rate, decay = config.get("learning_rate", config.get("lr")), config.get("decay")
    if isinstance(rate, Mapping):
        name = rate.get("class_name")
        if name not in SCHEDULES or decay:
            msg = f"the learning rate is {name!r:.60}"
            raise _NoCounterpart(msg)
        return _schedule(str(name), rate.get("config"))
    if not isinstance(rate, (int, float)):
        msg = "the learning rate is not in the file"
        raise _NoCounterpart(msg)
    if not decay:
        return rate
    settings = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
    return _schedule("InverseTimeDecay", settings)


def _schedule(name: str, config: object) -> Json:
    module = "keras.optimizers.schedules"
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def _variables(
    origin: Origin,
    record: LegacyRecord,
    restored: Restored,
    layout: tuple[Graph, Arrays],
    *,
    scheduled: bool,
) -> list[ArrayInfo]:
    """Return the optimizer's variables in the order of Keras 3: counter, learning rate, and slots weight by weight."""
    if restored.slots is None or record.optimizer is None:
        return []
    slots, iterations = restored.slots, restored.group.get("iterations", 0)
    rate = restored.group.get("learning_rate")
    counter = iterations if isinstance(iterations, (int, float)) else 0
    found = [number_array("iteration", counter, "<i8")]
    if not scheduled and isinstance(rate, (int, float)):
        found.append(number_array("learning_rate", rate, "<f4"))
    targets = {source.split(JOINT)[0]: place.target for source, place in origin.places}
    order = [targets[info.name] for _, info in trainable_arrays(*layout)]
    blocks = ((AVERAGE,), *find_rule(record.optimizer.kind).blocks)
    return found + [
        slots[target][slot.key]
        for block in blocks
        for target in order
        for slot in block
        if slot.key in slots.get(target, {})
    ]


def _losses(stored: object) -> object:
    """Return losses of one or several outputs. Raises _NoCounterpart."""
    if stored is None:
        return None
    if isinstance(stored, Sequence) and not isinstance(stored, str):
        return [_losses(each) for each in stored]
    if isinstance(stored, Mapping) and "class_name" not in stored:
        return {key: _losses(each) for key, each in stored.items()}
    found = find_function(stored, LOSSES)
    if found is None:
        msg = f"the loss {stored!r:.80} is none of Keras 3"
        raise _NoCounterpart(msg)
    name, options, config = found
    if not isinstance(stored, Mapping) or config == {}:
        return name
    reduction = config.get("reduction", "auto")
    settings = {**options, "reduction": REDUCTIONS.get(str(reduction), "none")}
    about = {"module": "keras.losses", "class_name": stored["class_name"]}
    return {**about, "config": settings, "registered_name": None}


def _metrics(stored: object) -> object:
    """Return metrics by name. Raises _NoCounterpart."""
    if stored is None:
        return None
    if isinstance(stored, Sequence) and not isinstance(stored, str):
        return [_metrics(each) for each in stored]
    if isinstance(stored, Mapping) and "class_name" not in stored:
        return {key: _metrics(each) for key, each in stored.items()}
    try:
        found = find_function(stored, {**LOSSES, **METRICS})
    except ConversionError:
        found = None
    if found is None or found[1]:
        msg = f"{stored!r:.80}: metrics with settings or of one's own are not carried over"
        raise _NoCounterpart(msg)
    return found[0]
