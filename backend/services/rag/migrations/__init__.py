"""How the library's tables came to be."""
