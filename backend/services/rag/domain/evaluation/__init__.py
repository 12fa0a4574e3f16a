"""Measurement of retrieval quality on judged question sets."""
