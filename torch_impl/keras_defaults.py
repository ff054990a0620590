"""First values of a plain PyTorch module as Keras 3 would draw them.

PyTorch draws weights and biases from U(-1/sqrt(in), 1/sqrt(in)); Keras draws its kernels by Glorot and begins without biases:
the same network starts elsewhere and learns otherwise. For modules written in PyTorch; converted ones have the weights of
their file. What else differs by default is named by `changed_defaults`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

EMBEDDING_BOUND = 0.05
"""Of Keras' RandomUniform, which "uniform" stands for (keras 3.15.1, initializers/random_initializers.py)."""
KERNELS = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
"""Modules with one kernel, `weight`, and perhaps a bias."""
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
NORMALIZATIONS = (
    nn.modules.batchnorm._NormBase,  # batch and instance normalization of all kinds
    *(nn.GroupNorm, nn.LayerNorm, nn.RMSNorm),
)
_FORGET_GATE = 1
"""The second of four gates, in Keras (i, f, c, o) as in PyTorch (i, f, g, o)."""

Draws = Iterator[tuple[str, Tensor]]
"""Names of a module's own arrays, and their first values on the generator's device."""
Drawn = TypeVar("Drawn", bound=nn.Module)


def init_like_keras(module: Drawn, generator: torch.Generator | None = None) -> Drawn:
    """Draw the first values of every layer in the module by Keras' laws, and return the module.

    Kernels are Glorot-uniform, recurrent kernels orthogonal as a whole (all gates in one matrix), embeddings
    U(-0.05, 0.05). Biases are zero but for the forget gate of an LSTM, where the two of PyTorch sum to one. PReLU begins at
    zero, normalizations at one and zero. What Keras has no counterpart for stays as it is: Bilinear, EmbeddingBag, the
    parameters of your own classes, the row of an Embedding's `padding_idx`, `bias_k` and `bias_v` of an attention.

    Args:
        module: a layer or network, changed in place; trained or loaded values in it are lost.
        generator: decides the values, which are the same whatever device the module is on; None: PyTorch's global one.

    Raises:
        ValueError: A shape is not known before the first call, a weight is made from others by a hook, or a layer has a
            projection that Keras has not. Nothing has been changed then.

    Source: keras 3.15.1, the layers' `build` and `compute_fans` in initializers/random_initializers.py.
    """
    generator = torch.default_generator if generator is None else generator
    for place, layer in module.named_modules():
        _check(place or type(layer).__name__, layer)
    shared: set[int] = set()
    with torch.no_grad():
        for layer in module.modules():
            for name, values in _draw(layer, generator):
                target = getattr(layer, name)
                if parametrize.is_parametrized(layer, name):
                    setattr(layer, name, values.to(target))
                elif id(target) not in shared:  # the first layer that has a weight decides about it
                    target.copy_(values)
                    shared.add(id(target))
    return module


def glorot_bound(layer: nn.Module) -> float:
    """Return the bound of the uniform law that Keras draws this layer's kernel by, sqrt(6 / (fan_in + fan_out)).

    Args:
        layer: one of `KERNELS`.
    """
    first, second, *field = _tensor(layer, "weight").shape
    # Keras has depthwise layers of one and two dimensions; their kernel is (*field, channels, multiplier), so its
    # fans are not those of a grouped convolution with the same numbers, which is all there is for three dimensions.
    if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer.groups == layer.in_channels:
        first, second = layer.in_channels, layer.out_channels // layer.in_channels
    return math.sqrt(6 / (math.prod(field) * (first + second)))


def _check(place: str, layer: nn.Module) -> None:
    """Refuse a layer whose first values cannot be set."""
    if not isinstance(layer, tuple(kind for kinds, _ in _LAWS for kind in kinds)):
        return
    if any(isinstance(p, nn.UninitializedParameter) for p in layer.parameters(recurse=False)):
        msg = f"{place}: its shapes are not known before the first call of the module; call it once before"
        raise ValueError(msg)
    if getattr(layer, "proj_size", 0):
        msg = (
            f"{place}: Keras has no recurrent layer with a projection (proj_size={layer.proj_size})"
        )
        raise ValueError(msg)
    for name, value in vars(layer).items():
        if isinstance(value, Tensor) and name.startswith(("weight", "bias")):
            msg = f"{place}: a hook makes '{name}' from other parameters; draw before the hook is added"
            raise ValueError(msg)


def _draw(layer: nn.Module, generator: torch.Generator) -> Draws:
    """Yield the first values of a layer's own arrays; none for what Keras has no counterpart of."""
    for kinds, law in _LAWS:
        if isinstance(layer, kinds):
            yield from law(layer, generator)
            return


def _draw_kernel(layer: nn.Module, generator: torch.Generator) -> Draws:
    yield "weight", _uniform(_tensor(layer, "weight"), glorot_bound(layer), generator)
    if "bias" in _names(layer):
        yield "bias", torch.zeros(_tensor(layer, "bias").shape)


def _draw_recurrent(layer: nn.Module, generator: torch.Generator) -> Draws:
    """Yield the values of all layers and directions, each as a Keras layer of its own."""
    for name in _names(layer):
        tensor = _tensor(layer, name)
        if name.startswith("weight_ih"):
            yield name, _uniform(tensor, math.sqrt(6 / sum(tensor.shape)), generator)
        elif name.startswith("weight_hh"):
            # Keras' kernel (units, gates units) has orthonormal rows; this is its transpose, with orthonormal columns.
            yield name, nn.init.orthogonal_(_empty(tensor, generator), generator=generator)
        else:
            bias = torch.zeros(tensor.shape)
            if isinstance(layer, nn.LSTM | nn.LSTMCell) and name.startswith("bias_ih"):
                bias.view(4, -1)[_FORGET_GATE] = 1
            yield name, bias


def _draw_embedding(layer: nn.Embedding, generator: torch.Generator) -> Draws:
    values = _uniform(layer.weight, EMBEDDING_BOUND, generator)
    if layer.padding_idx is not None:
        values[layer.padding_idx] = layer.weight[layer.padding_idx].to(values)
    yield "weight", values


def _draw_attention(layer: nn.MultiheadAttention, generator: torch.Generator) -> Draws:
    """Yield the kernels of query, key and value, each by its own fans; `out_proj` is a Linear and has its turn."""
    for name in _names(layer):
        if name.endswith("proj_weight"):
            tensor = _tensor(layer, name)
            # in_proj_weight is three kernels (embed_dim, embed_dim) above each other: three draws of one law.
            fans = layer.embed_dim + tensor.shape[1]
            yield name, _uniform(tensor, math.sqrt(6 / fans), generator)
        elif name == "in_proj_bias":
            yield name, torch.zeros(_tensor(layer, name).shape)


def _draw_normalization(layer: nn.Module, generator: torch.Generator) -> Draws:
    del generator
    for name in (*_names(layer), *(name for name, _ in layer.named_buffers(recurse=False))):
        first = 1.0 if name in ("weight", "running_var") else 0.0
        yield name, torch.full(_tensor(layer, name).shape, first)


def _draw_slopes(layer: nn.PReLU, generator: torch.Generator) -> Draws:
    del generator
    yield "weight", torch.zeros(layer.weight.shape)


_LAWS: tuple[tuple[tuple[type[nn.Module], ...], Callable[..., Draws]], ...] = (
    (KERNELS, _draw_kernel),
    (RECURRENT, _draw_recurrent),
    ((nn.Embedding,), _draw_embedding),
    ((nn.MultiheadAttention,), _draw_attention),
    (NORMALIZATIONS, _draw_normalization),
    ((nn.PReLU,), _draw_slopes),
)


def _names(layer: nn.Module) -> list[str]:
    """Return the names of a layer's own parameters, also of those that are parametrized."""
    own = [name for name, _ in layer.named_parameters(recurse=False)]
    parametrized = getattr(layer, "parametrizations", None)
    return [*own, *(parametrized if isinstance(parametrized, nn.ModuleDict) else ())]


def _tensor(layer: nn.Module, name: str) -> Tensor:
    found = getattr(layer, name)
    if not isinstance(found, Tensor):
        msg = f"{type(layer).__name__} has no array '{name}'"
        raise TypeError(msg)
    return found


def _uniform(like: Tensor, bound: float, generator: torch.Generator) -> Tensor:
    return nn.init.uniform_(_empty(like, generator), -bound, bound, generator=generator)


def _empty(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return room for values of this shape where the generator draws; half precision is rounded afterwards."""
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    return torch.empty(like.shape, dtype=dtype, device=generator.device)
