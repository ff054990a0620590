"""Leaves sequences of frames joined between layers that take every time step as a sample.

Each TimeDistributed layer joins batch and time and splits them again; the next one would join them at once. Steps that
nothing takes any more are left to `converters.passes.masks`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from converters.architecture import Step
from converters.registry import Plain

Path = tuple[str, ...]
_JOIN: dict[str, Plain] = {"start_dim": 0, "end_dim": 1}


def keep_frames_joined(
    steps: Sequence[Step], origins: Sequence[Path], outputs: Container[str]
) -> tuple[list[Step], list[Path]]:
    """Return the steps with the layer of each, without joins of what was just split."""
    if not any(step.op == "compat.split_time" for step in steps):
        return list(steps), list(origins)
    split: dict[str, Step] = {}
    names: dict[str, str] = {}
    kept = []
    for step, origin in zip(steps, origins, strict=True):
        step = replace(step, inputs=tuple(names.get(name, name) for name in step.inputs))
        before = split.get(step.inputs[0]) if step.inputs else None
        joins = step.op == "torch.flatten" and dict(step.kwargs) == _JOIN
        if joins and before and before.blocks == step.blocks and step.output not in outputs:
            names[step.output] = before.inputs[0]
            continue
        if step.op == "compat.split_time":
            frames, like = step.inputs
            if like in split and split[like].blocks == step.blocks:  # of the same batch and time
                step = replace(step, inputs=(frames, split[like].inputs[1]))
            split[step.output] = step
        kept.append((step, origin))
    return [step for step, _ in kept], [origin for _, origin in kept]
