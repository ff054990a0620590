"""`torch.export`: the traced computation with its weights, for torch without torchward (`torch.export.load`)."""

from __future__ import annotations

import io
import json

from converters.writers.content import Content
from converters.writers.output_file import OutputFile
from converters.writers.registry import writer


@writer("pt2", suffix=".pt2", trains=False)
def write_pt2(file: OutputFile, content: Content) -> None:
    """Write the exported program; the report lies in it as "torchward.json". Equal inputs give equal bytes.

    Raises:
        UnsupportedError: torch cannot trace the module.
        ConversionError: The traced module computes something else.
    """
    import torch

    from converters.traced.program import trace

    traced = trace(content)
    about = json.dumps(dict(content.metadata()), sort_keys=True, ensure_ascii=True, default=str)
    buffer = io.BytesIO()
    torch.export.save(traced.program, buffer, extra_files={"torchward.json": about})
    file.write(buffer.getbuffer())
