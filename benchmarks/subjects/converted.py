"""A converted network, and the same network written by hand: forward passes and training steps on the CPU.

Before anything is timed, its outputs are compared with those of the network written by hand in float64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from benchmarks.subjects import Prepared
from benchmarks.subjects.keras_networks import (
    CONFIGURATIONS,
    FEATURES,
    IMAGE_SIZE,
    TIME,
    TOKENS,
    WIDTH,
)
from benchmarks.subjects.plain_networks import NETWORKS, copy_weights
from benchmarks.subjects.transitions import ACTIONS, OBSERVATION_SIZE
from converters.configuration.models import parse_model_config
from converters.live.model import ConvertedModel
from converters.lowering import Lowering, lower_model
from converters.passes.input_layout import change_input_layout
from parity_tests.tolerances import find_tolerance

SHAPES = {
    "dqn": (OBSERVATION_SIZE,),
    "resnet": (3, IMAGE_SIZE, IMAGE_SIZE),
    "lstm": (TIME, FEATURES),
    "transformer": (TOKENS, WIDTH),
}
LABELS = ACTIONS
"""Every network has at least as many outputs."""
LEARNING_RATE = 1e-3
COMPARED = 4
"""Examples of a batch whose outputs are compared: enough to see another function, quick for ResNet50 in float64."""
DIFFERENCE = "off from float64 by"
"""Name of the detail that says how the outputs compare."""


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


def draw_inputs(name: str, batch: int) -> tuple[Tensor, Tensor]:
    """Return what every subject computes on: inputs, images with channels first, and (batch,) labels."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, *SHAPES[name], generator=generator)
    return x, torch.randint(0, LABELS, (batch,), generator=generator)


def check_outputs(name: str, compute: Callable[[Tensor], Tensor], x: Tensor) -> str:
    """Compare a network at inference with the one written by hand in float64, which has the same weights.

    Args:
        name: of the network.
        compute: the network that is going to be timed.
        x: its inputs, images with channels first; the first `COMPARED` are taken.

    Returns:
        The worst difference, relative to the largest output, as text.

    Raises:
        ValueError: It is more than rounding explains: another function would be timed.
    """
    x = x[:COMPARED]
    exact = build_plain(name).double().eval()
    with torch.inference_mode():
        wanted, found = exact(x.double()), compute(x)
    if found.shape != wanted.shape:
        message = f"{name}: found outputs {tuple(found.shape)}, needed {tuple(wanted.shape)}"
        raise ValueError(message)
    worst = float((found - wanted).abs().max() / wanted.abs().max())
    allowed = find_tolerance("deep_forward", "float32").relative
    if not worst <= allowed:  # NaN is no agreement
        message = f"{name} computes another function: outputs off by {worst:.1e} of the largest, allowed {allowed:.1e}"
        raise ValueError(message)
    return f"{worst:.1e}"


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
        """Return a forward pass or a training step of a network, ready to be timed.

        Raises:
            ValueError: The network computes something else than the one written by hand.
        """
        name, kind, batch = task.split()
        network = self._build(name)
        x, labels = draw_inputs(name, int(batch))
        details = {DIFFERENCE: check_outputs(name, network.eval(), x)}
        if kind == "forward":
            return Prepared(lambda count: _forward(network, x, count), details=details)
        network.train()
        optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
        return Prepared(lambda count: _train(network, optimizer, x, labels, count), details=details)

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
