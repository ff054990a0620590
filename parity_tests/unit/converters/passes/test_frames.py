from __future__ import annotations

import torch

from converters.architecture import Architecture, InputValue, Step
from converters.live.model import ConvertedModel
from converters.passes.frames import keep_frames_joined

JOIN = {"start_dim": 0, "end_dim": 1}


def distributed(op: str, taken: str, made: str) -> list[Step]:
    """Return a function of every time step, as TimeDistributed is lowered."""
    return [
        Step("torch.flatten", (taken,), f"{made}_frames", kwargs=JOIN),
        Step(op, (f"{made}_frames",), f"{made}_each"),
        Step("compat.split_time", (f"{made}_each", taken), made),
    ]


def operations(steps: list[Step], outputs: tuple[str, ...]) -> list[str]:
    settled, origins = keep_frames_joined(steps, [("layer",)] * len(steps), outputs)
    assert len(origins) == len(settled)
    x = torch.linspace(-2, 2, 24).reshape(2, 3, 4)
    before, after = (
        ConvertedModel(
            Architecture("Net", (InputValue("x", (None, 3, 4), "float32"),), outputs, tuple(each), "list")
        )(x)
        for each in (steps, settled)
    )  # fmt: skip
    assert all(torch.equal(legacy, found) for legacy, found in zip(before, after, strict=True))
    return [step.op for step in settled]


def test_frames_stay_joined_between_two_layers() -> None:
    steps = [*distributed("torch.tanh", "x", "a"), *distributed("torch.exp", "a", "b")]

    found = operations(steps, ("b",))

    assert found.count("torch.flatten") == 1


def test_frames_that_are_taken_apart_in_between_are_joined_again() -> None:
    steps = [
        *distributed("torch.tanh", "x", "a"),
        Step("F.softmax", ("a",), "s", kwargs={"dim": 1}),
        *distributed("torch.exp", "s", "b"),
    ]

    assert operations(steps, ("b",)).count("torch.flatten") == 2


def test_joined_frames_that_are_returned_are_still_made() -> None:
    steps = [*distributed("torch.tanh", "x", "a"), *distributed("torch.exp", "a", "b")]

    assert operations(steps, ("b", "b_frames")).count("torch.flatten") == 2


def test_split_of_one_layer_that_others_need_remains() -> None:
    steps = [*distributed("torch.tanh", "x", "a"), *distributed("torch.exp", "a", "b")]

    assert operations(steps, ("a", "b")).count("compat.split_time") == 2
