"""What graphs of TensorFlow say of policies, on graphs that TensorFlow makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from converters.agents.facts import OWN, GraphHints
from converters.agents.graph_hints import read_hints
from converters.readers.tensorflow.graph_def import parse_graph

pytestmark = pytest.mark.tf
HIDDEN = re.compile(r"pi_fc\d+")


def hints_of(build: Callable[[Any], None]) -> GraphHints:
    tf = pytest.importorskip("tensorflow").compat.v1
    graph = tf.Graph()
    with graph.as_default():
        tf.set_random_seed(0)  # TensorFlow refuses to draw without, once deterministic
        build(tf)
    return read_hints(parse_graph(graph.as_graph_def().SerializeToString()))


def hidden_layers(tf: Any, activation: Callable[[Any], Any]) -> None:
    """Add two hidden layers and a head whose result is squashed, as a policy of yes and no has it."""
    x = tf.placeholder(tf.float32, (None, 4), name="input/Ob")
    with tf.variable_scope("model"):
        for name in ("pi_fc0", "pi_fc1", "pi"):
            with tf.variable_scope(name):
                weight = tf.get_variable("w", (4, 4), use_resource=False)
                x = tf.matmul(x, weight) + tf.get_variable("b", (4,), use_resource=False)
            x = tf.sigmoid(x) if name == "pi" else activation(x)


FUNCTIONS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "relu": (lambda tf, x: tf.nn.relu(x), "relu"),
    "swish": (lambda tf, x: x * tf.sigmoid(x), "swish"),
    "leaky": (lambda tf, x: tf.nn.leaky_relu(x), "leaky_relu"),
    "another slope": (lambda tf, x: tf.nn.leaky_relu(x, alpha=0.1), OWN),
    "scaled": (lambda tf, x: 1.5 * tf.nn.relu(x), OWN),
    "sine": (lambda tf, x: tf.sin(x), OWN),
    "none": (lambda tf, x: tf.identity(x), "identity"),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_activations_are_those_behind_hidden_layers(case: str) -> None:
    function, name = FUNCTIONS[case]
    hints = hints_of(lambda tf: hidden_layers(tf, lambda x: function(tf, x)))
    assert hints.activation("model", layers=HIDDEN) == name
    assert hints.activations["model/pi"] == "sigmoid"


def test_two_activations_are_no_answer() -> None:
    hints = hints_of(lambda tf: hidden_layers(tf, tf.tanh))
    assert hints.activation("model") is None  # the head's sigmoid is another one
    assert hints.activation("target", "model", layers=HIDDEN) == "tanh"


def test_scaling_clipping_choices_and_parts() -> None:
    low, span = np.full((3,), -1.0, np.float32), np.full((3,), 4.0, np.float32)

    def build(tf: Any) -> None:
        with tf.name_scope("input"):
            x = tf.placeholder(tf.float32, (None, 3), name="Ob")
            scaled = (x - low) / span
            tf.clip_by_value(scaled, -2.0, 3.0)
            tf.one_hot(tf.placeholder(tf.int32, (None,)), 5)
            tf.one_hot(tf.placeholder(tf.int32, (None,)), 2)
        with tf.name_scope("model"):
            tf.split(x, [1, 2], axis=-1)
        with tf.name_scope("output"):
            tf.round(x)

    hints = hints_of(build)
    np.testing.assert_array_equal(hints.scalings["input"][0], low)
    np.testing.assert_array_equal(hints.scalings["input"][1], span)
    assert hints.clips == {"input/clip_by_value": (-2.0, 3.0)}
    assert hints.one_hots == {"input": (5, 2)}
    assert hints.splits == {"model": (1, 2)}
    assert hints.choices == {"output": frozenset({"Round"})}
    assert hints.placeholders["input/Ob"] == ((None, 3), "float32")
