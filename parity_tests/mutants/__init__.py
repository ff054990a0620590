"""Thousands of damaged files for every reader: `python -m parity_tests.mutants`, which `make fuzz` calls.

`kinds` has the files that are damaged, `damage` how, `watch` what may happen meanwhile and what may not, `run` reads the
mutants of one kind in a process of its own, `__main__` starts those processes and prints a table.
"""
