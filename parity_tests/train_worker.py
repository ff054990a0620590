"""The process in which a TensorFlow agent trains: `python -m parity_tests.train_worker`.

One JSON request on standard input; on standard output one JSON line an event: {"start": ...}, {"episode": ...},
{"evaluation": ...}, and at the end {"result": ...} or {"error": ...}. Whatever TensorFlow prints goes to standard
error. The first interrupt ends the run after the episode, the second one at once.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from converters.errors import ConversionError
from experience.logs import EpisodeFigures, EvaluationFigures
from parity_tests.train_plan import RunPlan
from parity_tests.train_run import run_training
from parity_tests.worker import open_channel


class StopOnInterrupt:
    """Turns the first interrupt into a wish to stop and the second one into KeyboardInterrupt.

    Attributes:
        wished: whether there was one.
    """

    def __init__(self) -> None:
        self.wished = False

    def __call__(self, *_: object) -> None:
        """Handle the signal."""
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True


class _Sender:
    """Sends what it hears as JSON lines."""

    def __init__(self, channel: TextIO) -> None:
        self._channel = channel

    def send(self, kind: str, content: Mapping[str, object]) -> None:
        self._channel.write(json.dumps({kind: content}) + "\n")

    def on_start(self, facts: Mapping[str, object]) -> None:
        self.send("start", facts)

    def on_episode(self, figures: EpisodeFigures) -> None:
        self.send("episode", asdict(figures))

    def on_evaluation(self, figures: EvaluationFigures) -> None:
        self.send("evaluation", asdict(figures))


def main() -> None:
    """Run one request."""
    channel = open_channel()
    stop = StopOnInterrupt()
    signal.signal(signal.SIGINT, stop)
    sender = _Sender(channel)
    request = json.loads(sys.stdin.readline())
    try:
        result = run_training(
            RunPlan(**request["plan"]),
            Path(request["run_folder"]),
            resume=request["resume"],
            observer=sender,
            should_stop=lambda: stop.wished,
        )
        sender.send("result", result)
    except ConversionError as error:
        content = {"message": str(error), "hint": error.hint, "exit_code": error.exit_code}
        sender.send("error", content)
    channel.close()


if __name__ == "__main__":
    main()
