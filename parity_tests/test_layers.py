"""Every layer rule on its own examples, against the live Keras layer: outputs, gradients, training, three file formats.

A new rule needs nothing here: its examples are its cases. The live module and the emitted source are both compared.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import torchward
from converters.plan import plan_conversion
from converters.planned import Plan
from converters.readers import read_checkpoint
from converters.registry import LAYERS
from parity_tests.layer_cases import (
    CANCELLING_TOLERANCE,
    CASES,
    ELSEWHERE,
    KERAS_2_ONLY,
    NOT_IN_H5,
    Case,
    input_dtype,
    inputs_of,
    layer_class,
    upstream_of,
)

pytestmark = [
    pytest.mark.tf,
    pytest.mark.filterwarnings("ignore:You passed `rms_scaling"),
    pytest.mark.filterwarnings(r"ignore:(?s).*does not support masking"),
]


@dataclass(frozen=True)
class Values:
    """What one side computed; parameters by the role Keras gives them, in Keras's layout."""

    outputs: NDArray[Any]
    input_gradients: Sequence[NDArray[Any]]
    weight_gradients: Mapping[str, NDArray[Any]]
    training_outputs: NDArray[Any]
    training_gradients: Mapping[str, NDArray[Any]]
    statistics: Mapping[str, NDArray[Any]]


class Legacy:
    """Keras layers of the examples: built, evaluated and saved once."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._tf, self._folder = tf, folder
        self._saved: dict[tuple[Case, str], Any] = {}  # the last model, not called yet
        self._values: dict[tuple[str, int, str], Values] = {}

    def build(self, case: Case, dtype: str) -> Any:  # a Keras model; TensorFlow has no types
        keras = self._tf.keras
        # Not free_memory, here and in the other suites: going through all objects of TensorFlow takes longer than the
        # rest of a test.
        keras.utils.clear_session(free_memory=False)
        inputs = [
            keras.Input(shape, name=f"x{index}", dtype=input_dtype(case, dtype))
            for index, shape in enumerate(case.example.shapes)
        ]
        layer = layer_class(case.class_name)(
            **self._arguments(case.example.kwargs, dtype), name="layer", dtype=dtype
        )
        first, *others = [
            keras.layers.Masking(name=f"masking{index}", dtype=dtype)(x)
            if index in case.example.masked
            else x
            for index, x in enumerate(inputs)
        ]
        if hasattr(layer, "cell"):
            outputs = layer(first, initial_state=others or None)
        elif case.example.separate:
            outputs = layer(first, *others)
        else:
            outputs = layer([first, *others] if others else first)
        if case.example.pooled:
            outputs = keras.layers.GlobalAveragePooling1D(name="pooling", dtype=dtype)(outputs)
        model = keras.Model(inputs, outputs, name="network")
        draws = case.draws
        for weight in layer.weights:
            if "seed" in weight.path:
                continue
            # float32 values in both precisions, so that only the arithmetic differs. Variances are positive.
            value = draws.normal(size=weight.shape).astype(np.float32)
            spread = any(word in weight.name for word in ("variance", "stddev"))
            weight.assign(np.abs(value) + np.float32(0.1) if spread else value)
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()  # Normalization keeps a copy of its weights
        return model

    def _arguments(self, kwargs: Mapping[str, object], dtype: str) -> dict[str, object]:
        """Return the arguments with layers in place of their configurations, named after their argument."""
        return {
            name: getattr(self._tf.keras.layers, value["class_name"])(
                **value["config"], name=name, dtype=dtype
            )
            if isinstance(value, Mapping) and "class_name" in value
            else value
            for name, value in kwargs.items()
        }

    def values(self, case: Case, dtype: str) -> Values:
        """Return what the layer computes, once for both precisions of the other side."""
        key = (case.class_name, case.index, dtype)
        if key not in self._values:
            model = self._saved.pop((case, dtype), None)
            self._values[key] = self._compute(model or self.build(case, dtype), case, dtype)
        return self._values[key]

    def _compute(self, model: Any, case: Case, dtype: str) -> Values:
        """Return what the layer computes, in training mode last because that moves its statistics."""
        layer = model.get_layer("layer")
        inputs = [self._tf.constant(x, input_dtype(case, dtype)) for x in inputs_of(case)]
        outputs, gradients = self._differentiate(model, inputs, case, training=False)
        count = len(inputs)
        training = not LAYERS[case.class_name].random_in_training
        trained, training_gradients = self._differentiate(model, inputs, case, training=training)
        roles = [role_of(weight) for weight in layer.trainable_weights]
        return Values(
            outputs=outputs,
            input_gradients=gradients[:count],
            weight_gradients=dict(zip(roles, gradients[count:], strict=True)),
            training_outputs=trained,
            training_gradients=dict(zip(roles, training_gradients[count:], strict=True)),
            statistics={
                role_of(weight): weight.numpy()
                for weight in layer.non_trainable_weights
                if "seed" not in weight.path
            },
        )

    def _differentiate(
        self, model: Any, inputs: Sequence[Any], case: Case, *, training: bool
    ) -> tuple[NDArray[Any], list[NDArray[Any]]]:
        tf = self._tf
        weights = model.get_layer("layer").trainable_weights
        with tf.GradientTape() as tape:
            tape.watch([x for x in inputs if x.dtype.is_floating])
            outputs = model(list(inputs) if len(inputs) > 1 else inputs[0], training=training)
            if isinstance(outputs, (list, tuple)):  # compared as one row of numbers
                outputs = tf.concat([tf.reshape(output, [-1]) for output in outputs], 0)
            upstream = upstream_of(case, outputs.shape)
            floating = outputs if outputs.dtype.is_floating else tf.cast(outputs, "float64")
            loss = tf.reduce_sum(floating * tf.constant(upstream, floating.dtype))
        found = tape.gradient(
            loss,
            [*inputs, *[weight.value for weight in weights]],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return outputs.numpy(), [tf.convert_to_tensor(gradient).numpy() for gradient in found]

    def folder(self, case: Case) -> Path:
        return self._folder / f"{case.class_name}-{case.index}-{case.dtype}"

    def save(self, case: Case) -> Mapping[str, Path]:
        """Write the model in the three formats and its configuration, once; return the paths."""
        folder = self.folder(case)
        names = ("model.keras", "model.h5", "model.weights.h5", "model.json")
        paths = {name: folder / name for name in names}
        if not folder.exists():
            folder.mkdir()
            model = self.build(case, case.dtype)
            self._saved = {(case, case.dtype): model}
            model.save(paths["model.keras"])
            if case.dtype == "float32":  # the formats need no second precision
                if case.class_name not in NOT_IN_H5:
                    model.save(paths["model.h5"])
                model.save_weights(paths["model.weights.h5"])
                paths["model.json"].write_text(model.to_json())
        return paths


def role_of(weight: Any) -> str:  # a Keras variable
    """Return the name of a weight inside its layer: "kernel", or "query/kernel" in a layer of layers."""
    parts = str(weight.path).removeprefix("layer/").split("/")
    return "/".join(part for part in parts if not part.endswith("_cell"))


def torch_values(case: Case, model: nn.Module, plan: Plan) -> Values:
    kind = getattr(torch, input_dtype(case, case.dtype))
    inputs = [torch.from_numpy(x).to(kind) for x in inputs_of(case)]
    inputs = [x.requires_grad_() if x.is_floating_point() else x for x in inputs]
    outputs, gradients, by_role = differentiate(case, model.eval(), inputs, plan)
    model.train(not LAYERS[case.class_name].random_in_training)
    trained, _, training_by_role = differentiate(case, model, inputs, plan)
    state = model.state_dict()
    statistics = {
        role: state[key].numpy()
        for key, (_, role) in plan.roles.items()
        if key not in plan.parameters
    }
    return Values(outputs, gradients, by_role, trained, training_by_role, statistics)


def differentiate(
    case: Case, model: nn.Module, inputs: Sequence[Tensor], plan: Plan
) -> tuple[NDArray[Any], list[NDArray[Any]], dict[str, NDArray[Any]]]:
    outputs = model(*inputs)
    if isinstance(outputs, tuple):
        outputs = torch.cat([output.reshape(-1) for output in outputs])
    upstream = torch.from_numpy(upstream_of(case, outputs.shape))
    upstream = upstream.to(outputs.dtype) if outputs.is_floating_point() else upstream
    parameters = {plan.roles[name][1]: value for name, value in model.named_parameters()}
    wanted = [*inputs, *parameters.values()]
    reached = [x for x in wanted if x.requires_grad and outputs.requires_grad]
    loss = (outputs * upstream).sum()
    gradients = torch.autograd.grad(loss, reached, materialize_grads=True) if reached else ()
    found = dict(zip(map(id, reached), gradients, strict=True))
    arrays = [found.get(id(x), torch.zeros_like(x)).numpy() for x in wanted]
    by_role = {
        role: legacy_layout(plan, role, array)
        for role, array in zip(parameters, arrays[len(inputs) :], strict=True)
    }
    return outputs.detach().numpy(), arrays[: len(inputs)], by_role


def legacy_layout(plan: Plan, role: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of a torch parameter as Keras would store it."""
    [move] = [move for move in plan.moves if plan.roles[move.target][1] == role]
    pairs = zip(move.layout.left, move.source.shape, strict=True)
    sizes = {group[0]: size for group, size in pairs if len(group) == 1}
    return move.layout.inverse.apply(array, **sizes)


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Legacy]:
    pytest.importorskip("tensorflow")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Legacy(tmp_path_factory.mktemp("layers"))
    torch.set_num_threads(threads)


def assert_equal(
    name: str, legacy: NDArray[Any], torch_side: NDArray[Any], tolerance: float
) -> float:
    """Return the largest difference, relative to the largest value."""
    assert torch_side.shape == legacy.shape, name
    scale = max(1.0, float(np.abs(legacy).max(initial=0.0)))
    error = np.abs(torch_side.astype(np.float64) - legacy)
    worst = float(error.max(initial=0.0)) / scale
    assert worst <= tolerance, (
        f"{name} is off by {worst:.2e} at {np.unravel_index(int(error.argmax()), error.shape)}, "
        f"allowed {tolerance:.0e}"
    )
    return worst


def assert_parity(legacy: Values, torch_side: Values, case: Case) -> float:
    """Return the largest difference of all that the case's own tolerance holds."""
    tolerance = case.tolerance
    seen = [
        assert_equal("outputs", legacy.outputs, torch_side.outputs, tolerance),
        assert_equal(
            "training outputs", legacy.training_outputs, torch_side.training_outputs, tolerance
        ),
    ]
    for index, (x, y) in enumerate(
        zip(legacy.input_gradients, torch_side.input_gradients, strict=True)
    ):
        seen.append(assert_equal(f"gradient of input {index}", x, y, tolerance))
    for kind in ("weight_gradients", "training_gradients", "statistics"):
        wanted, found = getattr(legacy, kind), getattr(torch_side, kind)
        assert set(found) == set(wanted), kind
        for role, value in wanted.items():
            if role == case.cancelling:
                assert_equal(f"{kind} of {role}", value, found[role], CANCELLING_TOLERANCE)
            else:
                seen.append(assert_equal(f"{kind} of {role}", value, found[role], tolerance))
    return max(seen)


def assert_identical(model: Values, emitted: Values) -> None:
    np.testing.assert_array_equal(model.outputs, emitted.outputs)
    np.testing.assert_array_equal(model.training_outputs, emitted.training_outputs)
    for x, y in zip(model.input_gradients, emitted.input_gradients, strict=True):
        np.testing.assert_array_equal(x, y)
    for kind in ("weight_gradients", "training_gradients", "statistics"):
        for role, value in getattr(model, kind).items():
            np.testing.assert_array_equal(value, getattr(emitted, kind)[role])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule_computes_what_the_keras_layer_computes(
    case: Case, legacy: Legacy, record_property: Callable[[str, object], None]
) -> None:
    record_property("rules", [case.class_name])
    record_property("dtype", case.dtype)
    record_property("allowed", case.tolerance)
    path, folder = legacy.save(case)["model.keras"], legacy.folder(case)
    torchward.convert(path, folder / "model.pth", source_code=folder / "network.py")
    plan = plan_conversion(read_checkpoint(path))
    model = torchward.load(folder / "model.pth")
    emitted = runpy.run_path(str(folder / "network.py"))[model.architecture.name]()
    emitted.load_state_dict(torch.load(folder / "model.pth", weights_only=True)["model_state_dict"])

    computed = torch_values(case, model, plan)

    reference = "float32" if case.float32_only else "float64"
    record_property("difference", assert_parity(legacy.values(case, reference), computed, case))
    assert_identical(computed, torch_values(case, emitted, plan))


@pytest.mark.parametrize("case", [case for case in CASES if case.dtype == "float32"], ids=str)
def test_all_formats_of_keras_3_convert_to_the_same(case: Case, legacy: Legacy) -> None:
    paths, folder = legacy.save(case), legacy.folder(case)
    torchward.convert(paths["model.keras"], folder / "keras.pth")
    written = "model.keras" if case.class_name in NOT_IN_H5 else "model.h5"
    torchward.convert(paths[written], folder / "h5.pth")
    torchward.convert(
        paths["model.weights.h5"], folder / "weights.pth", architecture=paths["model.json"]
    )

    first, *others = [
        torchward.load(folder / name) for name in ("keras.pth", "h5.pth", "weights.pth")
    ]

    for other in others:
        assert other.architecture == first.architecture
        state = other.state_dict()
        assert list(state) == list(first.state_dict())
        assert all(torch.equal(value, state[name]) for name, value in first.state_dict().items())


def test_every_rule_has_examples_or_is_worked_by_hand() -> None:
    assert LAYERS
    without = [
        name
        for name, rule in LAYERS.items()
        if not rule.examples
        and not name.startswith(
            ("ops.", "Quantized", "Float8", "Calibrated")
        )  # test_operators.py, test_quantized.py
    ]

    assert sorted(without) == sorted((*KERAS_2_ONLY, *ELSEWHERE))


PLANTED = {
    "transposed kernel": "Dense",
    "epsilon": "BatchNormalization",
    "momentum": "BatchNormalization",
    "order of gates": "GRU",
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_caught(fault: str, legacy: Legacy, tmp_path: Path) -> None:
    case = Case(PLANTED[fault], 0, "float64")
    model = legacy.build(case, "float64")
    model.save(tmp_path / "model.keras")
    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    plan = plan_conversion(read_checkpoint(tmp_path / "model.keras"))
    converted = torchward.load(tmp_path / "model.pth")
    module: Any = converted.get_submodule("layer")
    if fault == "transposed kernel":
        module.weight.data = module.weight.data.flip(0)
    elif fault == "order of gates":
        first, second, third = module.weight_ih.data.chunk(3)
        module.weight_ih.data = torch.cat([second, first, third])
    elif fault == "epsilon":
        module.eps = 1e-5
    else:
        module.momentum = 0.01

    with pytest.raises(AssertionError, match="is off by"):
        assert_parity(
            legacy.values(case, "float64"),
            torch_values(case, converted, plan),
            case,
        )
