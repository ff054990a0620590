"""Optimizer rules; importing this package registers them all."""
