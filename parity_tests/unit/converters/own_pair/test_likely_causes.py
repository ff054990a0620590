from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import torchward

WriteModel = Callable[..., Path]
Shape = tuple[int | None, ...]


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Chain(nn.Module):
    """Layers by name, one after the other; functions as they are."""

    def __init__(self, **layers: nn.Module | Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.order = [
            layers[name] if not isinstance(layers[name], nn.Module) else name for name in layers
        ]
        for name, layer in layers.items():
            if isinstance(layer, nn.Module):
                self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.order:
            x = self._modules[layer](x) if isinstance(layer, str) else layer(x)  # type: ignore[misc]
        return x


def mean_of_places(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def dense_pair(
    configs: Any, write_model: WriteModel, activation: str = "relu", last: str = "linear"
) -> Path:
    config = configs.sequential(configs.dense("a", 5, activation), configs.dense("b", 3, last))
    arrays = {"a": configs.dense_arrays(4, 5), "b": configs.dense_arrays(5, 3, 1)}
    return write_model(config, arrays)


def dense_chain(*middle: Callable[[Tensor], Tensor] | nn.Module) -> Chain:
    named = {f"act{index}": each for index, each in enumerate(middle)}
    return Chain(a=nn.Linear(4, 5), **named, b=nn.Linear(5, 3))


def images(configs: Any, write_model: WriteModel, *layers: Any, arrays: Mapping[str, Any]) -> Path:
    return write_model(configs.sequential(*layers, shape=(None, 6, 5, 2)), arrays)


def convolution(configs: Any, **settings: Any) -> Any:
    return configs.layer("Conv2D", "conv", filters=3, **settings)


def conv_arrays(height: int, width: int) -> dict[str, Any]:
    return {"kernel": draw(height, width, 2, 3), "bias": draw(3, seed=1)}


@pytest.mark.parametrize(
    ("legacy", "own", "layers", "text"),
    [
        ("relu", torch.tanh, "tanh (layer 2)", "has relu; this module has tanh"),
        ("tanh", nn.ReLU(inplace=True), "act0", "has tanh; this module has ReLU(inplace=True)"),
        ("relu", None, "a", "relu of the legacy model is missing"),
        ("linear", torch.sigmoid, "sigmoid (layer 2)", "has none where this module has sigmoid"),
        ("gelu", nn.GELU("tanh"), "act0", "has gelu, exact"),
    ],
    ids=["relu-tanh", "tanh-relu", "missing", "superfluous", "gelu"],
)
def test_other_activation_is_named(
    legacy: str, own: Any, layers: str, text: str, configs: Any, write_model: WriteModel
) -> None:
    source = dense_pair(configs, write_model, legacy)

    report = torchward.verify(source, dense_chain(*([] if own is None else [own])))

    assert not report.checks[0].passed
    assert len(report.likely) == 1
    assert text in report.likely[0]
    assert report.likely[0].endswith(f"At {layers}.")
    assert len(report.hints) == 1


def test_other_slope_is_named(configs: Any, write_model: WriteModel) -> None:
    config = configs.sequential(
        configs.dense("a", 5), configs.layer("LeakyReLU", "leaky", alpha=0.3), configs.dense("b", 3)
    )
    arrays = {"a": configs.dense_arrays(4, 5), "b": configs.dense_arrays(5, 3, 1)}

    report = torchward.verify(write_model(config, arrays), dense_chain(F.leaky_relu))

    assert (
        "slope 0.3 (LeakyReLU of Keras); this module has leaky_relu with slope 0.01"
        in report.likely[0]
    )


def test_activation_missing_at_the_end_is_named(configs: Any, write_model: WriteModel) -> None:
    source = dense_pair(configs, write_model, last="softmax")

    report = torchward.verify(source, dense_chain(torch.relu))

    assert report.first_difference == "after the last of 3 layers, 'b' (all agree exactly)"
    assert report.likely == ("activation. softmax of the legacy model is missing. At b.",)


def test_flattening_of_channels_first_is_named(configs: Any, write_model: WriteModel) -> None:
    source = images(
        configs,
        write_model,
        convolution(configs, kernel_size=[3, 2]),
        configs.layer("Flatten", "flat"),
        configs.dense("head", 3),
        arrays={"conv": conv_arrays(3, 2), "head": configs.dense_arrays(4 * 4 * 3, 3)},
    )

    report = torchward.verify(
        source, Chain(conv=nn.Conv2d(2, 3, (3, 2)), flat=nn.Flatten(), head=nn.Linear(48, 3))
    )

    assert report.first_difference.startswith("after layer 3 of 3, 'head' (layers 1-2 agree")
    assert report.likely == (
        "Flatten order. TensorFlow flattens H,W,C; this module flattens C,H,W. At head.",
    )
    assert "(4, 4, 3) -> (3, 4, 4)" in report.hints[0]
    assert report.notes == ("inputs go into it as (batch, channel, ...)",)


def test_flattening_of_channels_last_is_the_same_function(
    configs: Any, write_model: WriteModel
) -> None:
    source = images(
        configs,
        write_model,
        convolution(configs, kernel_size=[3, 2]),
        configs.layer("Flatten", "flat"),
        configs.dense("head", 3),
        arrays={"conv": conv_arrays(3, 2), "head": configs.dense_arrays(48, 3)},
    )

    report = torchward.verify(
        source,
        Chain(
            conv=nn.Conv2d(2, 3, (3, 2)),
            turn=lambda x: x.permute(0, 2, 3, 1),
            flat=nn.Flatten(),
            head=nn.Linear(48, 3),
        ),
    )

    assert report.passed
    assert [check.name for check in report.checks] == ["forward", "gradients", "update", "argmax"]


def test_symmetric_same_padding_is_named(configs: Any, write_model: WriteModel) -> None:
    source = images(
        configs,
        write_model,
        convolution(configs, kernel_size=3, strides=2, padding="same"),
        configs.layer("GlobalAveragePooling2D", "mean"),
        arrays={"conv": conv_arrays(3, 3)},
    )

    report = torchward.verify(
        source, Chain(conv=nn.Conv2d(2, 3, 3, stride=2, padding=1), mean=mean_of_places)
    )

    assert report.likely[0].startswith('"same" padding.')


def save(module: nn.Module, state: Mapping[str, np.ndarray], tmp_path: Path) -> Path:
    module.load_state_dict({name: torch.from_numpy(np.array(x)) for name, x in state.items()})
    torch.save(module.state_dict(), tmp_path / "own.pth")
    return tmp_path / "own.pth"


def test_square_kernel_that_is_not_transposed_is_named(
    configs: Any, write_model: WriteModel, tmp_path: Path
) -> None:
    arrays = {"a": configs.dense_arrays(4, 4), "b": configs.dense_arrays(4, 3, 1)}
    source = write_model(
        configs.sequential(configs.dense("a", 4, "tanh"), configs.dense("b", 3)), arrays
    )
    module = Chain(a=nn.Linear(4, 4), act=torch.tanh, b=nn.Linear(4, 3))
    state = {
        "a.weight": arrays["a"]["kernel"],
        "a.bias": arrays["a"]["bias"],
        "b.weight": arrays["b"]["kernel"].T,
        "b.bias": arrays["b"]["bias"],
    }

    report = torchward.verify(source, module, weights=save(module, state, tmp_path))

    assert report.first_difference.startswith("after layer 1 of 3, 'a'")
    assert "not transposed" in report.likely[0]
    assert report.likely[0].endswith("At a.")


def test_turned_convolution_kernel_is_named(
    configs: Any, write_model: WriteModel, tmp_path: Path
) -> None:
    arrays = {"conv": conv_arrays(3, 3)}
    layers = [convolution(configs, kernel_size=3), configs.layer("GlobalAveragePooling2D", "mean")]
    source = images(configs, write_model, *layers, arrays=arrays)
    module = Chain(conv=nn.Conv2d(2, 3, 3), mean=mean_of_places)
    kernel = arrays["conv"]["kernel"].transpose(3, 2, 1, 0)  # height and width exchanged, too
    state = {"conv.weight": kernel, "conv.bias": arrays["conv"]["bias"]}

    report = torchward.verify(source, module, weights=save(module, state, tmp_path))

    assert "not transposed" in report.likely[0]


@pytest.mark.parametrize(
    ("kind", "settings", "own"),
    [
        ("BatchNormalization", {"epsilon": 1e-3}, nn.BatchNorm1d(5)),
        ("LayerNormalization", {"epsilon": 1e-3}, nn.LayerNorm(5)),
    ],
    ids=["batch", "layer"],
)
def test_epsilon_of_torch_is_named(
    kind: str, settings: Any, own: nn.Module, configs: Any, write_model: WriteModel
) -> None:
    config = configs.sequential(configs.dense("a", 5), configs.layer(kind, "norm", **settings))
    norm = {"gamma": draw(5, seed=2), "beta": draw(5, seed=3)}
    if kind == "BatchNormalization":
        norm |= {"moving_mean": draw(5, seed=4), "moving_variance": draw(5, seed=5) ** 2}
    source = write_model(config, {"a": configs.dense_arrays(4, 5), "norm": norm})

    report = torchward.verify(source, Chain(a=nn.Linear(4, 5), norm=own))

    assert report.first_difference.startswith("after layer 2 of 2, 'norm' (layer 1 agrees")
    assert "epsilon. It is 1e-05 here, 0.001 in the legacy model. At norm." in report.likely[0]


def test_gates_in_the_order_of_keras_are_named(
    configs: Any, write_model: WriteModel, tmp_path: Path
) -> None:
    config = configs.sequential(
        configs.layer(
            "GRU",
            "gru",
            units=3,
            reset_after=True,
            activation="tanh",
            recurrent_activation="sigmoid",
        ),
        shape=(None, 6, 4),
    )
    arrays = {
        "kernel": draw(4, 9),
        "recurrent_kernel": draw(3, 9, seed=1),
        "bias": draw(2, 9, seed=2),
    }
    source = write_model(config, {"gru": arrays})

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(4, 3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.gru(x)[0][:, -1]

    module = Recurrent()
    state = {
        "gru.weight_ih_l0": arrays["kernel"].T,
        "gru.weight_hh_l0": arrays["recurrent_kernel"].T,
        "gru.bias_ih_l0": arrays["bias"][0],
        "gru.bias_hh_l0": arrays["bias"][1],
    }

    report = torchward.verify(source, module, weights=save(module, state, tmp_path))

    assert report.likely[0].startswith("GRU gate order. Keras has z, r, h; torch r, z, n.")


def test_two_faults_are_both_named(configs: Any, write_model: WriteModel) -> None:
    config = configs.sequential(
        configs.dense("a", 5, "relu"),
        configs.layer("LayerNormalization", "norm", epsilon=1e-3),
        configs.dense("b", 3, "tanh"),
    )
    norm = {"gamma": draw(5, seed=2), "beta": draw(5, seed=3)}
    arrays = {"a": configs.dense_arrays(4, 5), "norm": norm, "b": configs.dense_arrays(5, 3, 1)}
    module = Chain(a=nn.Linear(4, 5), act=nn.SiLU(), norm=nn.LayerNorm(5), b=nn.Linear(5, 3))

    report = torchward.verify(write_model(config, arrays), module)

    assert [likely.split(".")[0] for likely in report.likely] == [
        "activation",
        "LayerNorm epsilon",
        "activation",
    ]


def test_what_nothing_explains_has_no_likely_cause(
    configs: Any, write_model: WriteModel, tmp_path: Path
) -> None:
    source = dense_pair(configs, write_model)
    module = dense_chain(torch.relu)
    first, second = configs.dense_arrays(4, 5), configs.dense_arrays(5, 3, 1)
    state = {"a.weight": first["kernel"].T, "a.bias": first["bias"]}
    state |= {"b.weight": second["kernel"].T, "b.bias": second["bias"] + 0.5}

    report = torchward.verify(source, module, weights=save(module, state, tmp_path))

    assert not report.passed
    assert report.first_difference.startswith("after layer 3 of 3, 'b' (layers 1-2 agree")
    assert report.likely == ()


def test_scale_that_the_legacy_model_has_not_is_named(
    configs: Any, write_model: WriteModel
) -> None:
    source = dense_pair(configs, write_model)

    report = torchward.verify(source, dense_chain(torch.relu, partial(torch.mul, other=1.1)))

    assert report.likely == (
        "activation. The legacy model has none where this module has mul. At mul (layer 3).",
    )
