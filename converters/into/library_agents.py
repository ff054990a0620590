"""An agent of stable-baselines 2 as one of our own, which trains on: the file of `DQNAgent`, `SAC`, `TD3` or `DDPG`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from converters.checkpoint import Checkpoint
from converters.errors import VerificationError, placed
from converters.into import library_actor_critics, library_dqn
from converters.plan import plan_conversion
from converters.planned import Plan
from converters.report import ConversionReport, make_report
from converters.writers.output_file import OutputFile, check_outputs
from torch_impl.actor_critic import ActorCritic
from torch_impl.dqn import DQNAgent

LOADERS: Mapping[str, str] = {
    "DQNAgent": "torch_impl.dqn.DQNAgent",
    "SAC": "torch_impl.sac.SAC",
    "TD3": "torch_impl.td3.TD3",
    "DDPG": "torch_impl.ddpg.DDPG",
}
"""Class to where it is."""
TOLERANCE = 1e-5
"""Largest difference of actions and values, relative to the largest: float32 in another order of summation."""


def convert_into_agent(
    checkpoint: Checkpoint, source: Path, target: Path, *, kind: str, force: bool
) -> ConversionReport:
    """Write the file of one of our agents with the networks of a checkpoint.

    Args:
        checkpoint: of an agent of stable-baselines.
        source: its file.
        target: where to.
        kind: key of `LOADERS`.
        force: replace existing outputs.

    Raises:
        UnsupportedError: The checkpoint is no such agent, or one that our class cannot be.
        VerificationError: The new agent acts otherwise, or has other values; nothing was written.
    """
    report_path = target.with_name(f"{target.name}.json")
    check_outputs([target, report_path], source, force=force)
    with placed(checkpoint.provenance.file):
        plan = plan_conversion(checkpoint)
        agent, notes, worst = _build(checkpoint, plan, kind)
        if not worst <= TOLERANCE:
            msg = f"{kind} acts otherwise, or has other values: off by {worst:.1e}; nothing was written"
            raise VerificationError(msg)
    plan = replace(plan, notes=(*plan.notes, *notes))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torchward-")))
        agent.save(folder / "agent.pth")
        output = stack.enter_context(OutputFile(target))
        output.write((folder / "agent.pth").read_bytes())
        output.finish()
        summary = {"class": kind, "optimizers": "none", "loader": LOADERS[kind]}
        report = replace(make_report(checkpoint, plan, format="pth"), agent=summary)
        report = report.with_output(target.name, output.sha256, output.size)
        beside = stack.enter_context(OutputFile(report_path)).with_text(report.to_text())
        for file in (output, beside):
            file.commit()
    return report


def _build(
    checkpoint: Checkpoint, plan: Plan, kind: str
) -> tuple[DQNAgent | ActorCritic, tuple[str, ...], float]:
    """Return the agent, what a user should know, and how far it is from the old one."""
    if kind == "DQNAgent":
        dqn = library_dqn.build_dqn(checkpoint)
        return dqn, (library_dqn.NOTE,), library_dqn.compare_values(plan, dqn)
    agent, notes = library_actor_critics.build_actor_critic(checkpoint, kind)
    return agent, notes, library_actor_critics.compare_agents(plan, agent)
