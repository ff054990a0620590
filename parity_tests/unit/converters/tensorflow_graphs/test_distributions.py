from __future__ import annotations

from pathlib import Path

import pytest

from converters.readers import read_checkpoint
from converters.readers.tensorflow.graph_def import GraphFile
from converters.tensorflow_graphs.choose import Choice
from converters.tensorflow_graphs.distributions import distribution_of, with_distributions

NOISE = "RandomStandardNormal"


def node(name: str, op: str, *inputs: str, value: float | None = None) -> str:
    taken = " ".join(f'input: "{each}"' for each in inputs)
    number = (
        ""
        if value is None
        else f'attr {{ key: "value" value {{ tensor {{ dtype: DT_FLOAT tensor_shape {{ }} float_val: {value} }} }} }}'
    )
    return f'node {{ name: "{name}" op: "{op}" {taken} {number} }}\n'


def graph(folder: Path, *nodes: str) -> GraphFile:
    path = folder / "graph.pbtxt"
    path.write_text("".join(nodes))
    program = read_checkpoint(path).program
    assert program is not None
    return program().graph


def drawn(deviation: float = 1.0, mean: float = 0.0) -> list[str]:
    """Return tf.random_normal as TensorFlow 1 writes it."""
    return [
        node("n", NOISE, "s"),
        node("one", "Const", value=deviation),
        node("scaled", "Mul", "n", "one"),
        node("zero", "Const", value=mean),
        node("noise", "Add", "scaled", "zero"),
    ]


GAUSSIAN = [
    node("mu", "BiasAdd", "x", "b"),
    node("std", "Exp", "l"),
    node("m", "Mul", "noise", "std"),
]


def test_categories_are_given_by_their_logits(tmp_path: Path) -> None:
    found = graph(
        tmp_path,
        node("l", "BiasAdd", "x", "b"),
        node("c", "Const", value=1),
        node("draw", "Multinomial", "l", "c"),
        node("pi", "Squeeze", "draw"),
    )

    assert distribution_of(found, ("pi", 0)) == {"logits": ("l", 0)}


@pytest.mark.parametrize("sides", [("mu", "m"), ("m", "mu")], ids=["mean first", "noise first"])
def test_normal_actions_are_given_by_mean_and_deviation(
    tmp_path: Path, sides: tuple[str, str]
) -> None:
    found = graph(tmp_path, *drawn(), *GAUSSIAN, node("pi", "AddV2", *sides))

    assert distribution_of(found, ("pi", 0)) == {"mean": ("mu", 0), "std": ("std", 0)}


def test_squashed_and_scaled_actions_are_given_before_that(tmp_path: Path) -> None:
    found = graph(
        tmp_path,
        *drawn(),
        *GAUSSIAN,
        node("a", "Add", "mu", "m"),
        node("t", "Tanh", "a"),
        node("two", "Const", value=2),
        node("pi", "Mul", "t", "two"),
    )

    assert distribution_of(found, ("pi", 0)) == {"mean": ("mu", 0), "std": ("std", 0)}


@pytest.mark.parametrize("noise", [drawn(deviation=2.0), drawn(mean=0.5)], ids=["wider", "moved"])
def test_other_noise_is_not_taken_for_a_standard_normal(tmp_path: Path, noise: list[str]) -> None:
    found = graph(tmp_path, *noise, *GAUSSIAN, node("pi", "Add", "mu", "m"))

    assert distribution_of(found, ("pi", 0)) == {}


def test_what_draws_nothing_stays(tmp_path: Path) -> None:
    found = graph(tmp_path, node("v", "BiasAdd", "x", "b"), node("pi", "Tanh", "v"))
    choice = Choice((), (("pi", 0),), ("pi",), optional=True)

    assert with_distributions(found, choice) == (choice, ())


def test_names_that_are_taken_are_kept(tmp_path: Path) -> None:
    found = graph(
        tmp_path, node("l", "BiasAdd", "x", "b"), node("pi", "Multinomial", "l"), node("v", "Relu")
    )
    choice = Choice((), (("v", 0), ("pi", 0)), ("logits", "pi"), optional=True)

    settled, notes = with_distributions(found, choice)

    assert settled.names == ("logits", "pi_logits")
    assert settled.outputs == (("v", 0), ("l", 0))
    assert notes == ("output 'pi' is drawn at random; it is given as pi_logits",)


def test_a_chain_without_end_is_left_alone(tmp_path: Path) -> None:
    found = graph(tmp_path, node("a", "Tanh", "b"), node("b", "Tanh", "a"))

    assert distribution_of(found, ("a", 0)) == {}
