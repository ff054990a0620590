"""Who is measured: one way of using one framework each, as plain data. A new call style is one `Variant`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.results import Measurement

LEGACY_AGENT = "benchmarks.subjects.legacy_agent:LegacyAgent"
SUITE_AGENT = "benchmarks.subjects.suite_agent:SuiteAgent"
D3RLPY_PYTHON = "TORCHWARD_D3RLPY_PYTHON"
"""Variable that names the Python of an environment with d3rlpy in it."""
UPDATES_A_CALL = 64
"""Of agents that take many at once: their batches and masks are then a few megabytes, which a cache still holds."""
TORCH_AGENT = "benchmarks.subjects.torch_agent:TorchAgent"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of using one framework; measured in a process of its own.

    A way that an agent does not have is left out by its subject, with the reason.

    Attributes:
        framework: "legacy", "torch" or "other" (what is neither side of the migration).
        label: as shown, framework first.
        subject: "module:Class" of `benchmarks.subjects`.
        options: arguments of that class; the threads and, for agents, the pair are added.
    """

    name: str
    framework: str
    label: str
    subject: str
    options: Mapping[str, str | int | bool] = field(default_factory=dict)
    agent: bool = (
        True  # measures the agents of the pair; else only what the guide's pair is compared with
    )
    process: str | None = None  # whom it joins where processes are shared; None: its framework
    always_shared: bool = (
        False  # shares its process in every run: its ratio to the others is what counts
    )
    python: str | None = None  # variable that names the Python it runs under; None, not set: ours


_NETWORK = "benchmarks.subjects.converted:NetworkSubject"

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(
            "legacy-fit",
            "legacy",
            "TensorFlow, fit + predict",
            LEGACY_AGENT,
            {"style": "fit"},
        ),
        Variant(
            "legacy-batch",
            "legacy",
            "TensorFlow, train_on_batch + model(x)",
            LEGACY_AGENT,
            {"style": "train_on_batch"},
        ),
        Variant(
            "legacy-function",
            "legacy",
            "TensorFlow, tf.function",
            LEGACY_AGENT,
            {"style": "function", "updates_a_call": UPDATES_A_CALL},
        ),
        Variant(
            "legacy-own",
            "legacy",
            "TensorFlow, the agent's own call style",
            LEGACY_AGENT,
            {"style": ""},
        ),
        Variant(
            "torch-eager",
            "torch",
            "PyTorch, eager",
            TORCH_AGENT,
            {"compiled": False, "updates_a_call": UPDATES_A_CALL},
        ),
        Variant(
            "torch-compile",
            "torch",
            "PyTorch, compiled",
            TORCH_AGENT,
            {"compiled": True, "updates_a_call": UPDATES_A_CALL},
        ),
        Variant(
            "handwritten",
            "other",
            "hand-written eager loop, fused Adam",
            "benchmarks.subjects.handwritten:HandwrittenLoop",
            agent=False,
            process="torch",
        ),
        Variant(
            "sb3",
            "other",
            "stable-baselines3 DQN",
            "benchmarks.subjects.stable_baselines:StableBaselinesDQN",
            agent=False,
        ),
        Variant(
            "suite-legacy",
            "legacy",
            "TensorFlow, graph (SAC), tf.function (DQN)",
            SUITE_AGENT,
            {"side": "legacy"},
            agent=False,
        ),
        *(
            Variant(
                name,
                "torch",
                label,
                SUITE_AGENT,
                {"side": "torch", "compiled": name == "suite-compiled"},
                agent=False,
            )
            for name, label in (
                ("suite-eager", "PyTorch, eager"),
                ("suite-compiled", "PyTorch, compiled"),
            )
        ),
        Variant(
            "suite-sb3",
            "other",
            "stable-baselines3",
            "benchmarks.subjects.stable_baselines_suite:StableBaselinesSuite",
            agent=False,
        ),
        Variant(
            "suite-d3rlpy",
            "other",
            "d3rlpy SAC",
            "benchmarks.subjects.d3rlpy_sac:D3rlpySac",
            agent=False,
            process="d3rlpy",
            python=D3RLPY_PYTHON,
        ),
        *(
            Variant(
                name,
                "torch",
                label,
                _NETWORK,
                {"converted": name == "converted"},
                agent=False,
                process="networks",
                always_shared=True,
            )
            for name, label in (
                ("converted", "PyTorch, converted"),
                ("by-hand", "PyTorch, written by hand"),
            )
        ),
        Variant(
            "keras-torch",
            "other",
            "Keras on torch",
            "benchmarks.subjects.keras_on_torch:KerasOnTorch",
            agent=False,
            process="keras-torch",
        ),
    )
}

LEGACY_STYLES = ("legacy-fit", "legacy-batch", "legacy-function")
TORCH_STYLES = ("torch-eager", "torch-compile")
BOTH = LEGACY_STYLES + TORCH_STYLES
SUITE = ("suite-legacy", "suite-eager", "suite-compiled", "suite-sb3")


def measurement_of(
    variant: Variant,
    case: str,
    values: Sequence[float],
    details: Mapping[str, str | float | int] | None = None,
    problem: str | None = None,
) -> Measurement:
    """Return a measurement that carries the variant's name, framework and label."""
    return Measurement(
        variant=variant.name,
        framework=variant.framework,
        label=variant.label,
        case=case,
        values=() if problem else tuple(values),
        details=dict(details or {}),
        problem=problem,
    )
