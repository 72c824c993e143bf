"""How work runs: in tiles, within memory, cancelled, with weights, in worker processes."""
