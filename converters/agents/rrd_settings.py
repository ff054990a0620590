"""What the variables and the graph of an RRD agent say of its settings, under the names of its flags."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from converters.agents.parts import AgentOptimizer
from converters.moves import Move
from converters.readers.tensorflow.meta_graph import GraphFacts

_RATES = {"policy": "pi_lr", "value": "q_lr", "temperature": "alpha_lr", "reward": "r_lr"}
_IMAGE_SIZE = 84
"""Height and width of the suite's images, where the file does not say it."""
_STRIDE = 8
"""Of the three convolutions together."""


def infer_arguments(
    algorithm: str,
    moves: Sequence[Move],
    facts: GraphFacts,
    optimizers: Mapping[str, AgentOptimizer],
) -> tuple[dict[str, object], list[str]]:
    """Return the flags that are certain, and notes on those that are not.

    Args:
        algorithm: "dqn", "ddpg", "td3" or "sac".
        moves: of the networks.
        facts: of the graph; sizes of images are found nowhere else.
        optimizers: of the agent.
    """
    shapes = {move.target: move.shape for move in moves}
    notes: list[str] = []
    arguments: dict[str, object] = {"obs_normalization": "normalizer.mean" in shapes}
    if "value.q_conv1.weight" in shapes:
        arguments |= _image_arguments(shapes, facts, notes)
    elif algorithm == "dqn":
        arguments |= {
            "obs_dims": [shapes["value.q_dense1.weight"][1]],
            "acts_dims": [shapes["value.q.weight"][0]],
            "hidden_sizes": _units(shapes, "value.q_dense"),
        }
    else:
        outputs = shapes["policy.pi.weight"][0]
        arguments |= {
            "obs_dims": [shapes["policy.pi_dense1.weight"][1]],
            "acts_dims": [outputs // 2 if algorithm == "sac" else outputs],
            "hidden_sizes": _units(shapes, "policy.pi_dense"),
        }
    if "reward.r_dense1.weight" in shapes:
        arguments["reward_hidden_sizes"] = _units(shapes, "reward.r_dense")
    if "reward.r_act.weight" in shapes or "reward.r.weight" in shapes:
        arguments |= _sub_sequence_arguments(arguments["obs_dims"], facts)
    for name, optimizer in optimizers.items():
        rate = optimizer.numbers.get("learning_rate")
        if isinstance(rate, float):
            arguments[_RATES[name]] = rate
    if algorithm == "dqn" and "value" in optimizers:
        arguments |= _optimizer_arguments(optimizers["value"])
    notes.append("gamma, polyak and other settings that no variable holds are the agent's defaults")
    return arguments, notes


def _units(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> list[int]:
    return [shapes[f"{prefix}{layer}.weight"][0] for layer in (1, 2)]


def _image_arguments(
    shapes: Mapping[str, tuple[int, ...]], facts: GraphFacts, notes: list[str]
) -> dict[str, object]:
    channels = shapes["value.q_conv1.weight"][1]
    features = shapes["value.q_dense_act.weight"][1] // shapes["value.q_conv3.weight"][0]
    sizes = [shape[1:3] for shape in facts.placeholders if len(shape) == 4 and shape[3] == channels]
    known = sizes[0] if sizes else (_IMAGE_SIZE, _IMAGE_SIZE)
    if math.prod(math.ceil((size or 0) / _STRIDE) for size in known) != features:
        notes.append("the size of the images is not in the file; load the agent with args.obs_dims")
        known = (0, 0)
    return {
        "obs_dims": [known[0], known[1], channels],
        "acts_dims": [shapes["value.q_act.weight"][0]],
        "dueling": "value.q_base.weight" in shapes,
        "conv_filters": [shapes[f"value.q_conv{layer}.weight"][0] for layer in (1, 2, 3)],
        "conv_units": shapes["value.q_dense_act.weight"][0],
    }


def _sub_sequence_arguments(observation: object, facts: GraphFacts) -> dict[str, object]:
    """Return how many steps of an episode the graph takes, from its input (episodes, steps, *observation)."""
    lengths = [shape[1] for shape in facts.placeholders if list(shape[2:]) == observation]
    return {"rrd_sample_size": lengths[0]} if lengths and lengths[0] else {}


def _optimizer_arguments(optimizer: AgentOptimizer) -> dict[str, object]:
    names = {
        "adam": {"epsilon": "Adam_eps"},
        "rmsprop": {"epsilon": "RMSProp_eps", "decay": "RMSProp_decay"},
    }
    found: dict[str, object] = {"optimizer": optimizer.kind}
    for number, name in names[optimizer.kind].items():
        if isinstance(optimizer.numbers.get(number), float):
            found[name] = optimizer.numbers[number]
    return found
