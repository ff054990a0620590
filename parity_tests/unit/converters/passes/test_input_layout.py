from __future__ import annotations

from pathlib import Path

import pytest
import torch

import torchward
from converters.errors import UnsupportedError
from parity_tests import FIXTURES


@pytest.mark.parametrize("case", ["k315_conv_bn", "k315_image_and_vector"])
def test_images_come_in_with_channels_first_on_request(case: str, tmp_path: Path) -> None:
    source = FIXTURES / case / "model.keras"
    torchward.convert(source, tmp_path / "last.pth")
    torchward.convert(source, tmp_path / "first.pth", input_layout="nchw")
    last, first = torchward.load(tmp_path / "last.pth"), torchward.load(tmp_path / "first.pth")
    draws = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn([3, *value.shape[1:]], generator=draws)  # type: ignore[index, misc]
        for value in last.architecture.inputs
    ]
    moved = [x.movedim(-1, 1) if x.dim() == 4 else x for x in inputs]

    torch.testing.assert_close(first(*moved), last(*inputs), rtol=0, atol=0)
    again = torchward.load(tmp_path / "first.pth", input_layout="nhwc")
    torch.testing.assert_close(again(*inputs), last(*inputs), rtol=0, atol=0)


def test_move_of_channels_at_the_start_is_gone(tmp_path: Path) -> None:
    source = FIXTURES / "k315_conv_bn" / "model.keras"

    torchward.convert(source, tmp_path / "m.pth", input_layout="nchw")

    model = torchward.load(tmp_path / "m.pth")
    assert [step.op for step in model.architecture.steps[:2]].count("torch.permute") == 0
    shape = model.architecture.inputs[0].shape
    assert shape is not None
    assert shape[1] < shape[2]


def test_other_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="no input layout 'chw'"):
        torchward.convert(
            FIXTURES / "k315_conv_bn" / "model.keras", tmp_path / "m.pth", input_layout="chw"
        )


def test_network_without_images_is_left_alone(tmp_path: Path) -> None:
    source = FIXTURES / "k315_mlp_named" / "model.keras"

    report = torchward.convert(source, tmp_path / "m.pth", input_layout="nchw")

    assert report.input_layout is None
