"""Pairs of agents run on the same inputs and compared: probes, comparison, reports, and the test suites."""

from __future__ import annotations

from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"
"""Recorded files, a folder a case."""
