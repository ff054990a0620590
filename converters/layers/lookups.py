"""Numbers and words looked up in a vocabulary that is in the file, and texts that are cut into such words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from converters.graph import Layer
from converters.layers.hashing import salt
from converters.layers.preprocessing import encoding
from converters.registry import Example, Lowered, Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer, integers, text, unsupported

_LARGEST = 2**63 - 1
_ENCODED = ("one_hot", "multi_hot", "count", "tf_idf")


def _weighs(config: Mapping[str, object]) -> bool:
    return config.get("output_mode") in ("tf_idf", "tf-idf")


_WEIGHTS = (Weight("idf_weights", when=_weighs, trainable=False),)


@layer(
    "IntegerLookup",
    weights=_WEIGHTS,
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
    numbers="whole",
)
def integer_lookup(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the place of every number in the vocabulary, or the number at every place."""
    mode, invert = text(layer, "output_mode", "int"), flag(layer, "invert", default=False)
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
        return _chain(TorchStep("compat.lookup_number", kwargs))
    kwargs |= {"unknown_start": unknown_start, "buckets": buckets}
    if mask is not None:
        kwargs |= {"masked": mask, "masked_index": 0 if mode == "int" else _LARGEST}
    method = text(layer, "oov_method", "floormod")
    if method not in ("floormod", "farmhash"):
        raise unsupported(layer, "oov_method", needed="floormod or farmhash")
    hashed = "compat.hash_number" if method == "farmhash" else None
    steps = _looked_up(layer, "compat.lookup_index", kwargs, hashed=hashed)
    return _chain(*steps, *_encoded(layer, shapes[0], start + len(words)))


@layer("StringLookup", weights=_WEIGHTS, examples=(), takes_text=True, numbers="whole")
def string_lookup(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the place of every word in the vocabulary, or the word at every place; words are their bytes.

    Without examples, which are numbers: a test of its own compares it.
    """
    mask = layer.config.get("mask_token")
    if mask is not None and not isinstance(mask, str):
        raise unsupported(layer, "mask_token", needed="a word or null")
    if flag(layer, "invert", default=False):
        return _chain(_words_at_places(layer, mask))
    return _chain(*_places_of_words(layer, shapes[0], mask, integer(layer, "num_oov_indices", 1)))


@layer("IndexLookup", weights=_WEIGHTS, examples=(), takes_text=True, numbers="whole")
def index_lookup(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return what the layers derived from it do, of numbers or of words by `vocabulary_dtype`."""
    if text(layer, "vocabulary_dtype", "string") == "string":
        return string_lookup(layer, *shapes)
    return integer_lookup(layer, *shapes)


@layer("TextVectorization", weights=_WEIGHTS, examples=(), takes_text=True, numbers="whole")
def text_vectorization(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the places of the words of every text, or how often they occur; texts come as their bytes.

    Without examples, which are numbers: a test of its own compares it.
    """
    for key, needed in (("ragged", "false"), ("sparse", "false")):
        if layer.config.get(key):
            raise unsupported(layer, key, needed=needed)
    if text(layer, "encoding", "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8"):
        raise unsupported(layer, "encoding", needed="utf-8")
    steps, shape = _tokens(layer, shapes[0])
    steps += _places_of_words(layer, shape, "", 1)
    if layer.config.get("output_sequence_length") is not None:
        length = integer(layer, "output_sequence_length")
        steps.append(
            TorchStep("compat.fit_length", {"length": length}, shape=(*shape[:-1], length))
        )
    return _chain(*steps)


_STANDARDS: Mapping[object, Mapping[str, Plain]] = {
    "lower_and_strip_punctuation": {"lower": True, "strip": True},
    "lower": {"lower": True, "strip": False},
    "strip_punctuation": {"lower": False, "strip": True},
}


def _tokens(layer: Layer, shape: Shape) -> tuple[list[TorchStep], Shape]:
    """Return the steps that make words of texts, and the words' shape.

    Raises:
        UnsupportedError: A function of the user's own makes them.
    """
    steps = []
    if (standard := layer.config.get("standardize")) is not None:
        if not isinstance(standard, str) or standard not in _STANDARDS:
            raise unsupported(layer, "standardize", needed=", ".join(map(str, _STANDARDS)))
        steps.append(TorchStep("compat.standardize_text", _STANDARDS[standard]))
    split = layer.config.get("split")
    if split is not None:
        if split not in ("whitespace", "character"):
            raise unsupported(layer, "split", needed="whitespace, character or null")
        kwargs: dict[str, Plain] = {"characters": True} if split == "character" else {}
        shape = (shape[0], None)
        steps.append(TorchStep("compat.split_text", kwargs, shape=shape))
    if layer.config.get("ngrams") is not None:
        widths = integers(layer, "ngrams")
        if isinstance(layer.config["ngrams"], int):
            widths = tuple(range(1, widths[0] + 1))
        if not widths or min(widths) < 1:
            raise unsupported(layer, "ngrams", needed="numbers from 1 on")
        joined: dict[str, Plain] = {"widths": widths}
        if split is None:
            joined["dense"] = True
        steps.append(TorchStep("compat.join_ngrams", joined, shape=(*shape[:-1], None)))
        shape = (*shape[:-1], None)
    return steps, shape


def _chain(*steps: TorchStep) -> Lowered:
    """Return steps, each of which takes the result of the one before it unless it says otherwise."""
    named: list[TorchStep] = []
    for number, step in enumerate(steps):
        before = named[-1].results if named else ("input_0",)
        named.append(
            replace(step, inputs=step.inputs or before, results=step.results or (f"step_{number}",))
        )
    return Lowered(tuple(named), named[-1].results)


def _looked_up(
    layer: Layer, op: str, kwargs: Mapping[str, Plain], *, hashed: str | None, of: str = "input_0"
) -> list[TorchStep]:
    """Return the look-up, after the hash that spreads what is not in the vocabulary over several buckets."""
    buckets = integer(layer, "num_oov_indices", 1)
    if hashed is None or buckets < 2:
        return [TorchStep(op, kwargs, inputs=(of,))]
    arguments: dict[str, Plain] = {"bins": buckets, **salt(layer)}
    return [
        TorchStep(hashed, arguments, inputs=(of,), results=("bucket",)),
        TorchStep(op, kwargs, inputs=(of, "bucket")),
    ]


def _places_of_words(layer: Layer, shape: Shape, mask: str | None, buckets: int) -> list[TorchStep]:
    """Return the steps that make indices of words, and vectors of them where the layer does."""
    mode = text(layer, "output_mode", "int")
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
    if buckets < 2:
        return [step, *_encoded(layer, shape, start + len(words))]
    steps = _looked_up(layer, "compat.lookup_text", kwargs, hashed="compat.hash_text")
    return [*steps, *_encoded(layer, shape, start + len(words))]


def _words_at_places(layer: Layer, mask: str | None) -> TorchStep:
    """Return the step that makes words of indices; their bytes are an axis that no shape here has, as for inputs."""
    unknown, first = text(layer, "oov_token", "[UNK]"), 0 if mask is None else 1
    buckets = integer(layer, "num_oov_indices", 1)
    words = _words(layer, [*[mask] * first, *[unknown] * buckets])
    kwargs: dict[str, Plain] = {
        "vocabulary": words,
        "start": first + buckets,
        "unknown": unknown,
    }
    return TorchStep("compat.find_words", kwargs | ({} if mask is None else {"masked": mask}))


def _encoded(layer: Layer, shape: Shape, size: int) -> list[TorchStep]:
    """Return the steps that make vectors of indices, if the layer does."""
    mode = {"tf-idf": "tf_idf", "binary": "multi_hot"}.get(
        text(layer, "output_mode", "int"), text(layer, "output_mode", "int")
    )
    if mode == "int":
        return []
    if mode not in _ENCODED:
        raise unsupported(layer, "output_mode", needed=f"int, {', '.join(_ENCODED)}")
    if flag(layer, "pad_to_max_tokens", default=False) and layer.config.get("max_tokens"):
        size = integer(layer, "max_tokens")
    counted = replace(
        layer, config={**layer.config, "output_mode": "count" if mode == "tf_idf" else mode}
    )
    steps = [encoding(counted, shape, size, dtype="int64")]
    if mode == "tf_idf":
        param = Param("weight", "idf_weights", "word -> word", (size,))
        steps.append(TorchStep("compat.TermWeights", {"size": size}, (param,)))
    return steps


def _words(layer: Layer, special: list[object]) -> tuple[str, ...]:
    """Return the words without the special ones that the list may begin with.

    Raises:
        UnsupportedError: There is no list of words in the file.
    """
    words = _listed(layer, special)
    if not all(isinstance(word, str) for word in words):
        raise unsupported(layer, "vocabulary", needed="words")
    return tuple(str(word) for word in words)


def _vocabulary(layer: Layer, special: list[object]) -> tuple[int, ...]:
    """Return the numbers without the special ones that the list may begin with.

    Raises:
        UnsupportedError: There is no list of numbers in the file.
    """
    words = _listed(layer, special)
    if not all(type(word) is int and abs(word) <= _LARGEST for word in words):
        raise unsupported(layer, "vocabulary", needed="whole numbers")
    return tuple(int(str(word)) for word in words)


def _listed(layer: Layer, special: list[object]) -> list[object]:
    stored = layer.config.get("vocabulary")
    if not isinstance(stored, (list, tuple)) or not stored:
        raise unsupported(
            layer,
            "vocabulary",
            needed="a list: build the layer with vocabulary=layer.get_vocabulary()",
        )
    words = list(stored[len(special) :] if list(stored[: len(special)]) == special else stored)
    if not words:
        raise unsupported(layer, "vocabulary", needed="words besides the special ones")
    return words
