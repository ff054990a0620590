"""Converted agents as live modules: networks that also act, by the rule in their architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from converters.architecture import Architecture, Step
from converters.errors import MismatchError
from converters.live.model import ConvertedModel, order_inputs
from converters.live.operations import find_target, step_function

Observation = Tensor | NDArray[np.generic]
Action = Tensor | NDArray[np.generic]
_STATE = "state"
"""Name of the input of a recurrent policy, and the beginning of the names of several."""


class ConvertedAgent(ConvertedModel):
    """A converted agent: `forward` gives what its networks compute, `act` the action of the library's `predict`.

    `forward` takes the observation and, where the agent has them, what may be left out: the action whose value is asked
    for (without it, what depends on it is not in the result), the state of a recurrent policy (zeros at first) and the
    mask that is 1 where an episode begins.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        rule = architecture.action
        if rule is None:
            msg = "the architecture does not say how the agent acts"
            raise MismatchError(msg)
        self._rule = rule
        wanted = {
            name
            for steps in (rule.deterministic, rule.sampled)
            for step in steps
            for name in step.inputs
        } | {*rule.states}
        self._acting = _needed_calls(architecture, wanted)

    def forward(self, *inputs: Tensor | None, **named: Tensor | None) -> dict[str, Tensor]:
        """Return what the agent computes for (batch, ...) observations, by name."""
        return self._evaluate(inputs, named, calls=None)

    def act(
        self,
        observation: Observation,
        state: Observation | tuple[Observation, ...] | None = None,
        mask: Observation | None = None,
        *,
        deterministic: bool = True,
        **further: Observation,
    ) -> Action | tuple[Action, Action | tuple[Action, ...]]:
        """Return the action for one observation or a batch of them, as the library's `predict` gives it.

        Args:
            observation: a tensor or an array; the action is the same.
            state: of a recurrent policy, as the call before gave it, one array or several; zeros at the beginning.
            mask: of a recurrent policy, (batch,): 1 where an episode begins.
            deterministic: the policy's best action; otherwise one drawn from its distribution.
            further: what else `forward` takes, by name: `prev_action` and `prev_reward` of RLlib's policies.

        Returns:
            The action; of a recurrent policy, the action and the next state.

        Raises:
            TypeError: The agent takes another number of states, or nothing of such a name.
        """
        value = self.architecture.inputs[0]
        x = torch.as_tensor(observation)
        single = value.shape is not None and x.dim() == len(value.shape) - 1
        given = _given(
            self.architecture, state, {**({} if mask is None else {"mask": mask}), **further}
        )
        if single:
            given = {name: x if name == "mask" else x.unsqueeze(0) for name, x in given.items()}
        with torch.no_grad():
            batch = x.unsqueeze(0) if single else x
            outputs = self._evaluate((batch,), given, calls=self._acting)
            rule = self._rule
            action = _run(rule.deterministic if deterministic else rule.sampled, outputs)
        results = [action, *(outputs[name] for name in rule.states)]
        if single:
            results = [result[0] for result in results]
        made: list[Action] = [*results]
        if not isinstance(observation, Tensor):
            made = [result.numpy() for result in results]
        if not rule.states:
            return made[0]
        return made[0], made[1] if len(made) == 2 else tuple(made[1:])

    def _evaluate(
        self,
        inputs: Sequence[Tensor | None],
        named: Mapping[str, Tensor | None],
        *,
        calls: frozenset[int] | None,
    ) -> dict[str, Tensor]:
        """Return the outputs that can be computed of what is given; `calls`: the only ones that are made."""
        values: list[Tensor | None] = self._complete(inputs, named)
        for number, (attribute, function, taken, made, dropped) in enumerate(self._calls):
            arguments = [values[place] for place in taken]
            if any(x is None for x in arguments) or (calls is not None and number not in calls):
                values.extend([None] * made)
                continue
            operation = self._find(attribute) if function is None else function
            result = operation(*arguments)
            if made == 1:
                values.append(result)
            else:
                values.extend(cast("Sequence[Tensor]", result))
            for place in dropped:
                values[place] = None
        names = self.architecture.output_names
        found = [values[place] for place in self._outputs]
        return {name: x for name, x in zip(names, found, strict=True) if x is not None}

    def _complete(
        self, inputs: Sequence[Tensor | None], named: Mapping[str, Tensor | None]
    ) -> list[Tensor | None]:
        """Return all inputs, those that were left out by their defaults."""
        known = self.architecture.inputs
        if len(inputs) == 1 and isinstance(inputs[0], Mapping) and not named:
            inputs, named = (), inputs[0]
        keys = {value.key: value.name for value in known if value.key is not None}
        named = {keys.get(name, name): x for name, x in named.items()}
        given = dict(zip([value.name for value in known], inputs, strict=False))
        unknown = [name for name in named if name not in {value.name for value in known}]
        missing = [
            value.name
            for value in known
            if not value.default and given.get(value.name, named.get(value.name)) is None
        ]
        if unknown or missing or len(inputs) > len(known):
            order_inputs(self.architecture, tuple(inputs), cast("Mapping[str, Tensor]", named))
        given.update(named)
        first = cast("Tensor", given[known[0].name])
        result: list[Tensor | None] = []
        for value, dtype in zip(known, self._dtypes, strict=True):
            x = given.get(value.name)
            if x is None and value.default == "zeros":
                sizes = [size or 0 for size in (value.shape or ())[1:]]
                x = torch.zeros((len(first), *sizes), dtype=dtype, device=first.device)
            result.append(x if x is None or x.dtype == dtype else x.to(dtype))
        return result


def _given(
    architecture: Architecture,
    state: Observation | tuple[Observation, ...] | None,
    further: Mapping[str, Observation],
) -> dict[str, Tensor]:
    """Return the inputs behind the observation by their names.

    Raises:
        TypeError: The agent takes another number of states.
    """
    states: Sequence[Observation] = ()
    if state is not None:
        states = state if isinstance(state, (tuple, list)) else (state,)
    names = [value.name for value in architecture.inputs if value.name.startswith(_STATE)]
    if states and len(states) != len(names):
        msg = f"the agent takes {len(names)} states, got {len(states)}"
        raise TypeError(msg)
    pairs = {**dict(zip(names, states, strict=False)), **further}
    return {name: torch.as_tensor(x) for name, x in pairs.items()}


def _needed_calls(architecture: Architecture, names: set[str]) -> frozenset[int]:
    """Return the numbers of the steps that the outputs of these names need."""
    pairs = zip(architecture.output_names, architecture.outputs, strict=True)
    wanted = {value for name, value in pairs if name in names}
    needed = set()
    for number, step in reversed(list(enumerate(architecture.steps))):
        if wanted.intersection(step.results):
            needed.add(number)
            wanted.update(step.inputs)
    return frozenset(needed)


def _run(steps: Sequence[Step], outputs: Mapping[str, Tensor]) -> Tensor:
    """Return the result of the last step."""
    values = dict(outputs)
    for step in steps:
        function = step_function(step, find_target(step.op))
        values[step.output] = function(*[values[name] for name in step.inputs])
    return values[steps[-1].output]
