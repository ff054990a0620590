"""What every reader needs and no format owns: opening, hashing, JSON text, Keras settings, foreign files."""
