"""Findings about the events of a package, each with its evidence."""
