"""Where TF-Agents' networks lie in a checkpoint: below an agent, or below a policy that was saved without one.

    agent/_q_network/..., tf_agent/_q_network/...                    whatever name the agent was saved under
    policy/_wrapped_policy/_actor_network/...                        `common.Checkpointer(policy=...)`; PPO's has its value too
    agent/_cloning_network/..., agent/_reward_network/...            behavioral cloning, and bandits that predict rewards

They come out below `agent/`, by the attributes that agents have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from converters.checkpoint import ArrayInfo
from converters.errors import AmbiguousTargetError

ROOT = "agent/"
Q_NETWORKS = {"_q_network": "", "_target_q_network": "target_"}
ACTORS = {"_actor_net": "", "_actor_network": "", "_target_actor_network": "target_"}
VALUES = ("_value_net", "_value_network")
CRITICS = {
    f"_{target}critic_network{suffix}": f"{target}q{suffix.lstrip('_') or '1'}"
    for target in ("", "target_") for suffix in ("", "_1", "_2")
}  # fmt: skip
"""Attribute to the name of what it computes."""
NETWORKS = (*Q_NETWORKS, *ACTORS, *CRITICS, *VALUES)
NORMALIZER = "_observation_normalizer"
ACTOR_OF_PPO = "_actor_net"
_SINGLE = ("_cloning_network", "_reward_network")
_LISTS = (
    *("_encoder", "_q_network", "_q_value_layer", "_sequential_layers", "_mlp_layers"),
    *("_input_encoder", "_lstm_encoder", "_lstm_network", "_input_layers", "_dynamic_unroll"),
    *("_projection_networks", "_postprocessing_layers", "_joint_layers", "_action_layers"),
)
"""What follows the attribute of a network; other libraries' objects have such attributes, too, but not these below them."""


@dataclass(frozen=True, slots=True)
class Found:
    """The arrays of an agent.

    Attributes:
        arrays: all of the file, those of the agent by their names below `agent/`.
        origins: name of such an array to that in the file.
        is_policy: whether there is a policy and no agent around it.
    """

    arrays: Mapping[str, ArrayInfo]
    origins: Mapping[str, str]
    is_policy: bool


def recognizes(names: Collection[str]) -> bool:
    """Tell whether variables are those of an agent or a policy."""
    return bool(_roots(names))


def below_agent(arrays: Mapping[str, ArrayInfo]) -> Found:
    """Return the arrays of the agent or policy that a file holds.

    Raises:
        AmbiguousTargetError: There are several.
    """
    roots = _roots(arrays)
    seen: dict[str, str] = {}
    for root, attributes in roots.items():
        for attribute in attributes:
            if attribute in seen:
                msg = f"holds several agents: '{seen[attribute]}' and '{root}' both have {attribute.lstrip('_')}"
                raise AmbiguousTargetError(
                    msg, hint="save the one you need: tf.train.Checkpoint(agent=...)"
                )
            seen[attribute] = root
    is_policy = bool(roots) and all("policy" in root for root in roots)
    has_value = any(
        VALUES[1] in attributes or NORMALIZER in attributes for attributes in roots.values()
    )
    renamed = (
        {"_actor_network": ACTOR_OF_PPO, VALUES[1]: VALUES[0]} if is_policy and has_value else {}
    )
    found: dict[str, ArrayInfo] = {}
    origins: dict[str, str] = {}
    for name, array in arrays.items():
        below = next((each for each in roots if name.startswith(each)), None)
        new = name if below is None else ROOT + _renamed(name[len(below) :], arrays, below, renamed)
        found[new] = array
        origins[new] = name
    return Found(found, origins, is_policy)


def _renamed(path: str, names: Collection[str], root: str, renamed: Mapping[str, str]) -> str:
    attribute, slash, rest = path.partition("/")
    if attribute not in _SINGLE:
        return renamed.get(attribute, attribute) + slash + rest
    lists = ("_mlp_layers", "_projection_networks")
    acts = any(name.startswith(f"{root}{attribute}/{each}/") for name in names for each in lists)
    return ("_actor_network" if acts else "_q_network") + slash + rest


def _roots(names: Collection[str]) -> dict[str, dict[str, None]]:
    """Return every path that networks lie below, with the attributes that lie there."""
    known = {*NETWORKS, *_SINGLE}
    found: dict[str, dict[str, None]] = {}
    for name in names:
        parts = name.split("/")
        for place, part in enumerate(parts[:-2]):
            if part in known and (parts[place + 1] in _LISTS or parts[:place] == ["agent"]):
                root = "".join(f"{each}/" for each in parts[:place])
                found.setdefault(root, {})[part] = None
                break
    for name in names:
        root, _, rest = name.partition(f"{NORMALIZER}/")
        if rest and root in found:
            found[root][NORMALIZER] = None
    return found
