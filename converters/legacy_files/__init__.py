"""The way back: what is noted while converting, and files that the old Keras reads, made from a trained module."""
