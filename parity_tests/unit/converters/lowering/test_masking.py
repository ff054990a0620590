"""Where masks come from, how far they reach and who refuses them, on graphs that are written by hand."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType

import pytest

import converters.layers  # noqa: F401  # fills LAYERS
from converters.errors import UnsupportedError
from converters.graph import Call, Graph, Input, Layer, Operand, TensorRef
from converters.lowering import Lowering, lower_model
from converters.lowering.masking import mask_use, split_masks
from converters.registry import LAYERS, layer

WORDS = Layer("words", "Embedding", {"input_dim": 7, "output_dim": 4, "mask_zero": True})
PLAIN = Layer("plain", "Embedding", {"input_dim": 7, "output_dim": 4})
POOL = Layer("pool", "GlobalAveragePooling1D", {})


def graph(*calls: tuple[Layer, tuple[str, ...]], generation: int = 3) -> Graph:
    """Return a graph of layers, each with the names of what it takes; lists of inputs are one argument."""
    made = []
    for each, names in calls:
        inputs = tuple(TensorRef(name) for name in names)
        operands = tuple(Operand(index) for index in range(len(names)))
        separate = len(names) == 1 or each.class_name == "MultiHeadAttention"
        made.append(Call(each.name, 0, inputs, {}, operands if separate else (operands,)))
    layers = (Layer("x", "InputLayer", {}), *(each for each, _ in calls))
    inputs_of = (Input(TensorRef("x"), (None, 5), "int32"),)
    last = TensorRef(calls[-1][0].name)
    return Graph("g", "Functional", generation, layers, tuple(made), inputs_of, (last,))


def operations(*calls: tuple[Layer, tuple[str, ...]], generation: int = 3) -> list[str]:
    lowering = Lowering()
    lower_model(graph(*calls, generation=generation), lowering)
    if lowering.problems:
        raise lowering.problems[0]
    return [step.op for step in lowering.steps]


def notes(*calls: tuple[Layer, tuple[str, ...]]) -> list[str]:
    lowering = Lowering()
    lower_model(graph(*calls), lowering)
    return lowering.notes


def test_mask_reaches_through_layers_that_hand_it_on() -> None:
    dense, drop = Layer("dense", "Dense", {"units": 3}), Layer("drop", "Dropout", {"rate": 0.5})
    behind = (dense, ("words",)), (drop, ("dense",)), (POOL, ("drop",))

    assert operations((WORDS, ("x",)), *behind)[-1] == "compat.masked_mean"


def test_mask_that_nothing_uses_leaves_no_step() -> None:
    assert operations((WORDS, ("x",)), (Layer("flat", "Flatten", {}), ("words",))) == [
        "compat.as_indices",
        "nn.Embedding",
        "torch.flatten",
    ]


def test_lost_mask_is_noted() -> None:
    conv = Layer("conv", "Conv1D", {"filters": 3, "kernel_size": 2, "padding": "same"})

    found = notes((WORDS, ("x",)), (conv, ("words",)), (POOL, ("conv",)))

    assert found == ["'conv' (Conv1D) loses the mask of its input, as in Keras"]


def test_output_with_a_mask_is_noted_for_its_loss() -> None:
    [note] = notes((WORDS, ("x",)))

    assert note.startswith("output 'words' has a mask: Keras multiplies its training loss")


@pytest.mark.parametrize(
    ("generation", "joined"), [(3, "operator.or_"), (2, "operator.and_")], ids=["keras3", "keras2"]
)
def test_sum_of_two_masked_inputs_keeps_any_step_in_keras_3_and_all_before(
    generation: int, joined: str
) -> None:
    pair = Layer("two", "Masking", {"mask_value": 1.0})
    calls = (
        (WORDS, ("x",)),
        (pair, ("words",)),
        (Layer("sum", "Add", {}), ("words", "two")),
        (POOL, ("sum",)),
    )

    assert joined in operations(*calls, generation=generation)


@pytest.mark.parametrize(
    ("generation", "pooling"),
    [(3, "torch.mean"), (2, "compat.masked_mean")],
    ids=["keras3", "keras2"],
)
def test_sum_with_an_unmasked_input_has_a_mask_before_keras_3_only(
    generation: int, pooling: str
) -> None:
    calls = (
        (WORDS, ("x",)),
        (PLAIN, ("x",)),
        (Layer("sum", "Add", {}), ("words", "plain")),
        (POOL, ("sum",)),
    )

    assert operations(*calls, generation=generation)[-1] == pooling


@pytest.mark.parametrize(
    ("generation", "pooling"),
    [(3, "torch.mean"), (2, "compat.masked_mean")],
    ids=["keras3", "keras2"],
)
def test_attention_takes_the_mask_from_its_inputs_in_keras_3_only(
    generation: int, pooling: str
) -> None:
    attention = Layer("attention", "MultiHeadAttention", {"num_heads": 2, "key_dim": 3})
    calls = (
        (WORDS, ("x",)),
        (attention, ("words", "words")),
        (Layer("sum", "Add", {}), ("words", "attention")),
        (POOL, ("sum",)),
    )

    assert operations(*calls, generation=generation)[-1] == pooling


def test_initial_states_switch_the_mask_off_in_keras_3() -> None:
    rnn = Layer("rnn", "SimpleRNN", {"units": 4})
    start = Layer("start", "GlobalMaxPooling1D", {})
    calls = ((WORDS, ("x",)), (start, ("words",)), (rnn, ("words", "start")))

    assert operations(*calls)[-1] == "compat.SimpleRNN"
    assert operations(*calls, generation=2)[-1] == "compat.MaskedSimpleRNN"


def test_rule_that_says_nothing_about_masks_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converters.registry.LAYERS", LAYERS)
    own = layer("SilentLayer")(lambda layer, *shapes: [])
    try:
        with pytest.raises(UnsupportedError, match=r"'own' .* gets a mask; its rule does not say"):
            operations((WORDS, ("x",)), (Layer("own", "SilentLayer", {}), ("words",)))
    finally:
        assert LAYERS.pop("SilentLayer").lower is own


def test_embedding_whose_rule_makes_no_mask_is_refused() -> None:
    silent = Layer("conv", "Conv1D", {"filters": 3, "kernel_size": 2, "mask_zero": True})

    with pytest.raises(UnsupportedError, match=r"'conv' .* makes a mask"):
        operations((PLAIN, ("x",)), (silent, ("plain",)))


def test_unknown_use_of_masks_is_an_error() -> None:
    with pytest.raises(ValueError, match="mask='keep': needed is one of pass, drop, end, use"):
        layer("Whatever", mask="keep")


REFUSED: dict[str, tuple[Layer, str]] = {
    "softmax over features": (Layer("s", "Softmax", {}), "does not fit its input"),
    "time steps of one number": (
        Layer(
            "t",
            "TimeDistributed",
            {},
            inner={"layer": Layer("inner", "Softmax", {})},
        ),
        "one number for each sample",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_mask_of_another_rank_is_refused(what: str) -> None:
    refused, message = REFUSED[what]

    with pytest.raises(UnsupportedError, match=message):
        operations((WORDS, ("x",)), (refused, ("words",)))


def call(args: tuple[object, ...], kwargs: Mapping[str, object], count: int) -> Call:
    return Call("l", 0, tuple(TensorRef(f"t{index}") for index in range(count)), kwargs, args)


def test_masks_are_taken_out_of_a_call_and_the_rest_is_renumbered() -> None:
    given = call((Operand(0),), {"mask": Operand(1), "initial_state": (Operand(2), Operand(3))}, 4)

    found, masks = split_masks(given, "LSTM", by_place=True)

    assert masks == {"mask": TensorRef("t1")}
    assert found.inputs == (TensorRef("t0"), TensorRef("t2"), TensorRef("t3"))
    assert found.kwargs == {"initial_state": (Operand(1), Operand(2))}


@pytest.mark.parametrize(
    ("class_name", "args"),
    [
        ("Attention", ((Operand(0), Operand(1)), Operand(2))),
        ("GRU", (Operand(0), Operand(1), Operand(2))),
    ],
    ids=["second", "third"],
)
def test_mask_without_a_name_is_found_by_its_place(
    class_name: str, args: tuple[object, ...]
) -> None:
    found, masks = split_masks(call(args, {}, 3), class_name, by_place=True)

    assert masks == {"mask": TensorRef("t2")}
    assert found.args == args[:-1]
    assert found.inputs == (TensorRef("t0"), TensorRef("t1"))


def test_masks_of_a_list_are_numbered() -> None:
    given = call(((Operand(0), Operand(1)),), {"mask": (None, Operand(2))}, 3)

    assert split_masks(given, "LSTM", by_place=True)[1] == {"mask_given_1": TensorRef("t2")}


def test_mask_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="mask=True; needed is a tensor"):
        split_masks(call((Operand(0),), {"mask": True}, 1), "LSTM", by_place=True)


@pytest.mark.tf
def test_rules_hand_masks_on_where_keras_does() -> None:
    keras = pytest.importorskip("keras")
    checked = 0
    for name, rule in LAYERS.items():
        found = getattr(keras.layers, name, None)
        if found is None or mask_use(rule) is None or not rule.examples:
            continue
        kwargs = rule.examples[0].kwargs
        if any(isinstance(value, Mapping) for value in kwargs.values()) or "Embedding" in name:
            continue
        assert found(**kwargs).supports_masking == (mask_use(rule) != "drop"), name
        checked += 1
    assert checked > 60


def test_wrapped_model_that_leaves_nothing_out_hands_the_mask_on() -> None:
    part = Layer("part", "Dense", {"units": 3})
    inside = Graph(
        "inside",
        "Sequential",
        3,
        (Layer("in", "InputLayer", {}), part),
        (Call("part", 0, (TensorRef("in"),), {}, (Operand(0),)),),
        (Input(TensorRef("in"), (None, 4), "float32"),),
        (TensorRef("part"),),
    )
    model = Layer("inside", "Sequential", {}, graph=inside, inner={"part": part})
    wrapper = Layer("each", "TimeDistributed", {}, inner={"layer": model})

    found = operations((WORDS, ("x",)), (wrapper, ("words",)), (POOL, ("each",)))

    assert found[-1] == "compat.masked_mean"


def test_states_of_keras_2_are_no_masks() -> None:
    given = call((Operand(0), Operand(1), Operand(2)), {}, 3)

    assert split_masks(given, "LSTM", by_place=False) == (given, {})


def chain(count: int) -> Graph:
    """Return dropouts one behind the other, each of which an attention takes the mask of."""
    calls, last = [(WORDS, ("x",))], "words"
    for index in range(count):
        drop = Layer(f"drop_{index}", "Dropout", {"rate": 0.5})
        attention = Layer(
            f"attention_{index}", "MultiHeadAttention", {"num_heads": 2, "key_dim": 3}
        )
        calls += [(drop, (last,)), (attention, (drop.name, drop.name))]
        last = drop.name
    return graph(*calls)


def calls_while_lowering(model: Graph) -> int:
    """Return how many functions are called, those written in C among them."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    lowering, before = Lowering(), sys.getprofile()
    sys.setprofile(count)
    lower_model(model, lowering)
    sys.setprofile(before)
    assert not lowering.problems
    return counted


def test_work_grows_with_the_number_of_layers_and_not_with_its_square() -> None:
    small, large = (calls_while_lowering(chain(count)) for count in (10, 40))

    assert large < 4.2 * small
