"""Graphs of TensorFlow (.meta, frozen .pb, SavedModel functions) as networks of layers; see `lift`."""
