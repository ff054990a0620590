from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.errors import UnsupportedError
from converters.plan import plan_conversion
from converters.planned import Plan
from converters.readers import read_checkpoint
from torch_impl.keras_compat.conv_recurrent import ConvLSTM, MaskedConvLSTM

WriteModel = Callable[..., Path]
TIME, HEIGHT, WIDTH, CHANNELS, FILTERS = 3, 5, 4, 2, 3


def arrays_of(channels: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    draws = np.random.default_rng(seed)
    shapes = {
        "kernel": (3, 2, channels, 4 * FILTERS),
        "recurrent_kernel": (3, 2, FILTERS, 4 * FILTERS),
        "bias": (4 * FILTERS,),
    }
    return {
        role: draws.normal(size=shape).astype(np.float32) * 0.5 for role, shape in shapes.items()
    }


def entry(configs: Any, name: str = "layer", **settings: Any) -> Any:
    words = {"filters": FILTERS, "kernel_size": [3, 2], "recurrent_activation": "sigmoid"}
    return configs.layer("ConvLSTM2D", name, **(words | settings))


def plan_of(path: Path) -> Plan:
    return plan_conversion(read_checkpoint(path))


def test_channels_first_is_the_same_with_the_channels_moved(
    write_model: WriteModel, configs: Any, tmp_path: Path
) -> None:
    models = []
    last = (None, TIME, HEIGHT, WIDTH, CHANNELS)
    first = (None, TIME, CHANNELS, HEIGHT, WIDTH)
    for data_format, shape in (("channels_last", last), ("channels_first", first)):
        layer = entry(configs, data_format=data_format, return_sequences=True, padding="same")
        config = configs.sequential(layer, shape=shape)
        path = write_model(config, {"layer": arrays_of(CHANNELS)}, name=f"{data_format}.h5")
        torchward.convert(path, tmp_path / f"{data_format}.pth")
        models.append(torchward.load(tmp_path / f"{data_format}.pth"))
    x = torch.from_numpy(np.random.default_rng(7).normal(size=(2, *last[1:])).astype(np.float32))

    with torch.no_grad():
        y_last, y_first = models[0](x), models[1](x.movedim(-1, 2))

    torch.testing.assert_close(y_last.movedim(-1, 2), y_first, rtol=0, atol=1e-6)


def test_channels_are_moved_once_before_and_once_behind_a_stack(
    write_model: WriteModel, configs: Any
) -> None:
    config = configs.sequential(
        entry(configs, "lower", return_sequences=True),
        configs.layer("BatchNormalization", "norm", axis=4, scale=False, center=False),
        entry(configs, "upper"),
        shape=(None, TIME, 9, 8, CHANNELS),
    )
    norm = {role: np.ones(FILTERS, np.float32) for role in ("moving_mean", "moving_variance")}
    arrays = {"lower": arrays_of(CHANNELS), "norm": norm, "upper": arrays_of(FILTERS)}

    steps = plan_of(write_model(config, arrays)).architecture.steps

    operations = [step.op for step in steps]
    assert operations == [
        *("torch.permute", "compat.ConvLSTM", "compat.BatchNorm", "compat.ConvLSTM"),
        "torch.permute",
    ]
    assert steps[2].kwargs["axis"] == 2


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({"padding": "causal"}, (None, TIME, HEIGHT, WIDTH, CHANNELS), "padding"),
        (
            {"padding": "same", "strides": 2},
            (None, TIME, None, WIDTH, CHANNELS),
            "spatial axes of known size",
        ),
        ({}, (None, HEIGHT, WIDTH, CHANNELS), "needed is one input"),
    ],
    ids=["padding", "free size", "no time"],
)
def test_what_has_no_counterpart_is_refused(
    settings: dict[str, Any],
    shape: tuple[int | None, ...],
    message: str,
    write_model: WriteModel,
    configs: Any,
) -> None:
    config = configs.sequential(entry(configs, **settings), shape=shape)

    with pytest.raises(UnsupportedError, match=message):
        plan_of(write_model(config, {"layer": arrays_of(CHANNELS)}))


def test_words_and_gates_of_keras_1_are_read(write_model: WriteModel, configs: Any) -> None:
    config = {
        "name": "layer",
        "nb_filter": FILTERS,
        "nb_row": 3,
        "nb_col": 2,
        "border_mode": "same",
        "subsample": [1, 1],
        "dim_ordering": "tf",
        "inner_activation": "hard_sigmoid",
    }
    whole = arrays_of(CHANNELS)
    letters = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}
    gates = {
        f"{letter}_{gate}": np.split(whole[role], 4, axis=-1)["ifco".index(gate)]
        for gate in "icfo"
        for letter, role in letters.items()
    }
    shape = (None, TIME, HEIGHT, WIDTH, CHANNELS)
    network = configs.sequential({"class_name": "ConvLSTM2D", "config": config}, shape=shape)

    plan = plan_of(write_model(network, {"layer": gates}, version="1.2.2"))

    step = plan.architecture.steps[1]
    assert step.kwargs["recurrent_activation"] == "compat.hard_sigmoid_keras2"
    assert step.kwargs["kernel_size"] == (3, 2)
    kernel = next(move for move in plan.moves if move.target == "layer.weight_ih")
    np.testing.assert_array_equal(kernel.source.read(), whole["kernel"])


def test_masked_steps_change_nothing() -> None:
    torch.manual_seed(1)
    plain = ConvLSTM(CHANNELS, FILTERS, (3, 2), return_state=True).double()
    masked = MaskedConvLSTM(CHANNELS, FILTERS, (3, 2), return_state=True).double()
    masked.load_state_dict(plain.state_dict())
    x = torch.randn(2, 5, CHANNELS, HEIGHT, WIDTH, dtype=torch.float64)
    mask = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])

    results = masked(x, mask)

    for sample in range(len(x)):
        kept = plain(x[sample : sample + 1, mask[sample]])
        for found, wanted in zip(results, kept, strict=True):
            torch.testing.assert_close(found[sample : sample + 1], wanted, rtol=0, atol=1e-14)


def test_output_of_masked_cells_is_that_of_the_step_before_and_at_first_0() -> None:
    torch.manual_seed(2)
    layer = MaskedConvLSTM(CHANNELS, FILTERS, (3,), pad=(1, 1), return_sequences=True)
    mask = torch.ones(1, TIME, WIDTH, dtype=torch.bool)
    mask[0, 0, 1] = mask[0, 2, 3] = False

    y = layer(torch.randn(1, TIME, CHANNELS, WIDTH), mask)

    assert not y[0, 0, :, 1].any()
    assert torch.equal(y[0, 2, :, 3], y[0, 1, :, 3])
    assert (y[0, 2, :, :3] != y[0, 1, :, :3]).all()


def test_mask_of_other_cells_than_the_state_has_is_refused(
    write_model: WriteModel, configs: Any
) -> None:
    inner = entry(configs, "inner")
    config = configs.sequential(
        configs.layer("Masking", "masking", mask_value=0.0),
        configs.layer("Bidirectional", "layer", layer=inner),
        shape=(None, TIME, HEIGHT, WIDTH, CHANNELS),
    )
    both = {f"{side}/{role}": array for side in "fb" for role, array in arrays_of(CHANNELS).items()}

    with pytest.raises(UnsupportedError, match=r"its mask has cells \(5, 4\)"):
        plan_of(write_model(config, {"layer": both}))
