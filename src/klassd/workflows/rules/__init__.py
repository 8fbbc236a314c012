"""Pure rules: no clock, no randomness, no input or output. Everything they decide on is an argument."""
