"""Files to photographs and back: decoding in a sandbox, encoding, colour, limits."""
