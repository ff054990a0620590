"""What a user states beside a file: settings that it does not say, statistics that lie in another file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from converters.agents.facts import AgentFacts
from converters.agents.stable_baselines.normalizer import is_used
from converters.checkpoint import Checkpoint, LayerArrays
from converters.errors import MismatchError, UsageError
from converters.limits import Limits
from converters.optimizers.stated import OPTIMIZER, with_stated_optimizer
from converters.readers import read_checkpoint
from converters.stacks import assume_stack

NORMALIZER = "vec-normalize"
_OF_OBSERVATIONS = ("norm_obs", "clip_obs", "epsilon")
STATED = "stated"
"""Key of a converted file's metadata: what the user stated, so that `verify` plans the same."""


def stated_settings(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return what the user stated when a file was converted."""
    found = metadata.get(STATED)
    return {str(key): value for key, value in found.items()} if isinstance(found, Mapping) else {}


def with_statements(
    checkpoint: Checkpoint,
    settings: Mapping[str, object],
    *,
    normalizer: Path | None,
    limits: Limits,
) -> Checkpoint:
    """Return a checkpoint with what the user states of its agent.

    Args:
        checkpoint: of any kind.
        settings: of --set; with `optimizer` those of the optimizer of a file that does not name it; of weights without an
            architecture the activations.
        normalizer: a file of `VecNormalize.save`, whose statistics go in front of the policy.
        limits: bounds on that file.

    Raises:
        UsageError: The checkpoint is no agent of an RL library.
        MismatchError: The normalizer is another file, or for other observations.
    """
    if not settings and normalizer is None:
        return checkpoint
    facts = checkpoint.agent
    if facts is None and OPTIMIZER in settings and normalizer is None:
        return with_stated_optimizer(checkpoint, settings)
    if facts is None and checkpoint.provenance.format != "tf1-checkpoint":
        stack = None
        if checkpoint.graph is None and normalizer is None:
            stack = assume_stack(checkpoint, settings)
        if stack is not None:
            return replace(stack[0], notes=(*stack[0].notes, *stack[1]))
        option = "--set" if settings else "--normalizer"
        msg = f"{checkpoint.provenance.file}: is no agent of an RL library, which {option} is for"
        raise UsageError(msg, hint=f"leave {option} out, or name your module with --into")
    facts = facts or AgentFacts("", in_order=False)
    facts = replace(facts, given={**facts.given, **settings})
    if normalizer is None:
        return replace(checkpoint, agent=facts)
    return _normalized(replace(checkpoint, agent=facts), normalizer, limits)


def is_normalizer(checkpoint: Checkpoint) -> bool:
    """Tell whether a file holds the statistics of `VecNormalize`."""
    return checkpoint.agent is not None and checkpoint.agent.library == NORMALIZER


def _normalized(checkpoint: Checkpoint, normalizer: Path, limits: Limits) -> Checkpoint:
    """Return an agent with the statistics of its observations among its variables."""
    found = read_checkpoint(normalizer, limits=limits)
    facts = checkpoint.agent or AgentFacts("")
    if found.agent is None or not is_normalizer(found):
        msg = f"{normalizer.name}: holds no statistics of VecNormalize"
        raise MismatchError(msg, hint="the file that VecNormalize.save wrote beside the agent")
    if not is_used(found.agent.settings):
        note = f"{normalizer.name} normalizes no observations (norm_obs=False) and is left out"
        return replace(checkpoint, notes=(*checkpoint.notes, note))
    layers = [
        LayerArrays("vecnormalize", None, entry.arrays)
        for entry in found.layers
        if entry.path == "observation" and set(entry.arrays) <= {"mean", "var"}
    ]
    said = {key: value for key, value in found.agent.settings.items() if key in _OF_OBSERVATIONS}
    settings = {**facts.settings, **said}
    return replace(
        checkpoint,
        layers=[*checkpoint.layers, *layers],
        agent=replace(facts, settings=settings),
    )
