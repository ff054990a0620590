"""The commands on legacy files: what is typed, and what is printed. Thin: they call what is below and show it."""
