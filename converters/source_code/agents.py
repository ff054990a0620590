"""What the source of an agent has beside that of a network: arguments that may be left out, and `act`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.architecture import ActionRule, Architecture, InputValue, Step
from converters.source_code.expressions import literal
from converters.source_code.lines import fitted
from converters.source_code.statements import Item, write_statements


def argument(value: InputValue, name: str) -> str:
    """Return an input as an argument of `forward`."""
    return f"{name}: Tensor | None = None" if value.default else f"{name}: Tensor"


def default_lines(architecture: Architecture, names: Mapping[str, str]) -> list[str]:
    """Return the lines that bring what is given into the type of the networks, and make what is left out."""
    first = names[architecture.inputs[0].name]
    lines = []
    if architecture.inputs[0].dtype == "float32":
        lines.append(f"        {first} = {first}.to(torch.float32)")
    for value in architecture.inputs:
        if value.default != "zeros":
            continue
        sizes = ", ".join([f"len({first})", *(str(size) for size in (value.shape or ())[1:])])
        name = names[value.name]
        lines.append(f"        if {name} is None:")
        kind = "" if value.dtype == "float32" else f"dtype=torch.{value.dtype}, "
        lines += fitted(f"{name} = torch.zeros({sizes}, {kind}device={first}.device)", 12)
    return lines


def output_variables(architecture: Architecture) -> dict[str, str]:
    """Return what the variables of outputs are called: by the keys of the dictionary they go into, if there is one."""
    arguments = {value.name for value in architecture.inputs}
    names: dict[str, str] = {}
    for name, value in zip(architecture.output_names, architecture.outputs, strict=False):
        if name not in arguments:
            names.setdefault(value, name)
    return names


def forward_lines(
    items: Sequence[Item], architecture: Architecture, names: Mapping[str, str], taken: set[str]
) -> list[str]:
    """Return the body of `forward`; without the inputs that may be absent, it returns what does not need them.

    Args:
        items: of the forward pass.
        architecture: of the agent.
        names: argument of every input.
        taken: names that no variable may have.
    """
    pairs = list(zip(architecture.output_names, architecture.outputs, strict=True))
    absent = {value.name for value in architecture.inputs if value.default == "absent"}
    reached = set(absent)
    late: list[Item] = []
    for item in items:
        if reached.intersection(item.inputs):
            late.append(item)
            reached.update(item.results)
    early = [item for item in items if item not in late]
    given = [(name, value) for name, value in pairs if value not in reached]
    needed = {value for item in late for value in item.inputs} - reached
    kept = list(dict.fromkeys([*(value for _, value in given), *sorted(needed)]))
    made = {value for item in early for value in item.results}
    first = [value for value in kept if value in made or value in names]
    called = output_variables(architecture)
    lines, found, _ = write_statements(
        early, names, first, taken=taken, named_outputs=True, names=called
    )
    known = {**names, **dict(zip(first, found, strict=True))}
    if late:
        lines += [f"        if {names[name]} is None:" for name in sorted(absent)[:1]] + _returned(
            given, known, 12
        )
        results = list(dict.fromkeys(value for _, value in pairs if value in reached))
        inputs = {value: known[value] for item in late for value in item.inputs if value in known}
        more, found, _ = write_statements(
            late,
            inputs,
            results,
            taken={*taken, *known.values()},
            named_outputs=True,
            names=called,
        )
        lines += more
        known |= dict(zip(results, found, strict=True))
    return [*lines, *_returned(pairs, known, 8)]


def _returned(pairs: Sequence[tuple[str, str]], known: Mapping[str, str], indent: int) -> list[str]:
    entries = ", ".join(f"{literal(name)}: {known[value]}" for name, value in pairs)
    return fitted(f"return {{{entries}}}", indent)


def act_lines(architecture: Architecture, rule: ActionRule, taken: set[str]) -> list[str]:
    """Return the method `act`."""
    extra = [value.name for value in architecture.inputs[1:] if value.default == "zeros"]
    arguments = ["self", "observation: Tensor"]
    arguments += [f"{name}: Tensor | None = None" for name in extra]
    arguments += ["*", "deterministic: bool = True"]
    state = "Tensor" if len(rule.states) == 1 else "tuple[Tensor, ...]"
    kind = f"tuple[Tensor, {state}]" if rule.states else "Tensor"
    what = "the action and the next state" if rule.state else "the action"
    lines = fitted(f"def act({', '.join(arguments)}) -> {kind}:", 4)
    lines.append(
        f'        """Return {what} for (batch, ...) observations, as the library\'s predict does."""'
    )
    lines.append(f"        outputs = self({', '.join(['observation', *extra])})")
    if rule.deterministic == rule.sampled:
        return [*lines, *_rule_lines(rule.sampled, rule, taken)]
    lines.append("        if deterministic:")
    lines += _rule_lines(rule.deterministic, rule, taken, indent=12)
    return [*lines, *_rule_lines(rule.sampled, rule, taken)]


def _rule_lines(
    steps: Sequence[Step], rule: ActionRule, taken: set[str], *, indent: int = 8
) -> list[str]:
    made = {value for step in steps for value in step.results}
    given = {
        value: f"outputs[{literal(value)}]"
        for step in steps
        for value in step.inputs
        if value not in made
    }
    items = [Item(step.inputs, step.results, None, step) for step in steps]
    lines, results, _ = write_statements(
        items,
        given,
        [steps[-1].output],
        taken=taken,
        named_outputs=bool(rule.state),
        indent=indent,
    )
    states = ", ".join(f"outputs[{literal(name)}]" for name in rule.states)
    state = f", ({states})" if len(rule.states) > 1 else f", {states}" if states else ""
    return [*lines, *fitted(f"return {results[0]}{state}", indent)]
