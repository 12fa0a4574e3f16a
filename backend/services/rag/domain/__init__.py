"""What the library does: take in, cut up, find, answer."""
