"""Convert an agent of stable-baselines 2 to a file of stable_baselines3: read, plan, build, compare, write."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from converters.agents.statements import is_normalizer
from converters.checkpoint import Checkpoint
from converters.errors import UnsupportedError, VerificationError, placed
from converters.live.acting import ConvertedAgent
from converters.live.build import build_planned
from converters.plan import plan_conversion
from converters.planned import Plan
from converters.report import ConversionReport, make_report
from converters.stable_baselines3.agent import Counterpart, plan_counterpart
from converters.stable_baselines3.normalizer import LOADER, normalizer_bytes
from converters.stable_baselines3.write import Model, build_model, model_bytes, sample_observations
from converters.verification import relative_difference
from converters.writers.output_file import OutputFile, check_outputs

FORMAT = "sb3"
COMPARED = 256
"""Observations on which both agents must act alike before anything is written."""
TOLERANCE = 1e-4
"""Largest difference of continuous actions, relative to the largest: float32 in another order of summation; layers that
clip observations add numbers that are 5 apart, which costs two digits."""
CLOSE = 1e-4
"""Values nearer than this are a tie, which either agent may decide."""


def convert_to_sb3(
    checkpoint: Checkpoint, source: Path, target: Path, *, force: bool
) -> ConversionReport:
    """Write an agent as a file that `stable_baselines3.<Algorithm>.load` opens, a `VecNormalize` as one for its `load`.

    Args:
        checkpoint: of an agent of stable-baselines 2, or of its `VecNormalize`.
        source: its file.
        target: where to.
        force: replace an existing output.

    Raises:
        UnsupportedError: The agent has no counterpart, or stable_baselines3 is not installed.
        VerificationError: The new agent acts otherwise, the new wrapper normalizes otherwise; nothing was written.
    """
    report_path = target.with_name(f"{target.name}.json")
    check_outputs([target, report_path], source, force=force)
    with placed(checkpoint.provenance.file):
        if is_normalizer(checkpoint):
            plan = plan_conversion(checkpoint)
            data, compared = normalizer_bytes(checkpoint, plan)
            summary = {"class": "VecNormalize", "loader": LOADER, "further_argument": "venv"}
            notes = [*plan.notes, compared]
            plan = replace(plan, ignored=())  # all statistics go along
        else:
            agent = plan_counterpart(checkpoint)
            plan = plan_conversion(checkpoint)
            model = build_model(agent)
            notes = [*plan.notes, *agent.notes, compare_actions(plan, agent, model)]
            data = model_bytes(model)
            loader = f"stable_baselines3.{agent.algorithm}"
            summary = {"class": agent.algorithm, "loader": loader}
    plan = replace(plan, notes=tuple(notes))
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(OutputFile(target))
        output.write(data)
        output.finish()
        report = make_report(checkpoint, plan, format=FORMAT)
        report = replace(report, agent={**summary, "optimizers": "none"})
        report = report.with_output(target.name, output.sha256, output.size)
        beside = stack.enter_context(OutputFile(report_path)).with_text(report.to_text())
        for file in (output, beside):
            file.commit()
    return report


def suffix_of(checkpoint: Checkpoint) -> str:
    """Return what the name of the output ends with, if the user names none."""
    return "_sb3.pkl" if is_normalizer(checkpoint) else "_sb3.zip"


def compare_actions(plan: Plan, agent: Counterpart, model: Model) -> str:
    """Return a sentence on how alike both agents act.

    Raises:
        VerificationError: They do not.
        UnsupportedError: The old agent has no rule of acting.
    """
    module = _old_agent(plan)
    observations = sample_observations(agent, COMPARED)
    old = np.asarray(module.act(observations))
    new, _ = model.predict(observations, deterministic=True)
    if new.dtype.kind == "f":
        worst = relative_difference(new, old) if new.shape == old.shape else math.inf
        if not worst <= TOLERANCE:  # so that NaN fails
            msg = f"{agent.algorithm} of stable_baselines3 acts otherwise: off by {worst:.1e}; nothing was written"
            raise VerificationError(msg)
        return f"both agents act alike on {COMPARED} observations, within {worst:.1e}"
    differing = np.flatnonzero((new != old).reshape(len(old), -1).any(axis=1))
    ties = _ties(module, observations[differing]) if len(differing) else 0
    if len(differing) > ties:
        msg = f"{agent.algorithm} of stable_baselines3 acts otherwise on {len(differing)} of {COMPARED} observations; nothing was written"
        raise VerificationError(msg)
    return f"both agents choose the same actions on {COMPARED} observations"


def _ties(module: ConvertedAgent, observations: NDArray[np.generic]) -> int:
    """Return on how many observations the best two choices are as good as equal."""
    with torch.no_grad():
        outputs = module(torch.from_numpy(observations))
    values: Mapping[str, torch.Tensor] = outputs
    scores = values.get("q_values", values.get("logits"))
    if scores is None or scores.shape[-1] < 2:
        return 0
    best = scores.topk(2, dim=-1).values
    return int(((best[:, 0] - best[:, 1]).abs() < CLOSE).sum())


def _old_agent(plan: Plan) -> ConvertedAgent:
    module = build_planned(plan)
    if not isinstance(module, ConvertedAgent):
        msg = "the file holds no agent that acts"
        raise UnsupportedError(msg)
    return module
