"""A module that knows which process imported it."""

import os

IMPORTER = os.getpid()
