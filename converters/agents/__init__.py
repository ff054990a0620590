"""Checkpoints of whole agents: which stored variable is which weight of an agent of `torch_impl`."""
