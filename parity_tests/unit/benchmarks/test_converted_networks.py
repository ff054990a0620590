"""What the benchmark of converted networks rests on: both sides compute the same, and the converted one compiles."""

from __future__ import annotations

import pytest
import torch

from benchmarks.subjects.converted import (
    SHAPES,
    NetworkSubject,
    build_converted,
    build_plain,
)
from benchmarks.workloads import CONVERTED_CASES


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_converted_network_and_the_one_written_by_hand_compute_the_same(name: str) -> None:
    converted, plain = build_converted(name).eval(), build_plain(name).eval()
    x = torch.randn(2, *SHAPES[name], generator=torch.Generator().manual_seed(3))

    with torch.no_grad():
        torch.testing.assert_close(converted(x), plain(x), rtol=1e-4, atol=1e-5)

    count = sum(parameter.numel() for parameter in converted.parameters())
    second_biases = sum(
        parameter.numel()
        for key, parameter in plain.named_parameters()
        if key.endswith("bias_hh_l0")
    )
    assert count == sum(parameter.numel() for parameter in plain.parameters()) - second_biases


def test_both_sides_train_alike() -> None:
    name = "transformer"
    x = torch.randn(3, *SHAPES[name], generator=torch.Generator().manual_seed(3))
    losses = []

    for network in (build_converted(name), build_plain(name)):
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
        for _ in range(2):
            optimizer.zero_grad()
            loss = network.train()(x).square().mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())

    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("task", ["lstm forward 1", "lstm train 2"])
def test_tasks_run(task: str) -> None:
    subject = NetworkSubject(converted=True, threads=torch.get_num_threads())

    subject.prepare(task).operation(2)

    assert task.rsplit(" ", 1)[0] in {each.rsplit(" ", 1)[0] for each in CONVERTED_CASES.values()}
