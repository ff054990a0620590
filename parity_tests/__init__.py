"""Pairs of agents run on the same inputs and compared: probes, comparison, reports, and the test suites."""
