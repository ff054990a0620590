"""The registry of what is measured, as plain data; who is measured is in `variants.py`.

A new measurement is one `Workload` and a task of the same name in the subjects.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.results import Measurement, Requirement, WorkloadResult
from benchmarks.variants import BOTH, LEGACY_STYLES, SUITE, VARIANTS

Kind = Literal["timed", "startup", "memory", "size", "convert", "reading", "curves"]

GUIDE_PAIR = "dqn"
"""The guide's own pair: measured under the guide's conditions and beside others' loops for the same work."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One measurement, in one unit, over some variants and cases.

    Attributes:
        kind: how it is run, see `benchmarks.run`.
        cases: shown text to task name of the subjects.
        per: what one operation is, for units like seconds ("step").
    """

    name: str
    kind: Kind
    title: str
    what: str
    unit: str
    better: str
    variants: tuple[str, ...]
    cases: Mapping[str, str]
    requirements: tuple[Requirement, ...] = ()
    notes: tuple[str, ...] = ()

    def result(self, measurements: Sequence[Measurement]) -> WorkloadResult:
        """Return the result of this workload from what was measured."""
        return WorkloadResult(
            name=self.name,
            title=self.title,
            what=self.what,
            unit=self.unit,
            better=self.better,
            measurements=tuple(measurements),
            requirements=self.requirements,
            notes=self.notes,
        )


CONVERTED_CASES = {
    f"{title}, {what}, batch {batch}": f"{name} {kind} {batch}"
    for name, title in (
        ("dqn", "DQN 12-128-64-32-5"),
        ("resnet", "ResNet50 (64 x 64)"),
        ("lstm", "two LSTM layers"),
        ("transformer", "four transformer blocks"),
    )
    for kind, what, batch in (
        ("forward", "forward", 1),
        ("forward", "forward", 32),
        ("train", "training step", 32),
    )
}
_SAC_PENDULUM, _DQN_CARTPOLE = "SAC, Pendulum", "DQN, CartPole"
_DQN_BURSTS = "DQN, CartPole, bursts"

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "training",
            "timed",
            "Training in the guide's environment",
            "Seconds for one step of the guide's training loop: choose an action, step the vocabulary "
            "environment, store, replay a batch of 32. The guide's 100 episodes are 2,000 such steps.",
            "s/step",
            "lower",
            BOTH,
            {"": "training"},
        ),
        Workload(
            "updates",
            "timed",
            "DQN updates",
            "Updates a second with batches of 64: draw from a full replay memory of 10,000, targets, loss, "
            "gradients, clipping, Adam. Network 12-128-64-32-5 (12,165 parameters).",
            "updates/s",
            "higher",
            (*BOTH, "handwritten", "sb3"),
            {"": "updates"},
            requirements=(
                Requirement(
                    "torch-compile",
                    "handwritten",
                    "",
                    2.3,
                    "compiled against a hand-written eager PyTorch loop",
                ),
                Requirement("torch-compile", "sb3", "", 3.0, "compiled against stable-baselines3"),
            ),
        ),
        Workload(
            "inference",
            "timed",
            "Choosing actions",
            "Seconds from a numpy observation to a numpy action, no exploration.",
            "s/call",
            "lower",
            BOTH,
            {"batch 1": "act-1", "batch 256": "act-256"},
        ),
        Workload(
            "startup",
            "startup",
            "Start to first training step",
            "Seconds from starting Python to the end of the first training step: imports, building the "
            "agent, compiling where the style compiles. A new process every round.",
            "s",
            "lower",
            BOTH,
            {"": "first-step"},
        ),
        Workload(
            "memory",
            "memory",
            "Memory",
            "Largest resident size of a process that does nothing but train with this style.",
            "bytes",
            "lower",
            BOTH,
            {"": "memory"},
        ),
        Workload(
            "size",
            "size",
            "Model files",
            "Bytes on disk of the guide's network in every format; 12,165 float32 parameters are 48,660 bytes.",
            "bytes",
            "lower",
            ("legacy-function", "torch-eager"),
            {"": "size"},
            notes=(
                "Keras 3 cannot write weights alone as .h5; Keras 2 could, and those files convert.",
            ),
        ),
        Workload(
            "convert",
            "convert",
            "Converting a file",
            "Seconds of the whole command `torchward convert`, for a Keras file of the guide's network, beside "
            "the time Python takes to import h5py and torch. A new process every round.",
            "s",
            "lower",
            ("convert", "imports"),
            {"": "convert"},
        ),
        Workload(
            "checkpoint-reading",
            "reading",
            "Reading a TensorFlow checkpoint",
            "Seconds of a process that does nothing but read every tensor of a checkpoint of the guide's network, "
            "checksums compared, beside TensorFlow's own reader. A new process every round.",
            "s",
            "lower",
            ("bundle", "load_checkpoint"),
            {"": "checkpoint-reading"},
        ),
        Workload(
            "converted",
            "timed",
            "Converted networks",
            "Seconds of a forward pass or a training step of the module a Keras file converts to, beside the same "
            "network written by hand in PyTorch with stock layers, in turns in one process, and beside Keras itself, "
            "which loads the file with its torch backend in a process of its own. All outputs are compared first.",
            "s",
            "lower",
            ("converted", "by-hand", "keras-torch"),
            CONVERTED_CASES,
            tuple(
                Requirement(
                    "converted",
                    reference,
                    case,
                    0.95,
                    f"{case}: at least as fast as {label}, within 5 %",
                )
                for reference, label in (("by-hand", "by hand"), ("keras-torch", "Keras on torch"))
                for case in CONVERTED_CASES
            ),
        ),
        Workload(
            "suite-updates",
            "timed",
            "SAC updates",
            "Updates a second with batches of 256 drawn from 20,000 transitions: policy, temperature, two critics of 2 x 256 "
            "units, targets. Observations of 17 numbers, actions of 6.",
            "updates/s",
            "higher",
            (*SUITE, "suite-d3rlpy"),
            {"": "sac-updates"},
            requirements=(
                Requirement(
                    "suite-compiled", "suite-sb3", "", 1.5, "compiled against stable-baselines3"
                ),
                Requirement("suite-compiled", "suite-d3rlpy", "", 1.8, "compiled against d3rlpy"),
                Requirement(
                    "suite-compiled",
                    "suite-legacy",
                    "",
                    1.0,
                    "compiled against the TensorFlow 1 graph",
                ),
            ),
        ),
        Workload(
            "suite-training",
            "timed",
            "Whole training loops",
            "Environment steps a second: acting, environment, replay memory, updates. one update a step: SAC with "
            "2 x 256 units and batches of 256, DQN with 2 x 64 and 32, the defaults of stable-baselines3. Bursts: 128 updates every 256 "
            "steps with 2 x 256 units and batches of 64, as its zoo has tuned DQN; there most of the time are products of matrices, in both.",
            "environment steps/s",
            "higher",
            SUITE,
            {
                _SAC_PENDULUM: "sac-training",
                _DQN_CARTPOLE: "dqn-training",
                _DQN_BURSTS: "dqn-bursts",
            },
            requirements=(
                Requirement(
                    "suite-compiled",
                    "suite-sb3",
                    _SAC_PENDULUM,
                    1.5,
                    "SAC against stable-baselines3",
                ),
                Requirement(
                    "suite-compiled",
                    "suite-sb3",
                    _DQN_CARTPOLE,
                    3.0,
                    "DQN against stable-baselines3",
                ),
            ),
        ),
        Workload(
            "suite-acting",
            "timed",
            "Choosing one action",
            "Seconds from one numpy observation to its greedy action, networks of 2 x 256 units; stable-baselines3's `predict`.",
            "s/call",
            "lower",
            ("suite-legacy", "suite-eager", "suite-sb3"),
            {"SAC": "sac-act", "DQN": "dqn-act"},
            requirements=tuple(
                Requirement(
                    "suite-eager",
                    "suite-sb3",
                    case,
                    2.0,
                    f"{case}: half the time of stable-baselines3",
                )
                for case in ("SAC", "DQN")
            ),
        ),
        Workload(
            "learning",
            "curves",
            "Learning curves",
            "Return over environment steps of stored training runs.",
            "",
            "higher",
            (),
            {},
        ),
    )
}

OTHER_PAIRS = {
    "training": (
        "Training in the pair's environment",
        (
            "Seconds for one step of the training loop: choose an action, step the environment, remember, and learn as "
            "the agent does: from a batch of 32 at every step, or at the end of every episode."
        ),
    ),
    "updates": (
        "Updates",
        (
            "Updates a second with batches of 64, in the pair's first configuration: drawn from a full replay memory of "
            "10,000 where the agent has one, else handed over as the pair's input recipe gives them."
        ),
    ),
    "size": ("Model files", "Bytes on disk of the pair's first network in every format."),
}
"""Title and text of the workloads that are of another kind for a pair that is not the guide's."""

QUICK = ("updates", "inference", "size")
"""What `--quick` runs when no workload is named: seconds, not minutes."""
NOT_QUICK = ("sb3",)
"""Variants that a quick run leaves out when no workload is named."""
DEFAULT = ("training", "updates", "inference", "startup", "memory", "size", "convert")
"""What runs when nothing is named."""


def choose(
    names: tuple[str, ...],
    *,
    quick: bool,
    without: tuple[str, ...] = (),
    pair: str = GUIDE_PAIR,
    pairs: str | None = None,
) -> list[Workload]:
    """Return the workloads of these names, the usual ones if there are none.

    Args:
        names: of workloads.
        quick: without names, only those that take seconds, without the variants of `NOT_QUICK`.
        without: names of variants that are left out.
        pair: whose agents are measured.
        pairs: "module:NAME" of the user's own pairs, None: ours.

    Raises:
        ValueError: A name is unknown; the message has the nearest one.
    """
    _check_names("workload", names, tuple(WORKLOADS))
    _check_names("variant", without, tuple(VARIANTS))
    left_out = set(without)
    if quick and not names:
        names, left_out = QUICK, {*without, *NOT_QUICK}
    return [
        _leave_out(fit_to_pair(WORKLOADS[name], pair, pairs), left_out)
        for name in dict.fromkeys(names or DEFAULT)
    ]


def is_guides(pair: str, pairs: str | None) -> bool:
    """Return whether the pair is the guide's own, and not one of a user's module that has its name."""
    return pair == GUIDE_PAIR and pairs is None


def fit_to_pair(workload: Workload, pair: str, pairs: str | None) -> Workload:
    """Return the workload as it is for this pair: what it says, in which styles, with which promises."""
    if is_guides(pair, pairs):
        return workload
    title, what = OTHER_PAIRS.get(workload.name, (workload.title, workload.what))
    variants = list(workload.variants)
    styles = [name for name in variants if name in LEGACY_STYLES]
    if styles:
        variants.insert(variants.index(styles[-1]) + 1, "legacy-own")
    return replace(workload, title=title, what=what, variants=tuple(variants), requirements=())


def _check_names(kind: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            message = f"no {kind} {name!r}.{hint} There are: {', '.join(known)}"
            raise ValueError(message)


def _leave_out(workload: Workload, names: set[str]) -> Workload:
    """Return the workload without these variants and what is promised about them, and with a note that says so."""
    left_out = [name for name in workload.variants if name in names]
    if not left_out:
        return workload
    labels = "; ".join(VARIANTS[name].label for name in left_out)
    return replace(
        workload,
        variants=tuple(name for name in workload.variants if name not in names),
        requirements=tuple(
            requirement
            for requirement in workload.requirements
            if not {requirement.subject, requirement.reference} & names
        ),
        notes=(*workload.notes, f"Left out of this run: {labels}."),
    )
