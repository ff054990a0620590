"""Networks with masks, against live Keras: where masks come from, how far they reach, and which layers take them away."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward

pytestmark = [
    pytest.mark.tf,
    pytest.mark.filterwarnings(r"ignore:(?s).*does not support masking"),
]
TOLERANCE = 1e-12
"""Relative to the largest value; all networks are float64. MultiHeadAttention has its own: see ROUNDED."""
ROUNDED = 1e-7
"""Keras makes 1 / sqrt(size) a float32 constant."""
WORDS = np.array(
    [[1, 2, 3, 4, 5], [6, 1, 0, 0, 0], [0, 0, 3, 2, 1], [4, 0, 5, 0, 6], [2, 0, 0, 0, 0]],
    dtype=np.int32,
)


def words(keras: Any) -> tuple[Any, Any]:
    x = keras.Input((5,), dtype="int32", name="words")
    return x, keras.layers.Embedding(7, 4, mask_zero=True, name="embedding")(x)


def transformer_block(keras: Any) -> Any:
    """The residual sum comes after the attention, which takes the mask from its input in Keras 3."""
    layers = keras.layers
    x, y = words(keras)
    attended = layers.MultiHeadAttention(2, 3, name="attention")(y, y, use_causal_mask=True)
    y = layers.LayerNormalization(name="norm")(layers.Add(name="sum")([y, attended]))
    y = layers.Dense(3, activation="tanh", name="dense")(y)
    return keras.Model(x, layers.GlobalAveragePooling1D(name="pooling")(y))


def taken_away(keras: Any) -> Any:
    """Attention over what the mask was taken from is not masked any more: the next layer gets none by itself."""
    layers = keras.layers
    x, y = words(keras)
    first = layers.MultiHeadAttention(2, 3, name="first")(y, y)
    second = layers.MultiHeadAttention(2, 3, name="second")(layers.Add(name="sum")([first, y]), y)
    return keras.Model(x, layers.Attention(name="last")([second, first]))


def through_dropout(keras: Any) -> Any:
    """Dropout returns its input at inference, so that the mask is taken from both."""
    layers = keras.layers
    x, y = words(keras)
    dropped = layers.Dropout(0.3, name="drop")(y)
    attended = layers.MultiHeadAttention(2, 3, name="attention")(dropped, dropped)
    y = layers.Add(name="sum")([y, attended])
    return keras.Model(x, layers.Attention(name="last")([y, y]))


def beside(keras: Any) -> Any:
    """A sum with fewer layers behind it than the attention runs later, though it stands before it in the file."""
    layers = keras.layers
    x, y = words(keras)
    other = layers.Activation("tanh", name="other")(y)
    attended = layers.MultiHeadAttention(2, 3, name="attention")(y, y)
    attended = layers.Dense(4, name="dense")(layers.LayerNormalization(name="norm")(attended))
    return keras.Model(x, layers.Attention(name="last")([attended, other]))


def sequence_to_sequence(keras: Any) -> Any:
    layers = keras.layers
    x, y = words(keras)
    _, *states = layers.LSTM(3, return_state=True, name="encoder")(y)
    z = keras.Input((4, 2), name="target")
    masked = layers.Masking(name="masking")(z)
    decoded = layers.LSTM(3, return_sequences=True, name="decoder")(masked, initial_state=states)
    return keras.Model([x, z], layers.Dense(2, name="head")(decoded))


def nested(keras: Any) -> Any:
    layers = keras.layers
    inside = keras.Sequential(
        [layers.Input((5, 4)), layers.Dropout(0.3), layers.GRU(3, return_sequences=True)],
        name="inside",
    )
    x, y = words(keras)
    return keras.Model(x, layers.SimpleRNN(2, name="last")(inside(y)))


def lost(keras: Any) -> Any:
    layers = keras.layers
    x, y = words(keras)
    y = layers.Conv1D(3, 2, padding="same", name="conv")(y)
    return keras.Model(x, layers.GRU(3, name="gru")(y))


def given(keras: Any) -> Any:
    """Masks that the calls are given, of other shapes and types than those that come along."""
    layers = keras.layers
    x, y = words(keras)
    mask = keras.Input((5,), dtype="bool", name="mask")
    seen = keras.Input((5, 5), dtype="bool", name="seen")
    y = layers.LSTM(4, return_sequences=True, name="lstm")(y, mask=mask)
    y = layers.MultiHeadAttention(2, 3, name="attention")(y, y, attention_mask=seen)
    y = layers.Attention(name="single")([y, y], mask=[mask, mask])
    return keras.Model([x, mask, seen], y)


def joined(keras: Any) -> Any:
    layers = keras.layers
    x, y = words(keras)
    z = layers.Embedding(7, 2, name="plain")(x)
    y = layers.Concatenate(name="features")([y, z])
    y = layers.Concatenate(axis=1, name="times")([y, y])
    stack = layers.RNN([keras.layers.GRUCell(3), keras.layers.LSTMCell(2)], name="stack")
    return keras.Model(x, stack(y))


def attention_first(keras: Any) -> Any:
    """The layer beside attention sees no mask if the sum takes attention first, which Keras then runs first."""
    layers = keras.layers
    x, y = words(keras)
    attended = layers.MultiHeadAttention(2, 3, name="attention")(y, y)
    other = layers.GRU(attended.shape[-1], return_sequences=True, name="gru")(y)
    return keras.Model(x, layers.Add(name="sum")([attended, other]))


def attention_second(keras: Any) -> Any:
    """The same with the sum the other way round."""
    model = attention_first(keras)
    sides = [model.get_layer(name).output for name in ("gru", "attention")]
    return keras.Model(model.input, keras.layers.Add(name="other_sum")(sides))


NETWORKS: dict[str, Callable[[Any], Any]] = {
    build.__name__: build
    for build in (
        *(transformer_block, taken_away, through_dropout, beside, sequence_to_sequence),
        *(nested, lost, given, joined, attention_first, attention_second),
    )
}


@pytest.fixture
def keras() -> Any:
    module = pytest.importorskip("keras")
    module.utils.clear_session(free_memory=False)
    floatx, policy = module.config.floatx(), module.config.dtype_policy()
    module.config.set_floatx("float64")
    module.config.set_dtype_policy("float64")
    yield module
    module.config.set_floatx(floatx)
    module.config.set_dtype_policy(policy)


def inputs_of(model: Any) -> list[NDArray[Any]]:
    draws = np.random.default_rng(3)
    by_name = {
        "words": WORDS,
        "target": draws.normal(size=(5, 4, 2)) * np.array([1, 1, 0, 1])[:, None],
        "mask": draws.random((5, 5)) > 0.4,
        "seen": draws.random((5, 5, 5)) > 0.4,
    }
    return [by_name[value.name] for value in model.inputs]


@pytest.mark.parametrize("name", NETWORKS)
def test_network_with_masks_computes_what_keras_computes(
    name: str, keras: Any, tmp_path: Path
) -> None:
    import tensorflow as tf

    network, draws = NETWORKS[name](keras), np.random.default_rng(5)
    for weight in network.weights:
        if "seed" not in weight.path:
            weight.assign(draws.normal(size=weight.shape))
    network.save(tmp_path / "model.keras")
    arrays = inputs_of(network)
    with tf.GradientTape() as tape:
        given = [tf.constant(array) for array in arrays]
        legacy = network(given if len(given) > 1 else given[0])
        legacy_loss = tf.reduce_sum(legacy * legacy)
    legacy_size = sum(
        float(tf.reduce_sum(tf.convert_to_tensor(gradient) ** 2))
        for gradient in tape.gradient(legacy_loss, network.trainable_variables)
    )

    torchward.convert(
        tmp_path / "model.keras", tmp_path / "model.pth", source_code=tmp_path / "network.py"
    )
    model = torchward.load(tmp_path / "model.pth")
    tensors = [torch.from_numpy(array) for array in arrays]
    outputs = model(*tensors)
    outputs.square().sum().backward()
    gradients = [value.grad for value in model.parameters() if value.grad is not None]
    size = sum(float(gradient.square().sum()) for gradient in gradients)
    emitted = runpy.run_path(str(tmp_path / "network.py"))[model.architecture.name]()
    emitted.load_state_dict(model.state_dict())

    limit = ROUNDED if any("Multi" in type(each).__name__ for each in network.layers) else TOLERANCE
    scale = float(np.abs(legacy.numpy()).max())
    np.testing.assert_allclose(outputs.detach().numpy(), legacy.numpy(), rtol=0, atol=limit * scale)
    assert size == pytest.approx(legacy_size, rel=10 * limit)
    torch.testing.assert_close(emitted.eval()(*tensors), outputs, rtol=0, atol=0)
