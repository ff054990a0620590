"""All output formats: every module beside this one is imported, and those that write a format register themselves."""

from __future__ import annotations

import importlib
import pkgutil

import converters.writers

for _module in pkgutil.iter_modules(converters.writers.__path__):
    if _module.name != __name__.rpartition(".")[2]:
        importlib.import_module(f"{converters.writers.__name__}.{_module.name}")
