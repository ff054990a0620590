"""Many files at once: what to convert, in limited processes, with one table of outcomes."""
