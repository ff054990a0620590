"""The measuring process: `python -m benchmarks.worker`, one JSON request a line in, one JSON answer a line out.

    {"do": "load", "subject": "module:Class", "options": {...}} -> {}     imports what it needs
    {"do": "open", "key": K, "subject": "module:Class", "task": T, "options": {...}, "turn_s": S,
     "operations": N}
        -> {"details": {...}}     built, and warmed up for turns of S seconds; or for turns of exactly N operations
    {"do": "turn", "key": K}  -> {"seconds": S, "operations": N}
    {"do": "sizes", "subject": ..., "options": ..., "folder": F}  -> {"sizes": [[label, bytes], ...]}
    {"do": "memory"}          -> {"bytes": N}      largest resident size so far
    {"do": "close", "key": K} -> {}
    end of input ends the process.

What goes wrong is an answer too: {"missing": "what to install"}, {"left_out": "why it means nothing here"} or
{"error": "one line"}.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from benchmarks.measure import peak_memory, time_operation, warm_up
from benchmarks.subjects import MissingExtraError, NotApplicableError, Prepared, Subject

INSTALL = {
    "tensorflow": "torchward[legacy]",
    "keras": "torchward[legacy]",
    "gymnasium": "torchward[rl]",
    "stable_baselines3": "stable-baselines3",
}
"""What to install for a module that is missing."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A prepared task, the operations a turn begins with, and how long it lasts at least."""

    prepared: Prepared
    operations: int
    turn_s: float


def open_channel() -> TextIO:
    """Return the real standard output for answers and send everything printed later to standard error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # also catches what C++ code writes to file descriptor 1
    return channel


def build_subject(path: str, options: Mapping[str, object]) -> Subject:
    """Return the subject named "module:Class", built with `options`."""
    module, _, name = path.partition(":")
    subject: Subject = getattr(importlib.import_module(module), name)(**options)
    return subject


class Worker:
    """Answers requests; keeps what is open between them."""

    def __init__(self) -> None:
        self._opened: dict[str, Opened] = {}

    def answer(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Return the answer to one request, failures included. Any: JSON."""
        try:
            return self._dispatch(request)
        except ModuleNotFoundError as error:
            name = (error.name or "").partition(".")[0]
            if name not in INSTALL:
                traceback.print_exc()
                return {"error": f"{type(error).__name__}: {error}"}
            return {"missing": f"{name} is not installed: pip install '{INSTALL[name]}'"}
        except MissingExtraError as error:
            return {"missing": str(error)}
        except NotApplicableError as error:
            return {"left_out": str(error)}
        except Exception as error:  # the parent shows it beside the variants that did work
            traceback.print_exc()
            first_line = (str(error).strip() or "no message").splitlines()[0]
            return {"error": f"{type(error).__name__}: {first_line}"}

    def _dispatch(self, request: Mapping[str, Any]) -> dict[str, object]:
        match request["do"]:
            case "load":
                build_subject(request["subject"], request["options"])
                return {}
            case "open":
                return self._open(request)
            case "turn":
                opened = self._opened[request["key"]]
                seconds, operations = time_operation(
                    opened.prepared.operation,
                    opened.operations,
                    at_least_s=opened.turn_s,
                    multiple=opened.prepared.multiple,
                )
                return {"seconds": seconds, "operations": operations}
            case "sizes":
                subject = build_subject(request["subject"], request["options"])
                return {"sizes": [list(entry) for entry in subject.sizes(request["folder"])]}
            case "memory":
                return {"bytes": peak_memory()}
            case "close":
                del self._opened[request["key"]]
                gc.unfreeze()
                gc.collect()
                return {}
            case other:
                message = f"unknown request {other!r}"
                raise ValueError(message)

    def _open(self, request: Mapping[str, Any]) -> dict[str, object]:
        subject = build_subject(request["subject"], request["options"])
        prepared = subject.prepare(request["task"])
        operations, turn_s = request["operations"], 0.0
        if operations is None:
            turn_s = float(request["turn_s"])
            operations = warm_up(prepared.operation, turn_s, multiple=prepared.multiple)
        self._opened[request["key"]] = Opened(prepared, operations, turn_s)
        # What exists now stays; not looking at it again keeps the collection before each turn short.
        gc.collect()
        gc.freeze()
        return {"details": dict(prepared.details)}


def main() -> None:
    """Answer requests until the input ends."""
    channel = open_channel()
    worker = Worker()
    for line in sys.stdin:
        channel.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
