"""Commands of the packages service: `python -m backend.services.packages COMMAND`."""

import importlib
import sys
from collections.abc import Sequence

# The module of each command, imported only for that command. It has `main(arguments) -> int`.
_COMMANDS = {
    "evaluate": "backend.services.packages.jobs.evaluate",
    "identify": "backend.services.packages.jobs.identify",
    "recompute": "backend.services.packages.recompute",
    "replay": "backend.services.packages.jobs.replay",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command in *arguments*. Returns its exit status, 2 for an unknown command."""
    name, *rest = arguments or [""]
    module = _COMMANDS.get(name)
    if module is None:
        commands = ", ".join(sorted(_COMMANDS))
        sys.stderr.write(f"usage: python -m backend.services.packages COMMAND …\n\n{commands}\n")
        return 2
    return int(importlib.import_module(module).main(rest))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
