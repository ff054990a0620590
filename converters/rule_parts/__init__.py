"""What several rules of layers and operations share: windows, indices, steps inside steps."""
