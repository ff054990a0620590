"""Output formats that hold the traced computation instead of a description of it; writing them needs torch."""
