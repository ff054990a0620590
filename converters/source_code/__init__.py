"""The parts of emitted source: expressions, statements, classes of blocks, pieces of our own."""
