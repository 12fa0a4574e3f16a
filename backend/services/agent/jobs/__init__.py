"""The operator's way in: work that is asked for at the command line."""
