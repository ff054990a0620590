"""What the benchmark of converted networks rests on: both sides compute the same, and the converted one compiles."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks.subjects.converted import (
    DIFFERENCE,
    SHAPES,
    NetworkSubject,
    build_converted,
    build_plain,
    check_outputs,
    draw_inputs,
)
from benchmarks.subjects.plain_networks import Transformer
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


@pytest.mark.parametrize("task", ["dqn train 2", "lstm forward 1", "lstm train 2"])
def test_tasks_run(task: str) -> None:
    subject = NetworkSubject(converted=True, threads=torch.get_num_threads())

    prepared = subject.prepare(task)
    prepared.operation(2)

    assert 0 < float(str(prepared.details[DIFFERENCE])) < 1e-6
    assert task.rsplit(" ", 1)[0] in {each.rsplit(" ", 1)[0] for each in CONVERTED_CASES.values()}


def normalized_otherwise() -> Callable[[Tensor], Tensor]:
    network = build_plain("transformer").eval()
    assert isinstance(network, Transformer)
    network.blocks[3].norm_2.eps = 1e-3  # type: ignore[union-attr, unused-ignore]  # Keras's own default
    return network


def with_dropout() -> Callable[[Tensor], Tensor]:
    return build_plain("dqn").train()


def with_another_bias() -> Callable[[Tensor], Tensor]:
    network = build_plain("lstm").eval()
    network.get_parameter("lstm_2.bias_ih_l0").data[7] += 1e-3
    return network


@pytest.mark.parametrize(
    ("name", "build"),
    [("transformer", normalized_otherwise), ("dqn", with_dropout), ("lstm", with_another_bias)],
)
def test_another_function_is_not_timed(
    name: str, build: Callable[[], Callable[[Tensor], Tensor]]
) -> None:
    x, _ = draw_inputs(name, 2)

    with pytest.raises(ValueError, match=f"{name} computes another function"):
        check_outputs(name, build(), x)


def test_outputs_without_numbers_are_no_agreement() -> None:
    x, _ = draw_inputs("dqn", 2)

    with pytest.raises(ValueError, match="off by nan"):
        check_outputs("dqn", lambda x: torch.full((2, 5), torch.nan), x)
    with pytest.raises(ValueError, match=r"found outputs \(2, 4\), needed \(2, 5\)"):
        check_outputs("dqn", lambda x: torch.zeros(2, 4), x)
