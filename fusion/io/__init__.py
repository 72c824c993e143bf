"""Reading and writing of photographs: decoding in a sandbox, encoding, colour, and the limits of what is accepted."""
