"""Model configurations of every Keras generation, to a `Graph` in the words of Keras 3."""
