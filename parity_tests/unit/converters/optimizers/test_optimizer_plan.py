"""Plans of optimizer state: real files of every Keras generation, and hand-made orders for what they lack."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from converters.checkpoint import ArrayInfo, OptimizerState
from converters.errors import AmbiguousTargetError, MismatchError, UnsupportedError
from converters.optimizers.options import SCHEDULES
from converters.optimizers.plan import OptimizerPlan, plan_optimizer
from converters.optimizers.rules import RULES, OptimizerRule
from converters.optimizers.uneven import ADAM, FACTORED, MUON, WHOLE
from torch_impl.keras_compat import optimizers, schedules

FIXTURES = Path(__file__).parents[3] / "fixtures"
Shape = tuple[int, ...]
WEIGHTS: list[tuple[str, Shape]] = [
    ("dense/dense/kernel:0", (4, 3)),
    ("dense/dense/bias:0", (3,)),
    ("dense_1/dense_1/kernel:0", (3, 2)),
]


def text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def array(name: str, shape: Shape = (), value: float = 0.0, dtype: str = "float32") -> ArrayInfo:
    filled = np.full(shape, value, dtype=dtype)
    return ArrayInfo(name, shape, filled.dtype, lambda: filled)


def stored(dataset: h5py.Dataset, name: str) -> ArrayInfo:
    values = dataset[()]
    return ArrayInfo(name, dataset.shape, dataset.dtype, lambda: values)


def read_h5(case: str) -> tuple[OptimizerState, list[tuple[str, Shape]]]:
    """Read a whole-model .h5 of any generation: the optimizer and the trainable weights."""
    with h5py.File(FIXTURES / case / "model.h5") as file:
        weights = []
        for layer in map(text, file["model_weights"].attrs["layer_names"]):
            for name in map(text, file["model_weights"][layer].attrs["weight_names"]):
                if not re.search("moving_|running_|seed", name):
                    shape = file["model_weights"][layer][name].shape
                    weights.append((f"{layer}/{name}", shape))
        group = file["optimizer_weights"]
        names = [text(name) for name in group.attrs["weight_names"]]
        variables = [stored(group[name], name) for name in names]
        generation = int(text(file.attrs["keras_version"])[0])
        entry = json.loads(text(file.attrs["training_config"]))["optimizer_config"]
    legacy = generation < 3 and not entry["class_name"].startswith("Custom>")
    state = OptimizerState(entry["class_name"], entry["config"], variables, legacy, generation)
    return state, weights


def read_archive(case: str) -> tuple[OptimizerState, list[tuple[str, Shape]]]:
    """Read a .keras of stacked Dense layers, whose variables are numbers only."""
    with zipfile.ZipFile(FIXTURES / case / "model.keras") as archive:
        entry = json.loads(archive.read("config.json"))["compile_config"]["optimizer"]
        generation = int(json.loads(archive.read("metadata.json"))["keras_version"][0])
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        numbered = file["optimizer/vars"]
        variables = [stored(numbered[n], f"optimizer/vars/{n}") for n in sorted(numbered, key=int)]
        weights = [
            (f"layers/{layer}/vars/{index}", file[f"layers/{layer}/vars/{index}"].shape)
            for layer in ("dense", "dense_1", "dense_2")
            for index in ("0", "1")
        ]
    state = OptimizerState(entry["class_name"], entry["config"], variables, False, generation)
    return state, weights


def numbers(plan: OptimizerPlan, slot: str) -> list[int]:
    return [int(array.name.rsplit("/", 1)[-1]) for array in plan.slots[slot]]


def names(plan: OptimizerPlan, slot: str) -> list[str]:
    return [array.name for array in plan.slots[slot]]


def assert_complete(plan: OptimizerPlan, state: OptimizerState) -> None:
    """Every stored array is used once or ignored with a reason."""
    used = [array.name for slot in plan.slots.values() for array in slot]
    used += [array.name for slot in plan.partial.values() for array in slot.values()]
    used += [array.name for array, reason in plan.ignored if reason]
    used += [array.name for array in plan.numbers.values()]
    for single in (plan.iterations, plan.learning_rate):
        used += [single.name] if isinstance(single, ArrayInfo) else []
    assert sorted(used) == sorted(variable.name for variable in state.variables)


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
    assert plan.options["decay"] == 0.01
    assert plan.options["beta_2"] == float(np.float32(0.999))
    assert names(plan, "exp_avg_sq")[0] == "Adam/dense/kernel/v:0"


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


def numbered(
    count: int, shapes: Sequence[Shape], config: dict[str, Any] | None, kind: str | None = "Adam"
) -> OptimizerState:
    """A Keras 3 file: `count` single numbers, then arrays of the shapes."""
    variables = [array("optimizer/vars/0", dtype="int64")]
    variables += [array(f"optimizer/vars/{index}") for index in range(1, count)]
    variables += [
        array(f"optimizer/vars/{index}", shape) for index, shape in enumerate(shapes, count)
    ]
    return OptimizerState(kind, config or {}, variables, False, 3)


ONE, TWO, THREE = (shape for _, shape in WEIGHTS)
PAIRS = [ONE, ONE, TWO, TWO, THREE, THREE]


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


def wrapped(own: Sequence[float], shapes: Sequence[Shape], inner: str = "Adam") -> OptimizerState:
    """LossScaleOptimizer of Keras 3: its own numbers, then what the optimizer inside has."""
    config = {"inner_optimizer": {"class_name": inner, "config": {"beta_1": 0.75}}}
    variables = [
        array(str(index), value=value, dtype="float32" if index % 2 else "int64")
        for index, value in enumerate((*own, 7, 0.5))
    ]
    variables += [array(str(index), shape) for index, shape in enumerate(shapes, len(variables))]
    settings = {"initial_scale": 64.0, "dynamic_growth_steps": 30}
    return OptimizerState("LossScaleOptimizer", {**config, **settings}, variables, False, 3)


def test_loss_scale_of_keras_3_stands_before_the_optimizer_inside() -> None:
    state = wrapped((9, 0.0, 12, 128.0), PAIRS)
    plan = plan_optimizer(state, WEIGHTS)
    assert plan.target == "keras_compat.Adam"
    assert plan.read_numbers() == {"scaled_steps": 12, "dynamic_scale": 128.0}
    assert (plan.read_iterations(), plan.read_arguments()["learning_rate"]) == (7, 0.5)
    assert plan.options["dynamic_growth_steps"] == 30
    assert numbers(plan, "exp_avg_sq") == [7, 9, 11]
    assert_complete(plan, state)


def test_loss_scale_that_compile_added_by_itself_is_found_by_what_is_stored_twice() -> None:
    state = wrapped((9, 0.0, 12, 128.0), PAIRS)
    again = [array("optimizer/inner_optimizer/vars/2", ONE)]
    plan = plan_optimizer(
        OptimizerState("Adam", {"beta_1": 0.75}, [*state.variables, *again], False, 3), WEIGHTS
    )
    assert plan.read_numbers() == {"scaled_steps": 12, "dynamic_scale": 128.0}
    assert numbers(plan, "exp_avg_sq") == [7, 9, 11]
    assert plan.options["beta_1"] == 0.75


def test_loss_scale_that_was_never_used_starts_as_configured() -> None:
    plan = plan_optimizer(wrapped((9, 0.0), []), WEIGHTS)
    assert plan.options["dynamic_scale"] == 64.0
    assert (plan.read_iterations(), plan.slots) == (7, {})


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (
            {"dynamic": True, "initial_scale": 64.0, "dynamic_growth_steps": 5},
            {"dynamic_scale": 64.0, "dynamic_growth_steps": 5, "smallest_scale": 1.0},
        ),
        (
            {"dynamic": False, "initial_scale": 64.0, "dynamic_growth_steps": None},
            {"loss_scale_factor": 64.0},
        ),
        (
            {
                "loss_scale": {
                    "class_name": "DynamicLossScale",
                    "config": {"initial_loss_scale": 32.0, "increment_period": 9},
                }
            },
            {"dynamic_scale": 32.0, "dynamic_growth_steps": 9, "smallest_scale": 1.0},
        ),
    ],
    ids=["dynamic", "fixed", "tensorflow 2.3"],
)
def test_loss_scale_of_keras_2_is_what_was_configured(
    settings: dict[str, Any], options: dict[str, Any]
) -> None:
    state, weights = read_h5("k231_dqn_cartpole")
    inside = {"class_name": "Adam", "config": state.config}
    whole = {"inner_optimizer": inside, **settings}
    plan = plan_optimizer(
        OptimizerState("LossScaleOptimizer", whole, state.variables, True, 2), weights
    )
    assert options.items() <= plan.options.items()
    assert set(plan.slots) == {"exp_avg", "exp_avg_sq"}


def partial(plan: OptimizerPlan) -> dict[str, dict[int, int]]:
    return {
        slot: {place: int(a.name.rsplit("/", 1)[-1]) for place, a in found.items()}
        for slot, found in plan.partial.items()
    }


def test_adafactor_of_keras_2_stores_no_placeholders() -> None:
    shapes = [shape for _, whole in WEIGHTS for shape in factored(whole)]
    state = replace(numbered(1, shapes, {"learning_rate": 0.5}, "Adafactor"), generation=2)
    plan = plan_optimizer(state, WEIGHTS)
    matrices = [place for place, (_, whole) in enumerate(WEIGHTS) if len(whole) > 1]
    assert list(plan.partial["row"]) == matrices
    assert {place: a.shape for place, a in plan.partial["square_avg"].items()} == dict(
        enumerate(shape for _, shape in WEIGHTS)
    )
    assert len(plan.partial["row"]) * 2 + len(WEIGHTS) == len(shapes)


def factored(shape: Shape) -> list[Shape]:
    """What Adafactor of Keras 2 has for a weight."""
    return [shape[:-1], shape[:-2] + shape[-1:], shape] if len(shape) > 1 else [shape]


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


def test_a_keras_2_archive_holds_the_optimizer_inside_a_loss_scale_twice() -> None:
    inner = {"class_name": "Adam", "config": {"learning_rate": 0.5, "is_legacy_optimizer": False}}
    once = numbered(1, PAIRS, {"inner_optimizer": inner}, "LossScaleOptimizerV3").variables
    again = [replace(v, name=v.name.replace("/vars/", "/inner_optimizer/vars/")) for v in once]
    config = {"inner_optimizer": inner}
    state = OptimizerState("LossScaleOptimizerV3", config, [*once, *again], False, 2)
    plan = plan_optimizer(state, WEIGHTS)
    assert numbers(plan, "exp_avg") == [1, 3, 5]
    assert len(plan.ignored) == len(again)


def test_adafactor_keeps_rows_and_columns_of_matrices_only() -> None:
    shapes = [(4,), (3,), ONE, (), (), TWO, (3,), (2,), THREE]
    state = numbered(2, shapes, {"learning_rate": 0.5}, "Adafactor")
    plan = plan_optimizer(state, WEIGHTS)
    assert partial(plan) == {
        "row": {0: 2, 2: 8},
        "column": {0: 3, 2: 9},
        "square_avg": {0: 4, 1: 7, 2: 10},
    }
    assert plan.dropped_axes == {"row": -1, "column": -2}
    assert [reason.split(":")[0] for _, reason in plan.ignored] == ["placeholder"] * 2


@pytest.mark.parametrize(
    ("excluded", "shapes", "adam"),
    [
        ([], [ONE, TWO, TWO, THREE], (False, True, False)),
        (["dense_1/.*kernel"], [ONE, TWO, TWO, THREE, THREE], (False, True, True)),
    ],
    ids=["biases", "a layer by name"],
)
def test_muon_leaves_to_adam_what_is_no_matrix_or_named(
    excluded: list[str], shapes: list[Shape], adam: tuple[bool, ...]
) -> None:
    config = {"exclude_layers": excluded, "learning_rate": 0.5, "rms_rate": None}
    plan = plan_optimizer(numbered(2, shapes, config, "Muon"), WEIGHTS)
    assert plan.for_weights == {"with_adam": adam}
    assert set(plan.partial["exp_avg_sq"]) == {i for i, own in enumerate(adam) if own}
    assert plan.options["rms_rate"] is None
    assert not plan.notes


def test_muon_takes_the_names_that_fit_what_is_stored() -> None:
    config = {"exclude_layers": ["^net/b/"], "learning_rate": 0.5}
    weights = [("0", (2, 2)), ("1", (2, 2))]
    state = numbered(2, [(2, 2)] * 3, config, "Muon")
    plan = plan_optimizer(
        state, weights, [["a/kernel", "b/kernel"], ["net/a/kernel", "net/b/kernel"]]
    )
    assert plan.for_weights == {"with_adam": (False, True)}
    with pytest.raises(MismatchError, match="found 3 optimizer arrays, needed 2"):
        plan_optimizer(state, weights, [["a/kernel", "b/kernel"]])


def test_embeddings_are_left_to_adam_unless_muon_takes_them() -> None:
    weights, paths = [("0", (5, 2))], [["tokens/embeddings"]]
    slots = {True: [(5, 2)] * 2, False: [(5, 2)]}
    for excluded, shapes in slots.items():
        config = {"exclude_embeddings": excluded, "learning_rate": 0.5}
        plan = plan_optimizer(numbered(2, shapes, config, "Muon"), weights, paths)
        assert plan.for_weights == {"with_adam": (excluded,)}


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


def test_nadam_of_keras_3_stores_its_product_last() -> None:
    plan = plan_optimizer(numbered(2, [*PAIRS, ()], {"learning_rate": 0.5}, "Nadam"), WEIGHTS)
    assert plan.numbers["mu_product"].name == "optimizer/vars/8"
    assert numbers(plan, "exp_avg_sq") == [3, 5, 7]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_rule_fits_its_torch_class(rule: OptimizerRule) -> None:
    chosen = getattr(optimizers, rule.target.rsplit(".", 1)[1])
    switches = {slot.when: 0.5 for block in rule.blocks for slot in block if slot.when}
    optimizer = chosen([torch.nn.Parameter(torch.zeros(1))], **switches)
    group = optimizer.param_groups[0]
    assert set(rule.options) | set(rule.legacy_options({})) <= set(group)
    kinds = (FACTORED, WHOLE) if rule.kind == "Adafactor" else (ADAM, MUON)
    uneven = {s.key for kind in kinds for s in kind.slots if s} if rule.choose_kind else set()
    even = {slot.key for block in rule.blocks for slot in block}
    assert even | uneven == set(optimizer.slots(group))
    assert rule.number is None or rule.number in group


def test_schedules_are_those_of_torch_impl() -> None:
    assert set(SCHEDULES) == set(schedules.SCHEDULES)
