"""Several gradient steps of a network in one compiled call.

The whole step is traced: targets, loss, gradients, clipping and Adam, in the functions that eager updates use. Where the
matrices are small, dispatching costs more than arithmetic, and five things avoid it: several updates are
unrolled into a call, the target network, which stays as it is, is evaluated once for all of these, parameters and
moments lie in one vector each (clipping and Adam are one loop over it), inductor's C++ wrapper calls the CPU's kernels
without Python in between, and the trace goes to inductor directly, because the guards of `torch.compile` take as long
as an update. `gradient_steps.py` calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.fx.experimental.proxy_tensor import make_fx

from torch_impl.keras_compat.gradient_clipping import global_clip_scale
from torch_impl.keras_compat.optimizers import Adam, adam_step_size, adam_update
from torch_impl.keras_compat.parameter_groups import Group
from torch_impl.losses import Network, TensorBatch

Masks = Mapping[str, Tensor]
Loss = Callable[[Network, Network, TensorBatch, Masks], Tensor]
"""Network, target network, a batch and dropout masks by layer name, to the mean loss, 0-d."""


class CompilingError(RuntimeError):
    """The updates cannot be compiled here; the message says why. Nothing has been changed."""


@dataclass(frozen=True, slots=True)
class CompileReport:
    """What compiling has cost so far."""

    seconds: float = 0.0  # of the calls that compiled, each with its updates
    graphs: int = 0  # one for every number of updates in a call and size of batches
    cached: int = 0  # of these, found in inductor's cache on disk

    def __add__(self, other: CompileReport) -> CompileReport:
        """Return the sums."""
        return CompileReport(
            self.seconds + other.seconds, self.graphs + other.graphs, self.cached + other.cached
        )


Key = tuple[object, ...]
"""What one compiled function is made for: numbers, names, shapes and dtypes."""


class FlatTensors:
    """One vector, and the tensors that are views of its parts from here on.

    A parameter stays an ordinary one: what writes into it in place writes into the vector. What gives it other
    storage (`module.to(...)`, `optimizer.load_state_dict(...)`) is noticed by `holds`.

    Args:
        tensors: of one dtype and device; their storage is replaced, their values stay.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.vector = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        parts = torch.split(self.vector, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.data = part.view(tensor.shape)
        self._addresses = [tensor.data_ptr() for tensor in tensors]

    def holds(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether the tensors are still the views made here."""
        return [tensor.data_ptr() for tensor in tensors] == self._addresses


class Numbers(NamedTuple):
    """Adam's constants; they are part of the compiled code."""

    beta_1: float
    beta_2: float
    epsilon: float
    global_clipnorm: float | None


class CompiledSteps:
    """Trains a network on batches with Keras' Adam, compiled; network and optimizer are changed in place.

    Every shape of `batches` is compiled at its first call, for 5 to 30 seconds, or a few if inductor's cache on
    disk has it. `gamma` and the like, which the loss holds, are part of the code as well.

    Args:
        network: in eval mode; dropout is what the masks say.
        target_network: of the same parameters.
        optimizer: over all parameters of `network`.
        loss: differentiable in the parameters of the network that it is given.

    Raises:
        CompilingError: The optimizer has options that are not compiled, or there is no C++ compiler.
    """

    def __init__(
        self, network: nn.Module, target_network: nn.Module, optimizer: Adam, loss: Loss
    ) -> None:
        self.report = CompileReport()
        self._network, self._target_network = network, target_network
        self._optimizer, self._loss = optimizer, loss
        self._parameters: list[Tensor] = list(network.parameters())
        self._target_parameters: list[Tensor] = list(target_network.parameters())
        self._flat: dict[str, FlatTensors] = {}
        self._compiled: dict[Key, Callable[..., Tensor]] = {}
        check_optimizer(optimizer)
        check_compiler(self._parameters[0].device)

    @torch.no_grad()
    def __call__(self, batches: TensorBatch, masks: Masks) -> Tensor:
        """Take one step on every batch in turn and return the loss before each.

        Args:
            batches: (updates, batch, ...) each.
            masks: dropout masks by layer name, (updates, batch, units) each.

        Returns:
            (updates,).

        Raises:
            CompilingError: The first call with these shapes could not be compiled; no step was taken.
        """
        (group,) = self._optimizer.param_groups
        slots = self._optimizer.slot_tensors(self._parameters, self._optimizer.slots(group))
        sizes = _step_sizes(self._optimizer, group, count=len(batches.reward))
        vectors = [
            self._vector("parameters", self._parameters),
            self._vector("target", self._target_parameters),
            *(self._vector(name, tensors) for name, tensors in slots.items()),
        ]
        step_sizes = torch.tensor(sizes, dtype=vectors[0].dtype, device=vectors[0].device)
        # The code is made for contiguous inputs and does not look at the strides of later ones.
        inputs = [tensor.contiguous() for tensor in (*batches, *masks.values())]
        numbers = Numbers(*(group[name] for name in Numbers._fields))
        arguments = [*vectors, step_sizes, *inputs]
        layout = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in arguments)
        key = (numbers, tuple(slots), tuple(masks), layout)
        if key not in self._compiled:
            steps = self._unroll(numbers, slot_names=tuple(slots), mask_names=tuple(masks))
            self._compiled[key] = self._compile(steps, arguments)
        losses = self._compiled[key](*arguments)
        group["iterations"] += len(sizes)
        return losses

    def _vector(self, name: str, tensors: Sequence[Tensor]) -> Tensor:
        """Return the vector that the tensors are views of; they are made so where they are not."""
        if name not in self._flat or not self._flat[name].holds(tensors):
            self._flat[name] = FlatTensors(tensors)
        return self._flat[name].vector

    def _compile(
        self, steps: Callable[..., Tensor], arguments: Sequence[Tensor]
    ) -> Callable[..., Tensor]:
        """Return the compiled function and add what it cost to the report."""
        from torch._dynamo.utils import counters

        cached, start = counters["inductor"]["fxgraph_cache_hit"], time.perf_counter()
        compiled: Callable[..., Tensor] = compile_function(steps, arguments)
        cached = counters["inductor"]["fxgraph_cache_hit"] - cached
        self.report += CompileReport(time.perf_counter() - start, 1, int(cached > 0))
        return compiled

    def _unroll(
        self, numbers: Numbers, *, slot_names: tuple[str, ...], mask_names: tuple[str, ...]
    ) -> Callable[..., Tensor]:
        """Return the function that is traced; its updates are as many as its step sizes."""

        def steps(parameters: Tensor, target: Tensor, *others: Tensor) -> Tensor:
            slots = dict(zip(slot_names, others, strict=False))
            step_sizes, *inputs = others[len(slots) :]
            batches = TensorBatch(*inputs[: len(TensorBatch._fields)])
            all_masks = dict(zip(mask_names, inputs[len(batches) :], strict=True))
            target_network = _with_parameters(self._target_network, target)
            following = _evaluate_together(target_network, batches.next_observation)
            losses = []
            for index in range(len(step_sizes)):
                batch, masks = select_update(batches, all_masks, index)
                known = _with_value(target_network, batch.next_observation, following[index])
                # Arguments get new identities inside of grad_and_value; what is bound here keeps its own.
                loss_of = partial(self._loss_of, target_network=known, batch=batch, masks=masks)
                gradient, loss = grad_and_value(loss_of)(parameters)
                _apply(parameters, gradient, slots, step_sizes[index], numbers)
                losses.append(loss)
            return torch.stack(losses)

        return steps

    def _loss_of(
        self, parameters: Tensor, *, target_network: Network, batch: TensorBatch, masks: Masks
    ) -> Tensor:
        network = _with_parameters(self._network, parameters)
        return self._loss(network, target_network, batch, masks)


def compile_function(
    function: Callable[..., Any], arguments: Sequence[Tensor]
) -> Callable[..., Any]:
    """Trace a function of tensors and return what inductor makes of the trace; it takes the same number of tensors.

    Args:
        function: what it returns is its own: Any.
        arguments: of the shapes, dtypes and strides that it will be called with.

    Raises:
        CompilingError: The compiler failed.
    """
    import torch._inductor

    options: dict[str, Any] = {"cpp_wrapper": True} if arguments[0].device.type == "cpu" else {}
    try:
        graph = make_fx(function, tracing_mode="fake")(*arguments)
        compiled: Callable[..., Any] = torch._inductor.compile(
            graph, list(arguments), options=options
        )
    except RuntimeError as error:  # what inductor and the compilers behind it raise
        # The rest of the message is the trace through the compiler.
        reason = str(error).strip().partition("\n")[0]
        msg = f"compiling failed with {type(error).__name__}: {reason}"
        raise CompilingError(msg) from error
    return compiled


def _with_parameters(network: nn.Module, vector: Tensor) -> Network:
    """Return the network as a function whose parameters are the parts of the vector."""
    named = dict(network.named_parameters())
    parts = torch.split(vector, [parameter.numel() for parameter in named.values()])
    shaped = {
        name: part.view(parameter.shape)
        for (name, parameter), part in zip(named.items(), parts, strict=True)
    }
    return lambda *inputs: functional_call(network, shaped, inputs)


def _evaluate_together(network: Network, inputs: Tensor) -> Tensor:
    """Return the outputs for (updates, batch, ...) as one batch: long products are faster than short ones."""
    values = network(inputs.flatten(0, 1))
    return values.reshape(*inputs.shape[:2], *values.shape[1:])


def _with_value(network: Network, known: Tensor, value: Tensor) -> Network:
    """Return the network as a function that has its value for the tensor `known` already."""
    return lambda *inputs: value if inputs[0] is known and not inputs[1:] else network(*inputs)


def _apply(
    parameters: Tensor,
    gradient: Tensor,
    slots: Mapping[str, Tensor],
    step_size: Tensor,
    numbers: Numbers,
) -> None:
    """Clip the gradient and take Adam's step, in place."""
    if numbers.global_clipnorm:
        norm = torch.linalg.vector_norm(gradient)
        gradient = gradient * global_clip_scale(norm, numbers.global_clipnorm)
    largest = [slots["max_exp_avg_sq"]] if "max_exp_avg_sq" in slots else None
    adam_update(
        [parameters],
        [gradient],
        [slots["exp_avg"]],
        [slots["exp_avg_sq"]],
        step_size,
        beta_1=numbers.beta_1,
        beta_2=numbers.beta_2,
        epsilon=numbers.epsilon,
        max_exp_avg_sqs=largest,
    )


def select_update(
    batches: TensorBatch, masks: Masks, index: int | slice
) -> tuple[TensorBatch, dict[str, Tensor]]:
    """Return the batch and the masks of one update, or of a slice of them."""
    batch = TensorBatch(*(field[index] for field in batches))
    return batch, {name: mask[index] for name, mask in masks.items()}


def _step_sizes(optimizer: Adam, group: Group, *, count: int) -> list[float]:
    """Return Adam's step size of each of the next updates; the group is left as it was."""
    first, dtype = group["iterations"], group["params"][0].dtype
    sizes = []
    try:
        for iterations in range(first, first + count):
            group["iterations"] = iterations  # learning_rate() follows the schedule by it
            rate = optimizer.learning_rate(group)
            sizes.append(adam_step_size(rate, group["beta_1"], group["beta_2"], iterations, dtype))
    finally:
        group["iterations"] = first
    return sizes


def check_optimizer(optimizer: Adam) -> None:
    """Raise CompilingError for what the compiled step leaves out."""
    options = (
        *("weight_decay", "clipnorm", "clipvalue", "use_ema", "gradient_accumulation_steps"),
        *("loss_scale_factor", "dynamic_scale", "constraints"),
    )
    groups = optimizer.param_groups
    found = [name for name in options if any(group[name] for group in groups)]
    if len(groups) != 1 or found or not isinstance(optimizer, Adam):
        msg = (
            f"{type(optimizer).__name__} with {len(groups)} parameter groups and "
            f"{', '.join(found) or 'no further options'}; compiled is Adam with one group, without {', '.join(options)}"
        )
        raise CompilingError(msg)


def check_compiler(device: torch.device) -> None:
    """Raise CompilingError if the CPU's kernels could not be compiled."""
    if device.type != "cpu":
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        msg = "no C++ compiler was found; install g++ or name one in the variable CXX"
        raise CompilingError(msg) from error
