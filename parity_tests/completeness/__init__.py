"""How much of Keras converts: its own layer tests and applications, each built, saved, converted and compared."""
