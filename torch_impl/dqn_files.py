"""What a DQN agent takes from files that no agent wrote: converted Keras files and the guide's `_model.pth`.

Such a file has arrays and perhaps an optimizer, but no settings. It has no legacy mirror: Keras files say it all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch_impl.checkpoints import TorchCheckpoint

_TRUNK = ("nn.Linear", "F.relu", "nn.Dropout")


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of a converted network, in the order of a DQNetwork's.

    Attributes:
        names: as in the file, to names of a DQNetwork: {"dense": "fc1", "dense_1": "fc2"}.
        dropout: rate after every hidden layer but the last.
    """

    names: Mapping[str, str]
    dropout: list[float]


def read_layers(architecture: Mapping[str, Any]) -> Layers:  # Any: a foreign file, read by key
    """Return what the layers of a converted network are in a DQNetwork.

    Raises:
        ValueError: They compute something else: other activations, further layers, another order.
        KeyError, TypeError: The description is damaged.
    """
    value, linear, rates = architecture["inputs"][0][0], list[str](), list[float]()
    values = {value: "x"}
    steps = list(architecture["steps"])
    expected = "nn.Linear"
    # A dueling network goes on with its heads behind the first of its two last layers.
    while steps and steps[0]["inputs"] == [value] and steps[0]["op"] in _TRUNK:
        step = steps.pop(0)
        op, value = step["op"], step["output"]
        if op == "nn.Linear" == expected:
            linear.append(step["attribute"])
            rates.append(0.0)
            values = {value: "first", step["inputs"][0]: "x"}
            expected = "F.relu"
        elif op == "F.relu" == expected:
            expected = "nn.Linear"
        elif op == "nn.Dropout" and expected == "nn.Linear" and linear:
            rates[-1] = step["kwargs"]["p"]
        else:
            raise _other_network(step)
    # The last rate is the output's, the one before that of the last hidden layer, where a DQNetwork has none.
    if expected != "F.relu" or len(linear) < 2 or rates[-2]:
        raise _other_network(steps[0] if steps else None)
    names = {name: f"fc{index}" for index, name in enumerate(linear, start=1)}
    if steps:
        names |= _read_heads(steps, values, linear[-1], architecture["outputs"])
    elif architecture["outputs"] != [value]:
        raise _other_network(None)
    return Layers(names, rates[:-2])


def _read_heads(
    steps: Sequence[Mapping[str, Any]], values: dict[str, str], first: str, outputs: Sequence[str]
) -> dict[str, str]:
    """Return which of the two last layers is `advantage` and which `value`. Raises ValueError for other heads."""
    second = ""
    for step in steps:
        inputs = [values.get(name, name) for name in step["inputs"]]
        if step["op"] == "nn.Linear" and inputs == ["x"] and not second:
            second = step["attribute"]
            values[step["output"]] = "second"
            continue
        if step["kwargs"].get("dim", 1) != 1:
            raise _other_network(step)
        values[step["output"]] = f"{step['op']}({', '.join(inputs)})"
    found = [values.get(name, name) for name in outputs]
    for advantage, value, roles in (
        ("first", "second", {first: "advantage", second: "value"}),
        ("second", "first", {second: "advantage", first: "value"}),
    ):
        mean = f"torch.mean(torch.unflatten({advantage}))"
        centred = f"operator.sub({advantage}, {mean})"
        sums = (f"operator.add({value}, {centred})", f"operator.add({centred}, {value})")
        if len(found) == 1 and found[0] in sums:
            return roles
    raise _other_network(steps[-1])


def _other_network(step: Mapping[str, Any] | None) -> ValueError:
    place = "" if step is None else f" at {step['op']} ({step['output']})"
    return ValueError(
        f"the file's network computes something else than a DQNetwork{place}; needed Linear and ReLU, dropout "
        "at most after hidden layers but the last, then Linear, or value and centred advantage. "
        "torchward.load(path) returns the module as it is"
    )


def rename_layers(checkpoint: TorchCheckpoint) -> TorchCheckpoint:
    """Return the checkpoint of a converted network under the names of a DQNetwork; Keras' are often its own.

    Without an architecture in the file, nothing is renamed: shapes alone prove nothing.

    Raises:
        ValueError: The network is not a DQNetwork.
    """
    if checkpoint.architecture is None:
        return checkpoint
    names = read_layers(checkpoint.architecture).names

    def rename(name: str) -> str:
        layer, _, kind = name.rpartition(".")
        return f"{names.get(layer, layer)}.{kind}"

    about: Any = checkpoint.metadata.get("optimizer") or {}
    parameters = [rename(name) for name in about.get("parameters", checkpoint.model_state_dict)]
    return replace(
        checkpoint,
        model_state_dict={rename(k): tensor for k, tensor in checkpoint.model_state_dict.items()},
        metadata={**checkpoint.metadata, "optimizer": {**about, "parameters": parameters}},
    )


def infer_settings(checkpoint: TorchCheckpoint) -> dict[str, Any]:  # Any: arguments of DQNAgent
    """Return the settings that a file without agent still tells, as arguments of DQNAgent.

    Raises:
        ValueError: The arrays are not those of a DQNetwork.
    """
    state = checkpoint.model_state_dict
    weights = {name.removesuffix(".weight"): t for name, t in state.items() if t.ndim == 2}
    layers = [weights[f"fc{i}"] for i in range(1, len(weights) + 1) if f"fc{i}" in weights]
    dueling = {"value", "advantage"} <= set(weights)
    if len(layers) < 2 - dueling or len(layers) + 2 * dueling != len(weights):
        found = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in state.items())
        msg = f"found {found}; needed fc1, fc2, ... (value and advantage last in a dueling network)"
        raise ValueError(msg)
    output = weights["advantage"] if dueling else layers.pop()
    settings: dict[str, Any] = {
        "state_size": layers[0].shape[1],
        "action_size": output.shape[0],
        "hidden_sizes": [layer.shape[0] for layer in layers],
        "dueling": dueling,
        "dtype": str(output.dtype).removeprefix("torch."),
    }
    if checkpoint.architecture is not None:
        rates = read_layers(checkpoint.architecture).dropout
        settings["dropout"] = rates[0] if len(set(rates)) == 1 else rates
    optimizer: Any = checkpoint.optimizer_state_dict or {}
    for group in optimizer.get("param_groups", ()):
        rate = group.get("lr", group.get("learning_rate"))  # torch's name, Keras' name
        if not isinstance(rate, Mapping):  # a schedule goes to the optimizer, not to the agent
            settings["learning_rate"] = rate
        # A converted optimizer says how it clips, if it does; the guide's training loop clips by itself, at 1.
        settings["gradient_clip"] = group.get(
            "global_clipnorm", None if "iterations" in group else 1.0
        )
    return settings
