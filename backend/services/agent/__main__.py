"""`python -m backend.services.agent COMMAND`: what an operator does with the agent by hand."""

import argparse
import sys
from collections.abc import Sequence

from backend.chassis.local_model import weights
from backend.chassis.local_model.fetching import fetch
from backend.chassis.settings import load_env
from backend.chassis.supervisor.screen import CannotRun, say

_NEXT = (
    "The next start serves it, if its engine is installed:"
    " ./start_microservices.sh install --extra local-model"
)


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    try:
        return _fetch_model(asked.size)
    except CannotRun as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1


def _fetch_model(size: str) -> int:
    wanted = next(each for each in weights.WEIGHTS if each.size == size)
    fetch(wanted, weights.folder(load_env().path("DATA_DIR", "data")), say)
    say(_NEXT)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.services.agent")
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser(
        "fetch-model",
        help="fetch a small language model to be served beside the services",
        description="Fetch a small language model, which the start script then serves. "
        "A fetch that broke off goes on where it was.",
    )
    fetching.add_argument(
        "--size",
        choices=[each.size for each in weights.WEIGHTS],
        default="1.5b",
        help="1.5b: 1.1 GB, about 1.9 GB of memory; 0.5b: 0.5 GB, quicker and far less able",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
