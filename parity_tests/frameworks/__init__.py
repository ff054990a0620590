"""The same functions for each framework: build, set weights, run a probe, return numpy."""
