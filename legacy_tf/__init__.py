"""The original agents in TensorFlow and Keras, kept beside their PyTorch rewrites in torch_impl: same files, same public names, same order."""
