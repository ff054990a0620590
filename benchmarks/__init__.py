"""Side-by-side measurements, one process a framework."""
