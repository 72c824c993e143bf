"""How work runs: in tiles, within the memory there is, cancellable, with trained weights, in worker processes."""
