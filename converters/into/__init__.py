"""Weights of a legacy file into a module that the user wrote: by name, by a table, or by order where shapes allow one."""
