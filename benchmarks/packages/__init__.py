"""Benchmarks of the packages service."""
