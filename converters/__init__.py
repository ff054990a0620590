"""Legacy model files become plain numpy arrays plus a graph; a plan of small visible rules turns them into a PyTorch state."""
