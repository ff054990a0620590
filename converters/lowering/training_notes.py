"""How layers act in training and at inference, from how they are called: fixed modes, and what a user should know.

Keras 1 and 2 let `training=` in the call of a layer win over everything, and what a nested model is called with holds
for all of its layers that are called without. In Keras 3, fit, evaluate and predict override what was stored (3.15.1,
models/functional.py, `operation_fn`), as model.train() and model.eval() do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.errors import UnsupportedError
from converters.graph import Call, Layer
from converters.matching.model_weights import leaves
from converters.registry import find_layer_rule

MODES = ("train", "eval")
"""The modes a layer may have of its own; "" follows the network's."""


def fixed_mode(layer: Layer, call: Call, *, generation: int, around: str = "") -> str:
    """Return the mode a layer's call is fixed to, "" if it is left open.

    Args:
        layer: a layer or a nested model.
        call: how it is called.
        generation: of Keras that wrote the file.
        around: what the nested model around the call is fixed to.

    Raises:
        UnsupportedError: An augmentation is called with training=True, so that it changes images at inference, too.
    """
    stated = call.kwargs.get("training")
    if generation > 2:
        return ""
    if not isinstance(stated, (bool, int)) or not any(map(_reacts, _parts(layer))):
        return around
    if stated and (idle := [part for part in _parts(layer) if _is_idle(part)]):
        msg = (
            f"layer '{idle[0].name}' ({idle[0].class_name}) is called with training=True, so that it changes its input "
            "at inference, too"
        )
        raise UnsupportedError(msg, hint="save the model with the call's training left open")
    return MODES[0] if stated else MODES[1]


def mode_notes(layer: Layer, call: Call, *, generation: int) -> list[str]:
    """Return a note if a layer is called with a fixed `training` that makes a difference."""
    stated = call.kwargs.get("training")
    affected = [part.name for part in _parts(layer) if acts_in_training(part)]
    if not isinstance(stated, (bool, int)) or not affected:
        return []
    names = ", ".join(affected[:3]) + (", ..." if len(affected) > 3 else "")
    if generation > 2:
        # Keras 3 stores False, the default of its layers, where nobody said anything.
        stored = (
            f"'{layer.name}' is stored with training=True: Keras 3 draws in model(x) alone; its fit, evaluate and "
            f"predict override it, as model.train() and model.eval() do; for draws at inference: .train() on {names}"
        )
        return [stored] if stated else []
    if stated:
        return [
            f"'{layer.name}' is called with training=True in Keras: model.eval() leaves {names} in training mode"
        ]
    return [
        f"'{layer.name}' is called with training=False in Keras: model.train() leaves {names} in eval mode"
    ]


def layer_notes(layer: Layer, call: Call, *, known: Sequence[str]) -> list[str]:
    """Return notes on a layer that acts otherwise in training in Keras, or may, or of which the file leaves something out.

    Each comes once; `known` are given already.
    """
    notes: list[str] = []
    for part in _parts(layer):
        if part.class_name == "InputLayer" or call.kwargs.get("training") is False:
            continue
        # Keras 3 stores training=True where an augmentation was called without it, and predicts with False.
        if find_layer_rule(part.class_name).idle_in_training:
            note = (
                f"'{part.name}' ({part.class_name}) augments in training in Keras; the module leaves its input as it "
                "is: augment where the data is loaded (torchvision.transforms.v2)"
            )
            notes += [] if note in known or note in notes else [note]
        if any(_penalises(each) for each in (part, *part.inner.values())):
            note = (
                f"'{part.name}' ({part.class_name}) adds a penalty on its outputs to the loss in Keras; the converted "
                "loss is without it: add it where you train on"
            )
            notes += [] if note in known or note in notes else [note]
        if not part.trainable and part.config.get("statistics_when_frozen") == "used or kept":
            note = (
                f"'{part.name}' ({part.class_name}) is frozen: in training, TensorFlow 2 normalizes by the moving averages and "
                "so does the module; TensorFlow 1 by the batch, and the file does not say which wrote it"
            )
            notes += [] if note in known or note in notes else [note]
        if part.config.get("strides_left_out") is True:
            note = (
                f"'{part.name}' ({part.class_name}): Keras 1 does not store its strides (subsample); 1 is taken, and outputs "
                "are wrong if it was another"
            )
            notes += [] if note in known or note in notes else [note]
    return notes


def _penalises(layer: Layer) -> bool:
    """Return whether a layer has a regularizer of activities that is not 0."""
    if layer.class_name == "ActivityRegularization":
        return bool(layer.config.get("l1") or layer.config.get("l2"))
    return bool(layer.config.get("activity_regularizer"))


def acts_in_training(layer: Layer) -> bool:
    """Return whether a layer, or one that it wraps, computes something else in training than at inference."""
    if layer.class_name == "InputLayer" or layer.is_operation:
        return False
    if layer.class_name in ("BatchNormalization", "SpectralNormalization"):
        return True
    if any(acts_in_training(inner) for inner in layer.inner.values()):
        return True
    rule = find_layer_rule(layer.class_name)
    return (rule.random_in_training and not rule.idle_in_training) or _drops(layer.config)


def _drops(settings: object) -> bool:
    """Return whether settings, or those of cells inside, hold a dropout."""
    if isinstance(settings, (list, tuple)):
        return any(_drops(part) for part in settings)
    if not isinstance(settings, Mapping):
        return False
    rates = (settings.get("dropout"), settings.get("recurrent_dropout"))
    return any(isinstance(rate, (int, float)) and rate > 0 for rate in rates) or any(
        _drops(part) for part in settings.values()
    )


def _reacts(layer: Layer) -> bool:
    return acts_in_training(layer) or _is_idle(layer)


def _is_idle(layer: Layer) -> bool:
    return layer.class_name != "InputLayer" and find_layer_rule(layer.class_name).idle_in_training


def _parts(layer: Layer) -> list[Layer]:
    return [part for _, part in leaves(layer.graph)] if layer.graph else [layer]
