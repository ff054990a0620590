from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import torchward
from converters.architecture import Architecture, InputValue, Step
from converters.errors import UnreadableFileError, UnsupportedError
from converters.fixed_modes import fixed_modes
from converters.plan import plan_conversion
from converters.planned import Plan
from converters.readers import read_checkpoint

STATISTICS = {
    "gamma": np.array([1.5, 0.5], np.float32),
    "beta": np.array([0.1, -0.2], np.float32),
    "moving_mean": np.array([2.0, -3.0], np.float32),
    "moving_variance": np.array([4.0, 9.0], np.float32),
}


def call_with(config: dict[str, Any], layer: str, training: object) -> dict[str, Any]:
    """Return the configuration of Keras 2 with a layer that is called with a fixed `training`."""
    changed = copy.deepcopy(config)
    for entry in changed["config"]["layers"]:
        if entry["name"] == layer:
            entry["inbound_nodes"][0][0][3] = {"training": training}
    return changed


def one_layer(configs: Any, layer: Any, training: object, shape: tuple[Any, ...]) -> dict[str, Any]:
    name = layer["config"]["name"]
    return call_with(configs.functional({"x": shape}, [(layer, ["x"])], [name]), name, training)


def pair(folder: Path, source: Path) -> list[nn.Module]:
    """Return the converted module live and as its emitted source."""
    torchward.convert(source, folder / "m.pth", source_code=folder / "m.py", force=True)
    live = torchward.load(folder / "m.pth")
    namespace: dict[str, Any] = {}
    exec(compile((folder / "m.py").read_text(), "m.py", "exec"), namespace)  # noqa: S102
    emitted: nn.Module = namespace[live.architecture.name]()
    emitted.load_state_dict(live.state_dict())
    return [live, emitted]


def of_keras_3(config: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of one layer as Keras 3 writes it."""
    first, second = config["config"]["layers"]
    first = {**first, "config": {"name": "x", "batch_shape": [None, 4]}}
    taken = {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}
    node = {"args": [taken], "kwargs": kwargs}
    layers = [
        {**entry, "module": "keras.layers", "registered_name": None, "inbound_nodes": nodes}
        for entry, nodes in ((first, []), (second, [node]))
    ]
    return {**config, "config": {**config["config"], "layers": layers}}


def plan_of(path: Path) -> Plan:
    return plan_conversion(read_checkpoint(path))


def normalized(x: NDArray[np.float32], *, by_batch: bool) -> NDArray[np.float64]:
    values = x.astype(np.float64)
    mean = values.mean(0) if by_batch else STATISTICS["moving_mean"]
    variance = values.var(0) if by_batch else STATISTICS["moving_variance"]
    scaled = (values - mean) / np.sqrt(variance + 1e-3) * STATISTICS["gamma"]
    result: NDArray[np.float64] = scaled + STATISTICS["beta"]
    return result


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("fixed", [True, False], ids=["always-on", "always-off"])
def test_batch_normalization_keeps_the_mode_it_is_called_with(
    fixed: bool, mode: str, write_model: Any, configs: Any, tmp_path: Path
) -> None:
    layer = configs.layer("BatchNormalization", "norm", momentum=0.75)
    source = write_model(one_layer(configs, layer, fixed, (None, 2)), {"norm": STATISTICS})
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)

    for model in pair(tmp_path, source):
        found = model.train(mode == "train")(torch.from_numpy(x)).detach().numpy()

        np.testing.assert_allclose(found, normalized(x, by_batch=fixed), atol=1e-5)
        moved = 0.75 * STATISTICS["moving_mean"] + 0.25 * x.mean(0)
        np.testing.assert_allclose(
            model.state_dict()["norm.running_mean"],
            moved if fixed else STATISTICS["moving_mean"],
            atol=1e-6,
        )


@pytest.mark.parametrize("fixed", [True, False], ids=["always-on", "always-off"])
@pytest.mark.parametrize(
    ("class_name", "settings"),
    [
        ("Dropout", {"rate": 0.5}),
        ("SpatialDropout1D", {"rate": 0.5}),
        ("GaussianNoise", {"stddev": 1.0}),
        ("AlphaDropout", {"rate": 0.5}),
    ],
)
def test_layers_that_draw_keep_the_mode_they_are_called_with(
    fixed: bool,
    class_name: str,
    settings: dict[str, Any],
    write_model: Any,
    configs: Any,
    tmp_path: Path,
) -> None:
    layer = configs.layer(class_name, "noise", **settings)
    source = write_model(one_layer(configs, layer, fixed, (None, 40, 30)), {"noise": {}})
    x = torch.ones(2, 40, 30)

    for model in pair(tmp_path, source):
        assert bool((model.eval()(x) != x).any()) is fixed
        assert bool((model.train()(x) != x).any()) is fixed


def test_dropout_that_always_draws_divides_what_it_keeps(
    write_model: Any, configs: Any, tmp_path: Path
) -> None:
    layer = configs.layer("Dropout", "drop", rate=0.2)
    source = write_model(one_layer(configs, layer, True, (None, 4000)), {"drop": {}})

    for model in pair(tmp_path, source):
        found = model.eval()(torch.ones(1, 4000))

        np.testing.assert_allclose(found.unique(), [0.0, 1.25])
        # 4000 draws: the share dropped has a standard deviation of 0.0063.
        assert abs(float((found == 0).double().mean()) - 0.2) < 0.04


@pytest.mark.parametrize("fixed", [True, False], ids=["always-on", "always-off"])
def test_dropout_inside_a_recurrent_layer_keeps_the_mode_it_is_called_with(
    fixed: bool, write_model: Any, configs: Any, tmp_path: Path
) -> None:
    draws = np.random.default_rng(0)
    sizes = {"kernel": (20, 12), "recurrent_kernel": (3, 12), "bias": (12,)}
    arrays = {  # small, so that no gate closes for good
        name: 0.1 * draws.normal(size=size).astype(np.float32) for name, size in sizes.items()
    }
    functions = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    layer = configs.layer("LSTM", "memory", units=3, dropout=0.5, **functions)
    source = write_model(one_layer(configs, layer, fixed, (None, 5, 20)), {"memory": arrays})
    x = torch.ones(2, 5, 20)

    for model in pair(tmp_path, source):
        for training in (True, False):
            model.train(training)
            assert torch.equal(model(x), model(x)) is not fixed


@pytest.mark.slow
def test_a_module_with_a_fixed_mode_compiles(
    write_model: Any, configs: Any, tmp_path: Path
) -> None:
    layer = configs.layer("Dropout", "drop", rate=0.5)
    source = write_model(one_layer(configs, layer, True, (None, 64)), {"drop": {}})

    for model in pair(tmp_path, source):
        compiled = torch.compile(model.eval(), fullgraph=True, backend="eager")
        assert bool((compiled(torch.ones(2, 64)) == 0).any())


def nested(configs: Any, outer: object, inner: object) -> dict[str, Any]:
    """Return a nested model called with `outer`, whose second dropout is called with `inner`."""
    layers = [
        (configs.layer("Dropout", "open", rate=0.5), ["z"]),
        (configs.layer("Dropout", "stated", rate=0.5), ["z"]),
    ]
    base = configs.functional({"z": (None, 64)}, layers, ["open", "stated"])
    base = call_with(base, "stated", inner)
    base["config"]["name"] = "base"
    config = configs.functional({"x": (None, 64)}, [(base, ["x"])], ["base"])
    config["config"]["output_layers"] = [["base", 1, 0], ["base", 1, 1]]
    return call_with(config, "base", outer)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    ("outer", "inner", "draws"),
    [
        # What Keras 2 does when called with training=False and True; None: as it is called.
        (False, True, (False, True)),
        (False, None, (False, False)),
        (True, False, (True, False)),
        (None, True, (None, True)),
    ],
)
def test_what_a_nested_model_is_called_with_holds_where_its_layers_say_nothing(
    outer: object,
    inner: object,
    draws: tuple[bool | None, ...],
    training: bool,
    write_model: Any,
    configs: Any,
    tmp_path: Path,
) -> None:
    source = write_model(nested(configs, outer, inner), {"base": {}})
    x = torch.ones(2, 64)

    for model in pair(tmp_path, source):
        found = [bool((y != x).any()) for y in model.train(training)(x)]

        assert found == [training if drawn is None else drawn for drawn in draws]


def test_a_layer_that_is_called_in_two_modes_is_refused(write_model: Any, configs: Any) -> None:
    layer = configs.layer("Dropout", "drop", rate=0.5)
    config = configs.functional({"x": (None, 4)}, [(layer, ["x"])], ["drop"])
    nodes = config["config"]["layers"][1]["inbound_nodes"]
    nodes += [[["drop", 0, 0, {"training": True}]]]
    config["config"]["output_layers"] = [["drop", 1, 0]]

    with pytest.raises(UnsupportedError, match=r"'drop' \(Dropout\) is called in several modes"):
        plan_of(write_model(config, {"drop": {}}))


def test_an_augmentation_that_is_always_on_is_refused(write_model: Any, configs: Any) -> None:
    layer = configs.layer("RandomFlip", "flip", mode="horizontal")
    config = one_layer(configs, layer, True, (None, 8, 6, 3))

    with pytest.raises(UnsupportedError, match=r"'flip' \(RandomFlip\) is called with"):
        plan_of(write_model(config, {"flip": {}}))


@pytest.mark.parametrize(
    ("version", "training", "note"),
    [
        ("2.15.0", True, "model.eval() leaves drop in training mode"),
        ("2.15.0", False, "model.train() leaves drop in eval mode"),
        ("2.15.0", None, ""),
        ("3.15.1", True, "its fit, evaluate and predict override it"),
        ("3.15.1", False, ""),
    ],
)
def test_a_mode_that_makes_a_difference_is_noted(
    version: str, training: object, note: str, write_model: Any, configs: Any
) -> None:
    layer = configs.layer("Dropout", "drop", rate=0.5)
    config = one_layer(configs, layer, training, (None, 4))
    if version.startswith("3"):
        config = of_keras_3(config, {"training": training})

    plan = plan_of(write_model(config, {"drop": {}}, version=version))

    found = [text for text in plan.notes if "drop" in text]
    assert len(found) == (1 if note else 0)
    assert all(note in text for text in found)
    assert bool(fixed_modes(plan.architecture)) is (version < "3" and training is not None)


def test_a_format_for_inference_is_refused_where_layers_always_draw(
    write_model: Any, configs: Any, tmp_path: Path
) -> None:
    layer = configs.layer("Dropout", "drop", rate=0.5)
    source = write_model(one_layer(configs, layer, True, (None, 4)), {"drop": {}})

    with pytest.raises(UnsupportedError, match=r"called with training=True.*: drop"):
        torchward.convert(source, tmp_path / "m.pt2", format="pt2")


def network(*modes: tuple[str, str]) -> Architecture:
    steps = []
    value = "x"
    for place, (attribute, mode) in enumerate(modes):
        steps.append(Step("nn.ReLU", (value,), f"y{place}", attribute, mode=mode))
        value = f"y{place}"
    return Architecture("Net", (InputValue("x", (None, 2), "float32"),), (value,), tuple(steps))


def test_a_block_is_switched_as_a_whole_and_what_differs_inside_after_it() -> None:
    architecture = network(
        ("a.b", "eval"), ("a.c.d", "eval"), ("a.c.e", "train"), ("a.f", "eval"), ("g.h", ""), ("g.i", "train")
    )  # fmt: skip

    assert fixed_modes(architecture) == (
        ("a", "eval"),
        ("a.c.e", "train"),
        ("g.i", "train"),
    )


def test_an_unknown_mode_is_refused() -> None:
    data: Any = network(("a", "train")).to_data()
    assert Architecture.from_data(data) == network(("a", "train"))
    data["steps"][0]["mode"] = "exec"

    with pytest.raises(UnreadableFileError, match="a module has the mode 'exec'"):
        Architecture.from_data(data)
