"""Runs the command line: `python -m backend.operations`."""

import sys

from backend.operations.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
