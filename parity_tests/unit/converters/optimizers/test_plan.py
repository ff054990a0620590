"""Plans of optimizer state: real files of every Keras generation, and hand-made orders for what they lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from converters.checkpoint import ArrayInfo, OptimizerState
from converters.errors import AmbiguousTargetError, MismatchError, UnsupportedError
from converters.optimizers import plan as optimizer_plan
from converters.optimizers.plan import OptimizerPlan, plan_optimizer
from converters.readers.pickles.holding import array_info
from parity_tests import FIXTURES
from parity_tests.unit.converters.optimizers.optimizer_states import (
    ONE,
    PAIRS,
    THREE,
    TWO,
    WEIGHTS,
    Shape,
    array,
    assert_complete,
    numbered,
    numbers,
    read_archive,
    read_h5,
)
from torch_impl.keras_compat import optimizers, schedules


def names(plan: OptimizerPlan, slot: str) -> list[str]:
    return [array.name for array in plan.slots[slot]]


@pytest.mark.parametrize(
    "case",
    # `read_h5` takes every weight for trainable: files with frozen layers are in test_recorded.py.
    sorted(
        path.parent.name for path in FIXTURES.glob("*/model.h5") if "frozen" not in path.parent.name
    ),
)
def test_every_array_of_a_real_file_is_used_or_ignored(case: str) -> None:
    state, weights = read_h5(case)
    plan = plan_optimizer(state, weights)
    assert_complete(plan, state)
    for slot in plan.slots.values():
        assert [array.shape for array in slot] == [shape for _, shape in weights]


@pytest.mark.parametrize(
    ("case", "slots"),
    [
        ("k315_opt_adam_amsgrad", {"exp_avg": 2, "exp_avg_sq": 3, "max_exp_avg_sq": 14}),
        ("tf215_opt_adam_amsgrad", {"exp_avg": 1, "exp_avg_sq": 2, "max_exp_avg_sq": 13}),
        ("tf215_opt_adamw", {"exp_avg": 1, "exp_avg_sq": 2}),
        ("k315_opt_rmsprop", {"square_avg": 2}),
        ("k30_opt_sgd_momentum", {"momentum_buffer": 2}),
        ("tf215_opt_sgd", {}),
        ("k315_opt_sgd", {}),
    ],
)
def test_numbered_variables_follow_the_order_of_their_generation(
    case: str, slots: Mapping[str, int]
) -> None:
    state, weights = read_archive(case)
    plan = plan_optimizer(state, weights)
    assert set(plan.slots) == set(slots)
    for slot, first in slots.items():
        stride = 2 if slot in {"exp_avg", "exp_avg_sq"} else 1
        assert numbers(plan, slot) == list(range(first, first + 6 * stride, stride))
    assert_complete(plan, state)


def test_adam_of_keras_1_and_2_is_all_first_then_all_second_moments() -> None:
    state, weights = read_h5("k231_dqn_cartpole")
    plan = plan_optimizer(state, weights)
    assert names(plan, "exp_avg")[::5] == ["training/Adam/m_0_1:0", "training/Adam/m_5_1:0"]
    assert names(plan, "exp_avg_sq")[::5] == ["training/Adam/v_0_1:0", "training/Adam/v_5_1:0"]
    assert {reason for _, reason in plan.ignored} == {"placeholder, amsgrad is off"}
    assert plan.read_iterations() == 4


def test_rmsprop_of_keras_1_has_no_counter_and_epsilon_beside_the_root() -> None:
    plan = plan_optimizer(*read_h5("k122_dqn"))
    assert plan.target == "keras_compat.RMSprop"
    assert plan.options["epsilon_inside_root"] is False
    assert plan.iterations == 0
    assert "no iteration counter" in plan.notes[0]


def test_legacy_optimizer_of_keras_2_keeps_its_decay() -> None:
    plan = plan_optimizer(*read_h5("tf215_opt_legacy_adam"))
    assert plan.options["decay"] == float(np.float32(0.01))
    assert plan.options["beta_2"] == float(np.float32(0.999))
    assert names(plan, "exp_avg_sq")[0] == "Adam/dense/kernel/v:0"


@pytest.mark.parametrize(
    ("kind", "config", "legacy", "row_wise"),
    [
        ("SGD", {"momentum": 0.5}, True, True),
        ("SGD", {"momentum": 0.0}, True, False),
        ("Adamax", {}, True, True),
        ("Adam", {}, True, False),
        ("Adamax", {}, False, False),
    ],
    ids=["momentum", "no-momentum", "always", "all-rows", "keras-3"],
)
def test_legacy_optimizers_leave_rows_that_are_not_looked_up(
    kind: str, config: dict[str, Any], legacy: bool, row_wise: bool
) -> None:
    counter = [array("Adamax/iter:0", dtype="int64")]
    state = OptimizerState(kind, config, counter, legacy, 2 if legacy else 3)
    assert plan_optimizer(state, WEIGHTS).row_wise is row_wise


def test_learning_rate_in_the_file_wins_over_the_configuration() -> None:
    state, weights = read_archive("k315_opt_adamw")
    changed = {**state.config, "learning_rate": 5.0}
    plan = plan_optimizer(OptimizerState("AdamW", changed, state.variables, False, 3), weights)
    assert plan.read_arguments()["learning_rate"] == float(np.float32(0.003))
    assert plan.read_arguments()["weight_decay"] == 0.01


def test_float64_learning_rate_is_not_rounded() -> None:
    state, weights = read_h5("tf215_float64_mlp")
    arguments = plan_optimizer(state, weights).read_arguments()
    assert arguments["learning_rate_dtype"] == "float64"
    assert arguments["learning_rate"] == 0.003


def test_plan_of_a_real_file_makes_the_torch_optimizer() -> None:
    plan = plan_optimizer(*read_archive("k315_opt_adam_amsgrad"))
    slots = {key: [torch.tensor(a.read()) for a in found] for key, found in plan.slots.items()}
    parameters = [torch.nn.Parameter(torch.zeros_like(tensor)) for tensor in slots["exp_avg"]]
    optimizer = optimizers.Adam(parameters, **plan.read_arguments())  # type: ignore[arg-type]
    optimizer.load_slots(plan.read_iterations(), slots, **plan.read_numbers())
    group = optimizer.param_groups[0]
    assert (group["beta_1"], group["beta_2"], group["iterations"]) == (0.8, 0.95, 4)
    assert torch.equal(optimizer.state[parameters[3]]["max_exp_avg_sq"], slots["max_exp_avg_sq"][3])


def test_averages_come_before_the_slots() -> None:
    config = {"use_ema": True, "ema_momentum": 0.9, "learning_rate": 0.5}
    plan = plan_optimizer(numbered(2, [ONE, TWO, THREE, *PAIRS], config), WEIGHTS)
    assert numbers(plan, "average") == [2, 3, 4]
    assert numbers(plan, "exp_avg_sq") == [6, 8, 10]
    assert plan.options["ema_momentum"] == 0.9


def test_schedule_takes_the_place_of_the_stored_learning_rate() -> None:
    inner = {"initial_learning_rate": 0.5, "decay_steps": 3, "decay_rate": 0.5, "name": "x"}
    schedule = {"module": "m", "class_name": "ExponentialDecay", "config": inner}
    plan = plan_optimizer(numbered(1, PAIRS, {"learning_rate": schedule}), WEIGHTS)
    assert numbers(plan, "exp_avg") == [1, 3, 5]
    assert isinstance(plan.learning_rate, dict)
    assert schedules.learning_rate_at(plan.learning_rate, 3) == 0.25


def test_blocks_of_rmsprop_lie_behind_each_other() -> None:
    config = {"learning_rate": 0.5, "momentum": 0.5, "centered": True}
    plan = plan_optimizer(numbered(2, [ONE, TWO, THREE] * 3, config, "RMSprop"), WEIGHTS)
    first = {slot: numbers(plan, slot)[0] for slot in plan.slots}
    assert first == {"square_avg": 2, "momentum_buffer": 5, "grad_avg": 8}


@pytest.mark.parametrize("kind", ["Custom>Adam", "adam", "keras.optimizers.Adam"])
def test_prefixes_of_the_class_name_are_ignored(kind: str) -> None:
    assert plan_optimizer(numbered(2, PAIRS, {}, kind), WEIGHTS).target == "keras_compat.Adam"


def test_single_weight_is_no_riddle() -> None:
    plan = plan_optimizer(numbered(2, [(3, 2)] * 2, {"learning_rate": 0.5}), [("w", (3, 2))])
    assert numbers(plan, "exp_avg_sq") == [3]
    assert isinstance(plan.learning_rate, ArrayInfo)


def test_weight_that_is_a_single_number_is_no_counter() -> None:
    plan = plan_optimizer(numbered(2, [(), ()], {"learning_rate": 0.5}), [("alpha", ())])
    assert (numbers(plan, "exp_avg"), numbers(plan, "exp_avg_sq")) == ([2], [3])


def named(prefix: str, endings: Sequence[str], kind: str | None = None) -> OptimizerState:
    """A Keras 3 .h5 whose training configuration has no optimizer."""
    variables = [array(f"{prefix}/iteration", dtype="int64"), array(f"{prefix}/learning_rate")]
    for name, shape in WEIGHTS:
        path = name.split("/", 1)[1].split(":")[0].replace("/", "_")
        variables += [array(f"{prefix}/net_{path}_{ending}", shape) for ending in endings]
    return OptimizerState(kind, {}, variables, False, 3)


@pytest.mark.parametrize(
    ("prefix", "endings", "target", "used"),
    [
        ("adam", ("momentum", "velocity"), "Adam", set()),
        ("adam_w_2", ("momentum", "velocity"), None, set()),
        ("adam_w", ("momentum", "velocity"), "AdamW", set()),
        ("rm_sprop", ("velocity",), "RMSprop", set()),
        ("sgd", ("momentum",), "SGD", {"momentum"}),
        ("mine", ("velocity",), "RMSprop", set()),
    ],
)
def test_kind_is_inferred_from_the_names(
    prefix: str, endings: Sequence[str], target: str | None, used: set[str]
) -> None:
    if target is None:
        with pytest.raises(AmbiguousTargetError, match="possible: Adam, AdamW"):
            plan_optimizer(named(prefix, endings), WEIGHTS)
        return
    plan = plan_optimizer(named(prefix, endings), WEIGHTS)
    assert plan.target == f"keras_compat.{target}"
    assert used <= set(plan.options)
    assert any("hyper-parameters are not in the file" in note for note in plan.notes)


def test_two_nameless_slots_a_weight_are_taken_for_adam_and_it_is_said() -> None:
    plan = plan_optimizer(numbered(2, PAIRS, None, None), WEIGHTS)
    assert plan.target == "keras_compat.Adam"
    assert "taken for Adam" in plan.notes[0]


def test_one_nameless_slot_a_weight_is_refused() -> None:
    with pytest.raises(AmbiguousTargetError, match="SGD, RMSprop"):
        plan_optimizer(numbered(2, [ONE, TWO, THREE], None, None), WEIGHTS)


NAMELESS: dict[str, tuple[int, int, str | None]] = {
    "negative squares": (-1, -1, "has negative numbers"),
    "averages of one sign": (1, 1, "no negative numbers"),
    "Adam": (-1, 1, None),
    "not moved": (0, 0, None),
}


@pytest.mark.parametrize(("first", "second", "reason"), NAMELESS.values(), ids=NAMELESS)
def test_numbers_that_adam_cannot_have_are_not_taken_for_adams(
    first: int, second: int, reason: str | None
) -> None:
    weights: list[tuple[str, Shape]] = [("dense/kernel", (7, 5)), ("dense/bias", (5,))]
    shapes = [weights[0][1]] * 2 + [weights[1][1]] * 2
    state = numbered(2, shapes, None, None)
    draws = np.random.default_rng(0)
    filled = [*state.variables[:2]]
    for place, variable in enumerate(state.variables[2:]):
        least = (first, second)[place % 2]
        values = draws.uniform(min(least, 0), abs(least), variable.shape)
        filled.append(replace(variable, read=values.copy))
    state = replace(state, variables=tuple(filled))

    if reason is None:
        assert plan_optimizer(state, weights).target == "keras_compat.Adam"
        return
    with pytest.raises(AmbiguousTargetError, match=reason) as caught:
        plan_optimizer(state, weights)
    assert "--set optimizer=" in str(caught.value.hint)


def test_slots_that_are_not_those_of_the_likeliest_kind_are_ambiguous() -> None:
    muon = [*PAIRS[:1], *PAIRS[2:]]  # with both numbers as many as Adam has with one

    with pytest.raises(
        AmbiguousTargetError, match=r"does not name its optimizer.*not those of Adam"
    ):
        plan_optimizer(numbered(2, muon, None, None), WEIGHTS)


def test_names_decide_when_square_weights_lie_in_another_order() -> None:
    weights = [("a/net/a/kernel:0", (3, 3)), ("b/net/b/kernel:0", (3, 3))]
    variables = [array("iteration:0", dtype="int64")]
    variables += [
        array(f"Adam/{slot}/net/{layer}/kernel:0", (3, 3)) for layer in "ba" for slot in "mv"
    ]
    state = OptimizerState("Custom>Adam", {"learning_rate": 0.5}, variables, False, 2)
    plan = plan_optimizer(state, weights)
    assert names(plan, "exp_avg") == ["Adam/m/net/a/kernel:0", "Adam/m/net/b/kernel:0"]
    assert any("another order" in note for note in plan.notes)


def test_slots_of_a_checkpoint_lie_one_after_the_other_whatever_order_the_optimizer_has() -> None:
    variables = [array("Ftrl/iter:0", dtype="int64")]
    variables += [
        array(f"Ftrl/{name.removesuffix(':0')}/{slot}:0", shape)
        for slot in ("accumulator", "linear")
        for name, shape in WEIGHTS
    ]
    plan = plan_optimizer(OptimizerState("Ftrl", {"decay": 0.0}, variables, True, 2), WEIGHTS)
    assert names(plan, "linear") == [v.name for v in variables[-len(WEIGHTS) :]]


def test_slot_under_the_name_of_another_is_refused() -> None:
    with pytest.raises(MismatchError, match="named after exp_avg_sq"):
        plan_optimizer(named("adam", ("velocity", "momentum"), "Adam"), WEIGHTS)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (PAIRS[:-1], "found 5 slot arrays, needed 3"),
        ([*PAIRS, ONE], "found 7 slot arrays, needed 3"),
        ([ONE, TWO, THREE] * 2, r"optimizer/vars/4   found \(3, 2\)   needed \(3,\)"),
        ([*PAIRS[:4], (2, 3), (2, 3)], r"found \(2, 3\)   needed \(3, 2\)"),
    ],
    ids=["one missing", "one too many", "blocks for pairs", "transposed"],
)
def test_state_that_does_not_fit_the_weights_is_refused(shapes: list[Shape], message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        plan_optimizer(numbered(2, shapes, {"learning_rate": 0.5}), WEIGHTS)


def test_optimizer_without_slots_starts_anew() -> None:
    plan = plan_optimizer(numbered(2, [], {"learning_rate": 0.5}), WEIGHTS)
    assert plan.slots == {}
    assert "had not made its first step" in plan.notes[0]


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("Adom", {}, "nearest: Adam"),
        ("LossScaleOptimizerV3", {}, "which optimizer is inside"),
        ("TFOptimizer", {}, "neither its settings nor its state"),
        ("MultiOptimizer", {}, "some weights with one optimizer"),
        ("Adam", {"learning_rate": {"class_name": "Mine", "config": {}}}, "'Mine'"),
        ("Adam", {"learning_rate": "fast"}, "learning rate is a str"),
        ("Adam", {"beta_1": [0.9]}, "beta_1 is a list"),
        ("Muon", {"exclude_layers": ["(a+)+"]}, "may take long"),
        ("Muon", {"exclude_layers": ["a*b*c*d*"]}, "may take long"),
        ("Muon", {"exclude_layers": ["["]}, "is none"),
        ("Muon", {"exclude_layers": [3]}, "is none"),
    ],
)
def test_what_has_no_counterpart_is_refused(
    kind: str, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsupportedError, match=message):
        plan_optimizer(numbered(2, PAIRS, config, kind), WEIGHTS)


def test_clipnorm_of_standalone_keras_is_the_global_norm() -> None:
    state, weights = read_h5("k231_dqn_cartpole")
    clipped = {**state.config, "clipnorm": 1.5}
    plan = plan_optimizer(OptimizerState("Adam", clipped, state.variables, True, 2), weights)
    assert plan.options["global_clipnorm"] == 1.5
    assert "clipnorm" not in plan.options


def test_option_that_is_lost_is_noted() -> None:
    config = {"learning_rate": 0.5, "options_of_my_own": 128.0, "name": "adam"}
    plan = plan_optimizer(numbered(2, PAIRS, config), WEIGHTS)
    assert plan.notes == ("option options_of_my_own=128.0 is not carried over",)


def test_accumulated_gradients_lie_between_averages_and_slots() -> None:
    config = {"use_ema": True, "gradient_accumulation_steps": 4, "learning_rate": 0.5}
    three = [ONE, TWO, THREE]
    plan = plan_optimizer(numbered(2, [*three, *three, *PAIRS], config), WEIGHTS)
    assert numbers(plan, "gradient_accumulator") == [5, 6, 7]
    assert numbers(plan, "exp_avg") == [8, 10, 12]
    assert plan.options["gradient_accumulation_steps"] == 4


@pytest.mark.parametrize(
    ("counter", "said"), [("iteration", True), ("SGD/iter", False)], ids=["new", "legacy"]
)
def test_a_momentum_buffer_tells_of_momentum_only_for_legacy_sgd(counter: str, said: bool) -> None:
    variables = [array(f"{counter}:0", dtype="int64")]
    variables += [
        array(f"SGD/m/{name}" if said else f"SGD/{name[:-2]}/momentum:0", shape)
        for name, shape in WEIGHTS
    ]
    plan = plan_optimizer(OptimizerState(None, {}, variables, not said, 2), WEIGHTS)
    assert plan.options["momentum"] == 0.9
    [note] = [note for note in plan.notes if "0.9 is assumed" in note]
    assert ("without momentum too" in note) == said
    assert "param_groups[0]['momentum']" in note


def test_weights_left_out_of_the_decay_are_in_no_file() -> None:
    with_decay = plan_optimizer(numbered(2, PAIRS, {"weight_decay": 0.1}, "AdamW"), WEIGHTS)
    without = plan_optimizer(numbered(2, PAIRS, {"weight_decay": None}, "AdamW"), WEIGHTS)
    assert any("exclude_from_weight_decay" in note for note in with_decay.notes)
    assert not any("exclude_from_weight_decay" in note for note in without.notes)


def legacy(name: str, config: dict[str, Any], last: Sequence[str]) -> OptimizerState:
    """A file of Keras <= 2.10: the counter, then what `last` lists for every weight."""
    variables = [array(f"{name}/iter:0", dtype="int64")]
    if name == "Nadam":
        variables.append(array("momentum_cache:0", value=0.25))
    ordered = [(w, s) for w in WEIGHTS for s in last] if name == "Ftrl" else []
    ordered = ordered or [(w, s) for s in last for w in WEIGHTS]
    for (path, shape), slot in ordered:
        path = path.split("/", 1)[1].split(":")[0]
        variables.append(array(f"{name}/{path}/{slot}:0", shape))
    return OptimizerState(name, config, variables, True, 2)


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("Ftrl", {"accumulator": "accumulator", "linear": "linear"}),
        ("Adadelta", {"accum_grad": "square_avg", "accum_var": "acc_delta"}),
        ("Adamax", {"m": "exp_avg", "v": "exp_inf"}),
        ("Nadam", {"m": "exp_avg", "v": "exp_avg_sq"}),
        ("Adagrad", {"accumulator": "sum"}),
    ],
)
def test_slots_of_keras_2_10_are_found_by_their_order(name: str, slots: dict[str, str]) -> None:
    plan = plan_optimizer(legacy(name, {"learning_rate": 0.5}, list(slots)), WEIGHTS)
    for stored_name, slot in slots.items():
        assert names(plan, slot)[1] == f"{name}/dense/bias/{stored_name}:0"


def test_nadam_of_keras_2_10_stores_its_product_and_its_schedule() -> None:
    plan = plan_optimizer(legacy("Nadam", {"decay": 0.25, "learning_rate": 0.5}, "mv"), WEIGHTS)
    assert plan.read_numbers() == {"mu_product": 0.25}
    assert (plan.options["schedule_decay"], plan.options["decay"]) == (0.25, 0.0)


def test_nadam_of_keras_2_15_knows_the_turn_of_each_weight() -> None:
    state = replace(numbered(1, PAIRS, {"learning_rate": 0.5}, "Nadam"), generation=2)
    plan = plan_optimizer(state, WEIGHTS)
    assert plan.for_weights == {"turns": (0, 1, 2)}


def test_nadam_of_keras_3_0_stores_its_product_before_its_slots() -> None:
    plan = plan_optimizer(numbered(2, [(), *PAIRS], {"learning_rate": 0.5}, "Nadam"), WEIGHTS)
    assert plan.numbers["mu_product"].name == "optimizer/vars/2"
    assert numbers(plan, "exp_avg_sq") == [4, 6, 8]


def test_nadam_of_keras_3_stores_its_product_last() -> None:
    plan = plan_optimizer(numbered(2, [*PAIRS, ()], {"learning_rate": 0.5}, "Nadam"), WEIGHTS)
    assert plan.numbers["mu_product"].name == "optimizer/vars/8"
    assert numbers(plan, "exp_avg_sq") == [3, 5, 7]


@pytest.mark.parametrize("value", [np.array(3 + 0j), np.zeros(2)], ids=["complex", "several"])
def test_a_counter_that_is_no_number_is_refused(value: np.ndarray) -> None:
    with pytest.raises(UnsupportedError, match="one number is needed"):
        optimizer_plan._number(array_info("iter", value))
