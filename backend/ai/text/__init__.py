"""Text processing: terms, sentences, encodings, and HTML to text."""
