"""Agents of libraries that wrote a SavedModel: the graph says what they compute, the library how that becomes an action.

TF-Agents' PolicySaver stores the action itself, or what it is drawn from if the policy is not greedy. Spinning Up stores what it calls `pi`, `mu`, `q`, `v`: `mu`, or a `pi` that
is not drawn, is the action; of a drawn one there are `logits` or `mean` and `std` (`tensorflow_graphs.distributions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from converters.agents.action_rules import greedy
from converters.architecture import ActionRule, Architecture, Step

POLICY = "TF-Agents policy"
SPINNING_UP = "Spinning Up agent"
_MARKS = {"policy_specs.pbtxt": POLICY, "model_info.pkl": SPINNING_UP}
"""Files beside `saved_model.pb` that only PolicySaver and only Spinning Up's logger write, to what the provenance says."""
_ACTION, _BEST, _DRAWN = "action", "deterministic_action", "drawn"


def kind_of(folder: Path) -> str | None:
    """Return what wrote a SavedModel, where the files beside it say so."""
    return next((kind for file, kind in _MARKS.items() if (folder / file).is_file()), None)


def as_saved_agent(architecture: Architecture, kind: object) -> Architecture:
    """Return the network as an agent that acts; as it is, if nothing of such a kind wrote it or it does not act.

    A policy of TF-Agents that takes a state, or several observations, stays a network.
    """
    if architecture.structure != "dict":
        return architecture
    if kind == POLICY:
        return _policy(architecture)
    return _spinning_up(architecture) if kind == SPINNING_UP else architecture


def _policy(architecture: Architecture) -> Architecture:
    """Return a policy of TF-Agents: its action, or what that is drawn from."""
    names = architecture.output_names
    if len(architecture.inputs) != 1:
        return architecture
    if "logits" in names and _ACTION not in names:
        return _with_choice(architecture)
    action = next((name for name in (_ACTION, _BEST) if name in names), None)
    return architecture if action is None else _with_action(architecture, action)


def _with_choice(architecture: Architecture) -> Architecture:
    """Return the network as an agent that takes the largest of its `logits`, or draws by them."""
    best = Step("torch.argmax", (_value_of(architecture, "logits"),), _BEST, None, {"dim": -1})
    agent = replace(architecture, steps=(*architecture.steps, best))
    return replace(_with_outputs(agent, {_BEST: _BEST}), action=greedy("logits"))


def _spinning_up(architecture: Architecture) -> Architecture:
    """Return an agent of Spinning Up; the action whose value `q` is may be left out."""
    inputs = architecture.inputs
    if not inputs or inputs[0].name != "x":
        return architecture
    further = tuple(replace(value, default="absent") for value in inputs[1:])
    agent = _open_last(replace(architecture, inputs=(inputs[0], *further)))
    value = {} if "v" not in agent.output_names else {"value": _value_of(agent, "v")}
    agent = _with_outputs(agent, value)
    if "logits" in agent.output_names:
        return _with_choice(agent)
    for name in ("mu", "pi", "mean"):
        if name in agent.output_names:
            return _with_action(agent, name)
    return architecture


def _open_last(architecture: Architecture) -> Architecture:
    """Return the network with what needs an input that may be left out behind everything else, as `forward` returns early."""
    absent = {value.name for value in architecture.inputs if value.default == "absent"}
    first: list[Step] = []
    last: list[Step] = []
    for step in architecture.steps:
        if absent.isdisjoint(step.inputs):
            first.append(step)
        else:
            last.append(step)
            absent.update(step.results)
    return replace(architecture, steps=(*first, *last))


def _with_action(architecture: Architecture, name: str) -> Architecture:
    """Return the network with an output as its action; what it is drawn around is known if there are `mean` and `std`."""
    still: tuple[Step, ...] = (Step("torch.detach", (name,), _BEST, None, {}),)
    drawn = still
    if {"mean", "std"} <= {*architecture.output_names}:
        noise = Step("agent.sample_normal", ("mean", "std"), _DRAWN, None, {})
        further = _repeated(architecture, _value_of(architecture, "mean"), name)
        drawn = still if further is None else (noise, *further)
    agent = _with_outputs(architecture, {_BEST: _value_of(architecture, name)})
    return replace(agent, action=ActionRule(still, drawn))


def _repeated(architecture: Architecture, begin: str, name: str) -> tuple[Step, ...] | None:
    """Return what the network does from a mean to the action, as steps from a drawn number: SAC's tanh and its bounds.

    None, if there is more between them than functions of the mean alone.
    """
    made = {begin: _DRAWN}
    steps: list[Step] = []
    for step in architecture.steps:
        alone = step.attribute is None and not step.further_outputs and step.inputs
        if alone and made.keys() >= {*step.inputs} and step.output not in made:
            made[step.output] = f"{_DRAWN}_{step.output}"
            inputs = tuple(made[each] for each in step.inputs)
            steps.append(replace(step, inputs=inputs, output=made[step.output]))
    needed = {made.get(_value_of(architecture, name), "")}
    kept: list[Step] = []
    for step in reversed(steps):
        if step.output in needed:
            kept.insert(0, step)
            needed.update(step.inputs)
    return tuple(kept) if _DRAWN in needed else None


def _value_of(architecture: Architecture, name: str) -> str:
    return architecture.outputs[architecture.output_names.index(name)]


def _with_outputs(architecture: Architecture, further: Mapping[str, str]) -> Architecture:
    new = {name: value for name, value in further.items() if name not in architecture.output_names}
    return replace(
        architecture,
        outputs=(*architecture.outputs, *new.values()),
        output_names=(*architecture.output_names, *new),
    )
