"""What a user should know of layers that act otherwise while training, from how they are called."""

from __future__ import annotations

from collections.abc import Sequence

from converters.errors import UnsupportedError
from converters.graph import Call, Layer
from converters.matching import leaves
from converters.registry import find_layer_rule


def fixed_mode(layer: Layer, call: Call) -> list[str]:
    """Return a note if a layer is called with a fixed training=False, where that makes a difference.

    Raises:
        UnsupportedError: It is called with training=True, and acts in training.
    """
    fixed = call.kwargs.get("training")
    if not isinstance(fixed, (bool, int)):
        return []
    affected = [part.name for part in _parts(layer) if _acts_in_training(part)]
    if not affected:
        return []
    if fixed:
        msg = (
            f"layer '{layer.name}' ({layer.class_name}) is called with training=True, so that it draws or moves "
            "statistics at inference, too"
        )
        raise UnsupportedError(msg, hint="save the model with the call's training left open")
    note = (
        f"'{layer.name}' is called with training=False in Keras; model.train() switches it on here: "
        f"keep {', '.join(affected[:3])} in eval mode"
    )
    return [note]


def idle_layers(layer: Layer, call: Call, *, known: Sequence[str]) -> list[str]:
    """Return a note for layers that change what Keras trains on, and nothing here; each once, `known` are given already."""
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
    return notes


def _parts(layer: Layer) -> list[Layer]:
    return [part for _, part in leaves(layer.graph)] if layer.graph else [layer]


def _acts_in_training(layer: Layer) -> bool:
    if layer.class_name == "InputLayer":
        return False
    rule = find_layer_rule(layer.class_name)
    return layer.class_name == "BatchNormalization" or (
        rule.random_in_training and not rule.idle_in_training
    )
