"""Keras behaviour that stock torch lacks, each piece a self-contained class with its formula (docs/numerics.md)."""
