"""How a run's updates are computed: compiled where it is asked for or pays, in mixed precision where it is asked for.

Which agents can compile is not known here: those of the RRD suite that have `compile_steps`, others that take
`compiled`. Both ways give the same numbers within rounding. The choice depends on the arguments alone, so a resumed run
makes the same one.
"""

from __future__ import annotations

from typing import Any, Literal

from experience.arguments import Arguments

UPDATES_THAT_PAY = 20_000
"""Planned updates from which compiling pays: it takes 10 to 60 s and saves 1 to 5 ms an update on one core."""
DQN_UPDATES_THAT_PAY = 40_000
"""The same for the guide's DQN: compiling takes 20 s and saves 0.5 ms an update."""

Compiled = bool | Literal["auto"]
"""Whether updates are compiled: from the first one on, never, or "auto": once so many are done that it pays."""


def find_device_gap(arguments: Arguments, agent: Any) -> str | None:  # noqa: ANN401  of either framework
    """Return a line if a GPU was asked for and the agent has none."""
    if not arguments.cuda or getattr(agent, "is_cuda", False):
        return None
    return "--cuda yes: there is no GPU that the framework can use; the run goes on on the CPU."


def choose_precision(arguments: Arguments, agent: Any) -> str | None:  # noqa: ANN401  of either framework
    """Let the agent train in mixed precision if `amp` asks for it, and return a line that says what it does.

    Args:
        arguments: of the run.
        agent: `use_mixed_precision` returns what stands against it, or None.

    Returns:
        None where it is not asked for.
    """
    if not arguments.amp:
        return None
    use = getattr(agent, "use_mixed_precision", None)
    obstacle = "TensorFlow's graphs are built without it" if use is None else use()
    if obstacle is not None:
        return f"--amp: all is computed in {arguments.dtype}: {obstacle}."
    return "--amp: layers are computed in bfloat16, all else in float32."


def choose_steps(arguments: Arguments, agent: Any) -> str:  # noqa: ANN401  of either framework
    """Let the agent compile its steps if they should be, and return a line that says how updates run.

    Args:
        arguments: `compiled` None: compile on a CPU, with vectors as observations, where it pays.
        agent: of the run; `compile_steps` returns what stands against it, or None.

    Returns:
        What is chosen. TensorFlow's graphs are compiled as they are: there is nothing to choose.
    """
    compile_steps = getattr(agent, "compile_steps", None)
    if compile_steps is None:
        return "Updates run in a TensorFlow graph; --use_pytorch yes or USE_PYTORCH=1 runs them in PyTorch."
    eager = "Updates run in eager PyTorch"
    planned = planned_updates(arguments)
    if arguments.compiled is False:
        return f"{eager}, as asked."
    if arguments.compiled is None:
        if planned < UPDATES_THAT_PAY:
            return f"{eager}: compiling pays from {UPDATES_THAT_PAY:,} updates on, {planned:,} are planned."
        if len(arguments.obs_dims) > 1 or agent.is_cuda:
            return f"{eager}: on images, and on a GPU, they are compiled only with --compiled yes."
    obstacle = compile_steps()
    if obstacle is not None:
        return f"{eager}: {obstacle}."
    return "Updates are compiled, each kind at its first call (10 to 60 s); --compiled no runs them in eager PyTorch."


def planned_updates(arguments: Arguments) -> int:
    """Return the updates of the whole run, those that fall into the warm-up counted as well."""
    iterations = arguments.epochs * arguments.cycles * arguments.iterations
    return iterations * arguments.train_batches


def plan_compiling(planned: int | None, *, pays_from: int, may_end_early: bool) -> Compiled:
    """Return how the updates of a run should be computed on a CPU.

    A run of unknown length begins in eager PyTorch and is compiled once as many updates are done as compiling costs, so
    that it takes at most about twice the time of the better choice; not where too few can be left by then.

    Args:
        planned: updates of the whole run, at most; None: unknown.
        pays_from: updates that take as much longer in eager PyTorch as compiling takes.
        may_end_early: fewer may be done than planned.
    """
    if planned is not None and planned < (2 * pays_from if may_end_early else pays_from):
        return False
    return "auto" if planned is None or may_end_early else True


def describe_compiling(compiled: Compiled, *, pays_from: int) -> str:
    """Return a line that says how updates run, for people."""
    if compiled == "auto":
        return (
            f"in eager PyTorch, compiled once {pays_from:,} are done (--set compiled=false: never)"
        )
    if compiled:
        return "compiled at the first call, in 10 to 60 s (--set compiled=false runs them in eager PyTorch)"
    return f"in eager PyTorch; compiling pays from about {pays_from:,} on (--set compiled=true)"
