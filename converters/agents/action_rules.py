"""Rules of acting as data: from what a policy computes to the action that the library's `predict` gives."""

from __future__ import annotations

from converters.agents.spaces import Space
from converters.architecture import ActionRule, Step
from converters.registry import Plain

ACTION = "action"


def _step(op: str, *inputs: str, output: str = ACTION, **kwargs: Plain) -> Step:
    return Step(op, inputs, output, None, kwargs)


def greedy(values: str, *, logits: str | None = None, state: str = "") -> ActionRule:
    """Return the rule of the largest value; a random action is drawn by the softmax of `logits`."""
    best = _step("torch.argmax", values, dim=-1)
    return ActionRule((best,), (_step("agent.sample_categorical", logits or values),), state)


def several_categories(parts: tuple[str, ...], *, state: str = "") -> ActionRule:
    """Return the rule of the largest logit of each part."""
    best = [_step("torch.argmax", part, output=f"best_{part}", dim=-1) for part in parts]
    drawn = [_step("agent.sample_categorical", part, output=f"drawn_{part}") for part in parts]
    return ActionRule(
        (*best, _step("torch.stack", *(step.output for step in best), dim=-1)),
        (*drawn, _step("torch.stack", *(step.output for step in drawn), dim=-1)),
        state,
    )


def binary(probabilities: str, best: str, *, state: str = "") -> ActionRule:
    """Return the rule of independent yes and no."""
    rounded = _step("compat.cast", best, dtype="int64")
    return ActionRule((rounded,), (_step("agent.sample_bernoulli", probabilities),), state)


def gaussian(space: Space | None, *, state: str = "") -> ActionRule:
    """Return the rule of a normal distribution (`mean`, `std`) whose actions are clipped to the environment's bounds."""
    drawn = _step("agent.sample_normal", "mean", "std", output="drawn")
    return ActionRule(
        _bounded(space, "mean", "agent.clip_action"),
        (drawn, *_bounded(space, "drawn", "agent.clip_action")),
        state,
    )


def squashed(space: Space | None, *, noise: bool) -> ActionRule:
    """Return the rule of an action between -1 and 1 that is brought to the environment's range.

    Args:
        space: of the action.
        noise: whether random actions are those of the policy's own normal distribution, squashed by tanh; otherwise
            the library explores with noise that is not part of the policy, and `predict` gives the same action.
    """
    best = _bounded(space, "deterministic_action", "agent.scale_action")
    if not noise:
        return ActionRule(best, best)
    drawn = _step("agent.sample_normal", "mean", "std", output="drawn")
    inside = _step("torch.tanh", "drawn", output="squashed")
    return ActionRule(best, (drawn, inside, *_bounded(space, "squashed", "agent.scale_action")))


def _bounded(space: Space | None, action: str, op: str) -> tuple[Step, ...]:
    """Return the steps from a policy's action to the environment's: clipped or scaled, in its shape."""
    bounds = None if space is None else space.bounds
    if space is None or bounds is None:
        return (_step("torch.detach", action),)
    low, high = bounds
    steps = [_step(op, action, low=low, high=high)]
    if len(space.shape) != 1:
        steps[-1] = _step(op, action, output="flat_action", low=low, high=high)
        steps.append(_step("torch.reshape", "flat_action", shape=(-1, *space.shape)))
    return tuple(steps)
