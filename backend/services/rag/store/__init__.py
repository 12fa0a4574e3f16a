"""The library's tables and indexes, and the questions asked of them."""
