"""Numbers and words looked up in a vocabulary that is in the configuration."""

from __future__ import annotations

from converters.graph import Layer
from converters.layers.preprocessing import encoding
from converters.registry import Example, Plain, Shape, TorchStep, layer
from converters.settings import flag, integer, text, unsupported

_LARGEST = 2**63 - 1


@layer(
    "IntegerLookup",
    examples=(
        Example({"vocabulary": [7, 3, 12]}, ((4,),), below=14),
        Example({"vocabulary": [7, 3], "num_oov_indices": 3, "mask_token": 0}, ((4,),), below=14),
        Example({"vocabulary": [7, 3, 12], "invert": True, "mask_token": 0}, ((4,),), below=7),
        Example({"vocabulary": [7, 3, 12], "output_mode": "multi_hot"}, ((4,),), below=14),
        Example(
            {
                "vocabulary": [7, 3],
                "output_mode": "count",
                "mask_token": 5,
                "max_tokens": 6,
                "pad_to_max_tokens": True,
            },
            ((4,),),
            below=14,
        ),
    ),
)
def integer_lookup(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the place of every number in the vocabulary, or the number at every place."""
    mode, invert = text(layer, "output_mode", "int"), flag(layer, "invert", default=False)
    if mode == "tf_idf":
        raise unsupported(layer, "output_mode", needed="int, one_hot, multi_hot or count")
    if text(layer, "oov_method", "floormod") != "floormod":
        raise unsupported(layer, "oov_method", needed="floormod")
    mask = None if layer.config.get("mask_token") is None else integer(layer, "mask_token")
    buckets = integer(layer, "num_oov_indices", 1)
    unknown_start = 1 if mask is not None and mode == "int" else 0
    start = unknown_start + buckets
    words = _vocabulary(
        layer, [*[mask] * unknown_start, *[layer.config.get("oov_token")] * buckets]
    )
    kwargs: dict[str, Plain] = {"vocabulary": words, "start": start}
    if invert:
        kwargs["unknown"] = integer(layer, "oov_token", -1)
        kwargs |= {} if mask is None else {"masked": mask}
        return [TorchStep("compat.lookup_number", kwargs)]
    kwargs |= {"unknown_start": unknown_start, "buckets": buckets}
    if mask is not None:
        kwargs |= {"masked": mask, "masked_index": 0 if mode == "int" else _LARGEST}
    step = TorchStep("compat.lookup_index", kwargs)
    if mode == "int":
        return [step]
    size = start + len(words)
    if flag(layer, "pad_to_max_tokens", default=False):
        size = integer(layer, "max_tokens")
    return [step, encoding(layer, shapes[0], size, dtype="int64")]


@layer("StringLookup", examples=())
def string_lookup(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the place of every word in the vocabulary; words come as their bytes.

    Without examples, which are numbers: a test of its own compares it.
    """
    mode, mask = text(layer, "output_mode", "int"), layer.config.get("mask_token")
    if flag(layer, "invert", default=False):
        raise unsupported(
            layer, "invert", needed="false: torch has no tensors of text to give back"
        )
    if mode == "tf_idf":
        raise unsupported(layer, "output_mode", needed="int, one_hot, multi_hot or count")
    buckets = integer(layer, "num_oov_indices", 1)
    if buckets > 1:
        raise unsupported(layer, "num_oov_indices", needed="0 or 1: words are not hashed")
    if mask is not None and not isinstance(mask, str):
        raise unsupported(layer, "mask_token", needed="a word or null")
    first = 1 if mask is not None and mode == "int" else 0
    start = first + buckets
    words = _words(layer, [*[mask] * first, *[text(layer, "oov_token", "[UNK]")] * buckets])
    kwargs: dict[str, Plain] = {
        "vocabulary": words,
        "start": start,
        "unknown": first if buckets else -1,
    }
    if mask is not None:
        kwargs |= {"masked": mask, "masked_index": 0 if mode == "int" else _LARGEST}
    step = TorchStep("compat.lookup_text", kwargs)
    if mode == "int":
        return [step]
    size = start + len(words)
    if flag(layer, "pad_to_max_tokens", default=False):
        size = integer(layer, "max_tokens")
    return [step, encoding(layer, shapes[0], size, dtype="int64")]


def _words(layer: Layer, special: list[object]) -> tuple[str, ...]:
    """Return the words without the special ones that the list may begin with.

    Raises:
        UnsupportedError: There is no list of words in the configuration.
    """
    stored = layer.config.get("vocabulary")
    if not isinstance(stored, (list, tuple)) or not stored:
        raise unsupported(
            layer,
            "vocabulary",
            needed="a list: build the layer with vocabulary=layer.get_vocabulary()",
        )
    words = list(stored[len(special) :] if list(stored[: len(special)]) == special else stored)
    if not words or not all(isinstance(word, str) for word in words):
        raise unsupported(layer, "vocabulary", needed="words")
    return tuple(str(word) for word in words)


def _vocabulary(layer: Layer, special: list[object]) -> tuple[int, ...]:
    """Return the numbers without the special ones that the list may begin with.

    Raises:
        UnsupportedError: There is no list of numbers in the configuration.
    """
    stored = layer.config.get("vocabulary")
    if not isinstance(stored, (list, tuple)) or not stored:
        raise unsupported(
            layer,
            "vocabulary",
            needed="a list: build the layer with vocabulary=layer.get_vocabulary()",
        )
    words = list(stored[len(special) :] if list(stored[: len(special)]) == special else stored)
    if not words or not all(type(word) is int and abs(word) <= _LARGEST for word in words):
        raise unsupported(layer, "vocabulary", needed="whole numbers")
    return tuple(words)
