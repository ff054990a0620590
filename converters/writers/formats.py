"""All output formats: every module beside this one and in `converters.traced` is imported, and registers itself.

The formats of `converters.traced` need torch, but not to be registered.
"""

from __future__ import annotations

import importlib
import pkgutil

import converters.traced
import converters.writers

for _module in pkgutil.iter_modules(converters.writers.__path__):
    if _module.name != __name__.rpartition(".")[2]:
        importlib.import_module(f"{converters.writers.__name__}.{_module.name}")
for _name in ("pt2", "onnx"):
    importlib.import_module(f"{converters.traced.__name__}.{_name}")
