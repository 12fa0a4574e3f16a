"""The configured chat models, their fallbacks, and the models that need no external provider."""
