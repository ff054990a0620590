"""Statistics of `VecNormalize` by themselves: a module that normalizes observations as the wrapper does."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork, Parameter
from converters.architecture import ActionRule
from converters.checkpoint import ArrayInfo
from converters.errors import UnsupportedError
from converters.registry import Plain

CLIP, EPSILON = 10.0, 1e-8
"""Defaults of `VecNormalize`."""


def recognizes(names: Collection[str]) -> bool:
    """Tell whether variables are those of the statistics."""
    return {"observation/mean", "observation/var"} <= set(names)


def plan(
    arrays: Mapping[str, ArrayInfo], facts: AgentFacts
) -> tuple[AgentNetwork, ActionRule | None, str]:
    """Return the module; it does not act.

    Raises:
        UnsupportedError: The wrapper leaves observations as they are.
    """
    if not is_used(facts.settings):
        msg = "normalizes no observations (norm_obs=False), so there is nothing to convert"
        raise UnsupportedError(msg, hint="convert the agent without --normalizer")
    network = AgentNetwork(arrays)
    shape = network.array("observation/mean").shape
    x = network.input("observation", shape, "float32")
    axes = " ".join(f"a{number}" for number in range(len(shape)))
    parameters = [
        Parameter(f"observation/{name}", name, f"{axes} -> {axes}") for name in ("mean", "var")
    ]
    kwargs: dict[str, Plain] = {"shape": shape, **numbers(network, facts.settings)}
    network.outputs["normalized_obs"] = network.layer(
        "agent.VecNormalize", "normalizer", (x,), parameters, name="normalized", kwargs=kwargs
    )
    for name in arrays:
        if not name.startswith("observation/m") and not name.startswith("observation/v"):
            network.ignore(name, "for training: how many observations there were, and the returns")
    return network, None, "VecNormalize"


def is_used(settings: Mapping[str, object]) -> bool:
    """Tell whether the wrapper normalizes observations; otherwise it keeps statistics of them and applies none."""
    return settings.get("norm_obs") is not False


def numbers(network: AgentNetwork, settings: Mapping[str, object]) -> dict[str, float]:
    """Return the bound of normalized observations, and what is added to their variance; `network` notes defaults."""
    if "clip_obs" not in settings:
        network.notes.append(
            "the normalizer's file has statistics only; taken for the wrapper's own "
            f"clip_obs={CLIP:g} and epsilon={EPSILON:g}"
        )
    clip, epsilon = settings.get("clip_obs", CLIP), settings.get("epsilon", EPSILON)
    return {
        "clip": float(clip) if isinstance(clip, (int, float)) else CLIP,
        "epsilon": float(epsilon) if isinstance(epsilon, (int, float)) else EPSILON,
    }
