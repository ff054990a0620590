"""Agents of libraries that wrote a SavedModel: the graph says what they compute, the library how that becomes an action.

TF-Agents' PolicySaver stores the action itself. Spinning Up stores what it calls `pi`, `mu`, `q`, `v`: `mu`, or a `pi` that
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

    No policy of TF-Agents that draws its actions gets here: its graph is refused. One that takes a state stays a network.
    """
    if architecture.structure != "dict":
        return architecture
    if kind == POLICY:
        acts = _ACTION in architecture.output_names and len(architecture.inputs) == 1
        return _with_action(architecture, _ACTION) if acts else architecture
    return _spinning_up(architecture) if kind == SPINNING_UP else architecture


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
        best = Step("torch.argmax", (_value_of(agent, "logits"),), _BEST, None, {"dim": -1})
        agent = replace(agent, steps=(*agent.steps, best))
        return replace(_with_outputs(agent, {_BEST: _BEST}), action=greedy("logits"))
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

    None, if there is more between them than functions of one value.
    """
    made = {step.output: step for step in architecture.steps}
    steps: list[Step] = []
    value = _value_of(architecture, name)
    while value != begin:
        step = made.get(value)
        if step is None or len(step.inputs) != 1 or step.attribute is not None:
            return None
        before = _DRAWN if step.inputs[0] == begin else f"{_DRAWN}_{step.inputs[0]}"
        steps.insert(0, replace(step, inputs=(before,), output=f"{_DRAWN}_{step.output}"))
        value = step.inputs[0]
    return tuple(steps)


def _value_of(architecture: Architecture, name: str) -> str:
    return architecture.outputs[architecture.output_names.index(name)]


def _with_outputs(architecture: Architecture, further: Mapping[str, str]) -> Architecture:
    new = {name: value for name, value in further.items() if name not in architecture.output_names}
    return replace(
        architecture,
        outputs=(*architecture.outputs, *new.values()),
        output_names=(*architecture.output_names, *new),
    )
