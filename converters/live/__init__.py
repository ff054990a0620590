"""Converted files as live torch objects: modules, optimizers, losses, metrics; what needs torch to read a conversion."""
