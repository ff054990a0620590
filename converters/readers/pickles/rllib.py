"""Checkpoints of RLlib with TensorFlow policies, as its pickles hold them.

    checkpoint-000001/checkpoint-1                 Ray 1: {"worker": a second pickle, ...}; settings in .tune_metadata
    policies/default_policy/policy_state.pkl       Ray 2: {"weights": ..., "policy_spec": ...}

Nothing is made of the classes that the pickles name: weights and settings are arrays and plain data in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from converters.agents.facts import AgentFacts
from converters.checkpoint import ArrayInfo
from converters.errors import AmbiguousTargetError, UnsupportedError
from converters.limits import Limits
from converters.readers.pickles.holding import array_info
from converters.readers.pickles.reader import Pickle, read_pickle
from converters.readers.pickles.values import PickledObject

LIBRARY = "rllib"
METADATA = ".tune_metadata"
"""What the name of the file beside the checkpoint ends with."""
SETTINGS = (
    *("model", "policy_model_config", "policy_model", "q_model_config", "Q_model"),
    *(
        "hiddens",
        "dueling",
        "noisy",
        "num_atoms",
        "v_min",
        "v_max",
        "parameter_noise",
        "add_layer_norm",
        "target_network_update_freq",
    ),
    *("actor_hidden_activation", "critic_hidden_activation", "use_state_preprocessor"),
    *(
        "normalize_actions",
        "clip_actions",
        "observation_filter",
        "lr",
        "lr_schedule",
        "adam_epsilon",
    ),
)
"""What is kept of a configuration."""
EPSILON = "cur_epsilon"
"""In the state of a policy that explores by `EpsilonGreedy`, which those do that have action values."""
SPACES = ("observation_space", "action_space")


def worker_of(found: Pickle, limits: Limits) -> tuple[dict[str, ArrayInfo], AgentFacts] | None:
    """Return weights and settings of the one policy in a checkpoint of Ray 1, or of a policy's state in Ray 2.

    Raises:
        AmbiguousTargetError: There are several policies.
    """
    value = found.value
    if not isinstance(value, dict):
        return None
    inner = value.get("worker")
    if isinstance(inner, (bytes, memoryview)):
        return _policy(read_pickle(inner, limits=limits).value)
    if isinstance(value.get("weights"), dict) and ({"policy_spec", "global_timestep"} & set(value)):
        settings = _settings(value.get("policy_spec")) | _exploration(value)
        return _arrays(value, None), AgentFacts(LIBRARY, settings)
    return None


def _policy(value: object) -> tuple[dict[str, ArrayInfo], AgentFacts]:
    worker = value if isinstance(value, dict) else {}
    states = worker.get("state")
    if not isinstance(states, dict) or not states:
        msg = "is a checkpoint of RLlib without the state of a policy"
        raise UnsupportedError(msg)
    if len(states) > 1:
        msg = f"holds several policies: {', '.join(str(name) for name in states)}"
        raise AmbiguousTargetError(msg, hint="save the one you need: policy.export_checkpoint(...)")
    ((name, state),) = states.items()
    specs = worker.get("policy_specs")
    settings = _settings(specs.get(name) if isinstance(specs, dict) else None)
    filters = worker.get("filters")
    arrays = _arrays(state, filters.get(name) if isinstance(filters, dict) else None)
    return arrays, AgentFacts(LIBRARY, settings | _exploration(state))


def _exploration(state: object) -> dict[str, object]:
    """Return how often a policy acts at random instead of taking the best action, where that is how it explores."""
    found = state.get("_exploration_state") if isinstance(state, dict) else None
    return {EPSILON: found[EPSILON]} if isinstance(found, dict) and EPSILON in found else {}


def _settings(spec: object) -> dict[str, object]:
    """Return spaces and model settings of a PolicySpec, an object in Ray 1 and a dictionary in Ray 2."""
    if isinstance(spec, PickledObject):
        names = ("policy_class", *SPACES, "config")
        spec = dict(zip(names, spec.arguments, strict=False)) | spec.attributes
    if not isinstance(spec, dict):
        return {}
    found: dict[str, object] = {name: spec[name] for name in SPACES if name in spec}
    config = spec.get("config")
    return found | (model_settings(config) if isinstance(config, dict) else {})


def model_settings(config: Mapping[object, object]) -> dict[str, object]:
    """Return what a configuration says of the model, of how actions leave it, and of the optimizer."""
    return {name: config[name] for name in SETTINGS if name in config}


def metadata_settings(data: bytes, limits: Limits) -> dict[str, object]:
    """Return the settings that Ray 1 stores beside a checkpoint."""
    value = read_pickle(data, limits=limits).value
    result = value.get("last_result") if isinstance(value, dict) else None
    config = result.get("config") if isinstance(result, dict) else None
    return model_settings(config) if isinstance(config, dict) else {}


def _arrays(state: object, observation_filter: object) -> dict[str, ArrayInfo]:
    """Return the weights without the policy's name before them, slots of the optimizer, and the filter's statistics."""
    parts = cast("Mapping[str, object]", state) if isinstance(state, dict) else {}
    weights = parts.get("weights")
    if isinstance(weights, (list, tuple)) and weights:
        msg = (
            "the weights of the policy have no names: it ran eagerly, with framework 'tf2' or 'tfe'"
        )
        raise UnsupportedError(
            msg, hint="convert what policy.export_model() writes: the graph says what it computes"
        )
    if not isinstance(weights, dict) or not weights:
        msg = "the policy has no weights by name: it was not trained with TensorFlow"
        raise UnsupportedError(msg, hint="policies of PyTorch are loaded by RLlib itself")
    slots = parts.get("_optimizer_variables")
    entries = {**weights, **(slots if isinstance(slots, dict) else {})}
    found = {}
    for name, value in entries.items():
        short = str(name).partition("/")[2] or str(name)
        info = array_info(short, value)
        if info is not None:
            found[short] = info
    return {**found, **_statistics(observation_filter)}


def _statistics(observation_filter: object) -> dict[str, ArrayInfo]:
    """Return mean and deviation of RLlib's MeanStdFilter; nothing for other filters.

    Source: ray 1.13, rllib/utils/filter.py, `RunningStat` and `MeanStdFilter`.
    """
    if not isinstance(observation_filter, PickledObject):
        return {}
    running = observation_filter.attributes.get(
        "running_stats", observation_filter.attributes.get("rs")
    )
    if not isinstance(running, PickledObject):
        return {}
    facts = {name.lower().lstrip("_"): value for name, value in running.attributes.items()}
    count = facts.get("num_pushes", facts.get("n"))
    mean = facts.get("mean_array", facts.get("m"))
    spread = facts.get("std_array", facts.get("s"))
    if (
        not isinstance(count, int)
        or not isinstance(mean, np.ndarray)
        or not isinstance(spread, np.ndarray)
    ):
        return {}
    variance = spread / (count - 1) if count > 1 else np.square(mean)
    values = {"filter/mean": mean, "filter/deviation": np.sqrt(variance)}
    infos = {name: array_info(name, value) for name, value in values.items()}
    return {name: info for name, info in infos.items() if info is not None}
