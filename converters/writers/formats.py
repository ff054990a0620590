"""All output formats; importing this module registers them."""

from __future__ import annotations

from converters.writers import pth, safetensors

__all__ = ["pth", "safetensors"]
