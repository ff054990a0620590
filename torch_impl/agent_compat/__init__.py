"""What the policies of TensorFlow's RL libraries compute and torch has no name for: cells, normalization, actions."""
