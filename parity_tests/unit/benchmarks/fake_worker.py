"""Speaks the lines of benchmarks.worker without any framework: `python fake_worker.py SECONDS_PER_OPERATION_JSON`.

The argument maps the key of a variant to the seconds of one operation, or to a text: then opening it fails. A text
that begins with "not for" is the reason of a variant that is left out.
"""

from __future__ import annotations

import json
import sys

seconds = json.loads(sys.argv[1])
for line in sys.stdin:
    request = json.loads(line)
    answer: dict[str, object] = {}
    if request["do"] == "open":
        wanted = seconds.get(request["key"], 0.001)
        if wanted == "die":
            sys.stderr.write("out of luck\n")
            sys.exit(7)
        if isinstance(wanted, str) and wanted.startswith("not for"):
            answer = {"left_out": wanted}
        elif isinstance(wanted, str):
            answer = {"missing": wanted}
        else:
            answer = {"details": {"task": request["task"]}}
    elif request["do"] == "turn":
        answer = {"seconds": seconds.get(request["key"], 0.001) * 10, "operations": 10}
    elif request["do"] == "memory":
        answer = {"bytes": 300_000_000}
    elif request["do"] == "sizes":
        answer = {"sizes": [[".one", 1000], [".two", 2000]]}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
