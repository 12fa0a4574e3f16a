"""Whom the library asks: the process that reads files, and nobody else."""
