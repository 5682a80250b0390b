"""Model families as data, one decoder that runs them, and the reading of checkpoints."""
