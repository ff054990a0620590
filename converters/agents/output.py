"""How an agent is written: one .pth in the form of the agent's own `save_model`."""

from __future__ import annotations

from pathlib import Path

from converters.agents.parts import AgentParts
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import UnsupportedError
from converters.writers.content import output_tensor

FORMAT = "pth"


def check_agent_output(
    checkpoint: Checkpoint, format: str, *, source_code: Path | None, layout: str | None
) -> None:
    """Refuse outputs that are for single networks.

    Raises:
        UnsupportedError: An agent is asked for in another format, as source, or in another layout.
    """
    file = checkpoint.provenance.file
    if format != FORMAT:
        msg = f"{file}: is a whole agent, several networks and optimizers, which is written as .pth, not as {format}"
        raise UnsupportedError(msg, hint="-o agent.pth")
    for option, given in (("--source-code", source_code), ("--input-layout", layout)):
        if given is not None:
            msg = f"{file}: is a whole agent, whose networks are classes of torch_impl; {option} is for one network"
            raise UnsupportedError(msg, hint=f"leave {option} out")


def agent_extras(agent: AgentParts, not_finite: dict[str, None]) -> dict[str, object]:
    """Return the keys of the file beside the contract's: every optimizer as its `state_dict`."""
    optimizers = {}
    for name, optimizer in agent.optimizers.items():
        numbers = {
            key: float(number.read()) if isinstance(number, ArrayInfo) else number
            for key, number in optimizer.numbers.items()
        }
        state = {
            index: {slot: output_tensor(move, not_finite) for slot, move in slots.items()}
            for index, slots in enumerate(optimizer.slots)
        }
        group = {**numbers, "params": list(range(len(optimizer.slots)))}
        optimizers[name] = {"state": state, "param_groups": [group]}
    if agent.networks is None:
        return {"optimizers": optimizers}
    networks = {
        name: {
            move.target.removeprefix(f"{name}."): output_tensor(move, not_finite) for move in moves
        }
        for name, moves in agent.networks.items()
    }
    return {**networks, **optimizers}
