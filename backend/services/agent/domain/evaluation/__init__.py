"""Evaluation of models with files of questions, and replay of recorded runs."""
