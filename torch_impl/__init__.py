"""The PyTorch rewrites of the agents in legacy_tf, and the building blocks they share. Needs torch, numpy and experience only."""
