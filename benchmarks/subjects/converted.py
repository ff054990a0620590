"""A converted network, and the same network written by hand: forward passes and training steps on the CPU."""

from __future__ import annotations

import json
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from benchmarks.subjects import Prepared
from benchmarks.subjects.keras_networks import (
    CLASSES,
    CONFIGURATIONS,
    FEATURES,
    IMAGE_SIZE,
    TIME,
    TOKENS,
    WIDTH,
)
from benchmarks.subjects.plain_networks import NETWORKS, copy_weights
from converters.build import ConvertedModel
from converters.configuration.models import parse_model_config
from converters.lowering import Lowering, lower_model
from converters.passes.input_layout import change_input_layout

SHAPES = {
    "resnet": (3, IMAGE_SIZE, IMAGE_SIZE),
    "lstm": (TIME, FEATURES),
    "transformer": (TOKENS, WIDTH),
}


def build_converted(name: str) -> ConvertedModel:
    """Return the module that a Keras file of this network converts to, with images channels first."""
    torch.manual_seed(0)
    lowering = Lowering()
    graph = parse_model_config(json.dumps(CONFIGURATIONS[name]()), generation=2, version="2.15.0")
    architecture = lower_model(graph, lowering)
    if lowering.problems:
        raise lowering.problems[0]
    architecture, _ = change_input_layout(
        architecture, lowering.origins, legacy="nhwc", wanted="nchw"
    )
    return ConvertedModel(architecture)


def build_plain(name: str) -> nn.Module:
    """Return the network written by hand, with the weights of the converted one."""
    network = NETWORKS[name]()
    with torch.no_grad():
        copy_weights(network, build_converted(name).state_dict())
    return network


class NetworkSubject:
    """One of the networks as a task "resnet forward 32" or "lstm train 32".

    Args:
        converted: the converted module, else the one written by hand.
        threads: of torch within an operation.
    """

    def __init__(self, *, converted: bool, threads: int) -> None:
        torch.set_num_threads(threads)
        self._build = build_converted if converted else build_plain

    def prepare(self, task: str) -> Prepared:
        """Return a forward pass or a training step of a network, ready to be timed."""
        name, kind, batch = task.split()
        network = self._build(name)
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(int(batch), *SHAPES[name], generator=generator)
        labels = torch.randint(0, CLASSES, (int(batch),), generator=generator)
        if kind == "forward":
            return Prepared(lambda count: _forward(network.eval(), x, count))
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
        return Prepared(lambda count: _train(network.train(), optimizer, x, labels, count))

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Return nothing: these networks are not written."""
        return ()


def _forward(network: nn.Module, x: Tensor, count: int) -> None:
    with torch.inference_mode():
        for _ in range(count):
            network(x)


def _train(
    network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor, count: int
) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
