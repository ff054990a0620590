"""`python -m parity_tests.completeness`: run Keras's own layer tests through the converter and print what came of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports torch
    from parity_tests.completeness.result import Result


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; return 0 if every case passes."""
    parser = argparse.ArgumentParser(
        prog="python -m parity_tests.completeness", description=__doc__
    )
    parser.add_argument("only", nargs="*", help="parts of paths of test files: core/dense rnn/")
    parser.add_argument(
        "--parts",
        nargs="+",
        type=Path,
        help="run nothing: join what earlier runs wrote with --json",
    )
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--table", type=Path, help="write the table here, too")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")

    from parity_tests.completeness.report import format_table, join_parts, to_data

    results = join_parts(chosen.parts) if chosen.parts else _run(chosen.only)
    table = format_table(results)
    sys.stdout.write(table)
    if chosen.table:
        chosen.table.write_text(table, encoding="utf-8")
    if chosen.json:
        chosen.json.write_text(json.dumps(to_data(results), indent=1), encoding="utf-8")
    return 0 if all(result.outcome != "fail" for result in results) else 1


def _run(only: Sequence[str]) -> list[Result]:
    import torch

    from parity_tests.completeness.collect import collect_cases
    from parity_tests.completeness.evaluate import evaluate

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return [
            evaluate(case, Path(folder) / str(index))
            for index, case in enumerate(collect_cases(*only))
        ]


if __name__ == "__main__":
    sys.exit(main())
