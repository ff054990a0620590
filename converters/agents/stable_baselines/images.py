"""The networks that take in images: the one of the Nature paper, and those of users as far as they can be read."""

from __future__ import annotations

import re

from converters.agents.network import CHANNELS_FIRST, CHANNELS_LAST, AgentNetwork
from converters.agents.stable_baselines.settings import Policy
from converters.agents.stable_baselines.user_functions import ImageLayer, read_extractor
from converters.errors import AmbiguousTargetError, MismatchError

NATURE = ((8, 4), (4, 2), (3, 1))
"""Kernel size and stride of `nature_cnn`, without padding; relu behind each layer and behind the dense one."""


def add_images(network: AgentNetwork, policy: Policy, scope: str, x: str) -> str:
    """Return the features of images (batch, height, width, channels).

    Args:
        network: gets the layers, in a submodule `features`.
        policy: whose extractor it is.
        scope: of its variables: "model", "deepq/model/action_value".
        x: the images, scaled.

    Raises:
        AmbiguousTargetError: The strides are not in the file.
        MismatchError: The variables are not those of convolutions and one dense layer.
    """
    layers = _layers(network, policy, scope)
    with network.block("features"):
        x = network.call("torch.permute", x, dims=CHANNELS_FIRST)
        spatial = True
        for layer in layers:
            kernel, bias = f"{scope}/{layer.name}/w", f"{scope}/{layer.name}/b"
            if layer.stride:
                x = network.convolution(
                    x, layer.name, kernel, bias, stride=layer.stride, padding=layer.padding
                )
            else:
                if spatial:  # the rows of the next kernel are in the order height, width, channel
                    x = network.call("torch.permute", x, dims=CHANNELS_LAST)
                    x = network.call("torch.flatten", x, start_dim=1)
                    spatial = False
                x = network.linear(x, layer.name, kernel, bias)
            x = network.activation(layer.activation, x)
        if spatial:
            x = network.call("torch.permute", x, dims=CHANNELS_LAST)
            x = network.call("torch.flatten", x, start_dim=1)
    return x


def _layers(network: AgentNetwork, policy: Policy, scope: str) -> list[ImageLayer]:
    """Return the layers in order, with their strides."""
    kernels = {
        match[1]: network.arrays[name].shape
        for name in network.arrays
        if (match := re.fullmatch(re.escape(scope) + r"/([^/]+)/w", name))
        and match[1] not in ("pi", "vf", "q")
        and not re.fullmatch(r"(?:pi|vf|shared)_fc\d+|lstm\d+", match[1])
    }
    convolutions = [name for name, shape in kernels.items() if len(shape) == 4]
    if policy.extractor is not None:
        read = read_extractor(policy.extractor)
        if read is not None and [layer.name for layer in read] == list(kernels):
            return read
    if policy.graph is not None and all(
        f"{scope}/{name}" in policy.graph.convolutions for name in convolutions
    ):
        found = {name: policy.image_layer(scope, name) for name in kernels}
        return [ImageLayer(name, *each) for name, each in found.items() if each is not None]
    strides = policy.given.get("strides")
    if isinstance(strides, list) and len(strides) == len(convolutions):
        return _stated(policy, list(kernels), convolutions, strides)
    sizes = tuple(kernels[name][0] for name in convolutions)
    if sizes == tuple(size for size, _ in NATURE) and list(kernels) == ["c1", "c2", "c3", "fc1"]:
        steps = dict(zip(convolutions, (stride for _, stride in NATURE), strict=True))
        return [ImageLayer(name, steps.get(name, 0), "VALID", "relu") for name in kernels]
    if not convolutions:
        msg = f"'{scope}' has no convolutions by the names of stable-baselines"
        raise MismatchError(msg)
    shown = ", ".join(f"{name} {kernels[name]}" for name in convolutions)
    msg = f"the strides of the convolutions ({shown}) are in the user's own function, which is not run"
    example = ",".join("2" for _ in convolutions)
    raise AmbiguousTargetError(
        msg, hint=f"--set strides=[{example}] and, if not VALID, --set padding=SAME"
    )


def _stated(
    policy: Policy, names: list[str], convolutions: list[str], strides: list[object]
) -> list[ImageLayer]:
    stated = policy.given.get("padding", "VALID")
    paddings = stated if isinstance(stated, list) else [stated] * len(convolutions)
    steps = dict(zip(convolutions, zip(strides, paddings, strict=True), strict=True))
    activation = policy.given.get("activation", "relu")
    result = []
    for name in names:
        stride, padding = steps.get(name, (0, "VALID"))
        if not isinstance(stride, int):
            msg = f"--set strides: {stride!r:.20} is no number"
            raise MismatchError(msg)
        result.append(ImageLayer(name, stride, str(padding), str(activation)))
    return result
