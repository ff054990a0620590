"""One module an output format: planned arrays to a file, streamed, deterministic, all or nothing."""
