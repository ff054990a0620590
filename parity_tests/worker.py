"""The process in which probes run for the command: `python -m parity_tests.worker`.

One JSON request on standard input; on standard output one JSON line a result, {"result": {...}}, and at the end
{"environment": {...}}. Whatever the frameworks print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from parity_tests.harness import RunRequest, describe_environment, run_in_process, set_environment
from parity_tests.report import result_to_plain


def open_channel() -> TextIO:
    """Return the real standard output and send everything printed later to standard error, C++ code included."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return channel


def read_request(text: str) -> RunRequest:
    """Return the request of a JSON text, whose lists become tuples."""
    fields: dict[str, Any] = json.loads(text)  # Any: JSON
    for name, value in fields.items():
        fields[name] = tuple(value) if isinstance(value, list) else value
    return RunRequest(**fields)


def main() -> None:
    """Run one request."""
    channel = open_channel()
    set_environment()
    for result in run_in_process(read_request(sys.stdin.readline())):
        channel.write(json.dumps({"result": result_to_plain(result)}) + "\n")
    channel.write(json.dumps({"environment": describe_environment()}) + "\n")
    channel.close()


if __name__ == "__main__":
    main()
