from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.results import (
    BenchResult,
    Curve,
    Measurement,
    Requirement,
    ResultFileError,
    WorkloadResult,
    read_result,
)


def example() -> BenchResult:
    workload = WorkloadResult(
        "updates",
        "Updates",
        "What was done.",
        "updates/s",
        "higher",
        (
            Measurement(
                "torch-eager", "torch", "PyTorch, eager", "", (1.5, 2.5), {"operations": 3}
            ),
            Measurement("sb3", "other", "SB3", "", (), problem="not measured: not installed"),
        ),
        (Requirement("torch-eager", "sb3", "", 3.0, "eager against SB3"),),
        ("A note.",),
    )
    curve = Curve("torch", "PyTorch", "0", (0.0, 100.0), (1.0, 2.0))
    return BenchResult(
        "torchward bench", {"cores": "2"}, {"repeats": 2}, (workload,), (curve,), {"results": []}
    )


def test_a_result_survives_its_json() -> None:
    assert BenchResult.from_json(example().to_json()) == example()


def test_the_same_result_is_the_same_text() -> None:
    assert BenchResult.from_json(example().to_json()).to_json() == example().to_json()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "torchward-bench", "format_version": 99}', '{"format": "other"}'],
    ids=["empty", "list", "nothing", "newer", "foreign"],
)
def test_another_file_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(text)

    with pytest.raises(ResultFileError, match=r"bench\.json"):
        read_result(path)


@pytest.mark.parametrize("name", ["workloads", "command", "environment", "curves", "parity"])
def test_a_missing_field_is_refused(name: str) -> None:
    body = json.loads(example().to_json())
    del body[name]

    with pytest.raises(ResultFileError, match=name):
        BenchResult.from_json(json.dumps(body))


def test_an_unknown_field_of_a_measurement_is_refused() -> None:
    body = json.loads(example().to_json())
    body["workloads"][0]["measurements"][0]["surprise"] = 1

    with pytest.raises(ResultFileError, match="surprise"):
        BenchResult.from_json(json.dumps(body))
