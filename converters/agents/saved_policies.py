"""Policies that TF-Agents' PolicySaver wrote: the graph says what they compute, and what they compute is the action."""

from __future__ import annotations

from dataclasses import replace

from converters.architecture import ActionRule, Architecture, Step

SPECIFICATIONS = "policy_specs.pbtxt"
"""The file beside `saved_model.pb` that only PolicySaver writes."""
POLICY = "TF-Agents policy"
"""What the provenance of such a folder calls it."""
_ACTION, _BEST = "action", "deterministic_action"


def as_policy(architecture: Architecture) -> Architecture:
    """Return the network of a policy as an agent that acts; as it is, if it takes a state.

    No policy that draws its actions gets here: its graph is refused.
    """
    names = architecture.output_names
    if architecture.structure != "dict" or _ACTION not in names or len(architecture.inputs) != 1:
        return architecture
    still = (Step("torch.detach", (_ACTION,), _BEST, None, {}),)
    action = architecture.outputs[names.index(_ACTION)]
    further = {} if _BEST in names else {_BEST: action}
    return replace(
        architecture,
        outputs=(*architecture.outputs, *further.values()),
        output_names=(*names, *further),
        action=ActionRule(still, still),
    )
