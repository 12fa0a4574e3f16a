"""Runs the whole suite on one host: installs, starts, watches, restarts and ends it.

Standard library only, because it also runs before anything is installed. `plan` says what
is to run, `supervise` runs it, `install` makes the virtual environment, and `commands`
holds the words that `start_microservices.sh` understands.
"""
