"""`python -m backend.services.agent COMMAND`: what an operator does with the agent by hand."""

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from backend.ai.local_model import weights
from backend.chassis.console import CannotRun
from backend.chassis.settings import Env, SettingsError, load_env
from backend.chassis.web.app_factory import use
from backend.security import BUILT_IN_ROLES
from backend.services.agent.app import Bench, create_app
from backend.services.agent.clients.runs import Caller
from backend.services.agent.domain.evaluation import Variant
from backend.services.agent.domain.personas import Personas
from backend.services.agent.domain.questions import BadQuestions, read_questions
from backend.services.agent.domain.records import Records
from backend.services.agent.errors import UnknownModel, UnknownPersona
from backend.services.agent.jobs.evaluation import evaluate, show, show_all
from backend.services.agent.jobs.replay import play_again
from backend.services.agent.settings import Settings

_KEY_ADVICE = (
    "No AGENT_API_KEY is set: questions are answered without anybody's documents. "
    "Make a key at POST /auth/api-keys and export it to evaluate over them.\n"
)


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    try:
        env = load_env()
        if asked.command == "fetch-model":
            return _fetch_model(asked.size)
        return _with_the_service(asked, env)
    except CannotRun as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    except (BadQuestions, SettingsError, UnknownModel, UnknownPersona) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _fetch_model(size: str) -> int:
    # In a process of its own: a service must not import the operations package.
    command = [sys.executable, "-m", "backend.operations.model_download", size]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - fixed arguments


def _with_the_service(asked: argparse.Namespace, env: Env) -> int:
    """What takes the service's own parts, over its own data."""
    app = create_app(Settings.from_env(env))
    logging.getLogger().setLevel(logging.WARNING)
    with app.app_context():
        if asked.command == "replay":
            return _replay(asked)
        return _evaluate(asked, env.optional("AGENT_API_KEY"))


def _evaluate(asked: argparse.Namespace, key: str | None) -> int:
    bench = use(Bench)
    if asked.list:
        return show_all(bench.evaluations)
    if asked.show:
        return show(bench.evaluations, asked.show)
    questions = read_questions(asked.file)
    headers = {} if key is None else {"X-API-Key": key}
    caller = Caller("operator", "operator", headers, permissions=BUILT_IN_ROLES["user"])
    variants = _variants(asked, bench, caller)
    if key is None:
        sys.stderr.write(_KEY_ADVICE)
    bench.runner.warm_up()
    return evaluate(bench.evaluations, asked.file, questions, variants, caller)


def _variants(asked: argparse.Namespace, bench: Bench, caller: Caller) -> list[Variant]:
    """Every model with every prompt and every persona."""
    models = [bench.models.name_of(name or None) for name in asked.models.split(",")]
    manners = [*_prompts(asked.prompts), *_personas(asked.personas, caller)] or [Variant("")]
    return [replace(manner, model=model) for model in models for manner in manners]


def _prompts(names: str) -> list[Variant]:
    files = [Path(name) for name in names.split(",") if name]
    try:
        return [Variant("", file.stem, file.read_text("utf-8").strip()) for file in files]
    except (OSError, UnicodeError) as error:
        raise BadQuestions(f"A prompt cannot be read: {error}") from error


def _personas(names: str, caller: Caller) -> list[Variant]:
    personas = [use(Personas).named(caller, name) for name in names.split(",") if name]
    return [
        Variant("", each.name, each.system_prompt, each.temperature, each.max_tokens)
        for each in personas
    ]


def _replay(asked: argparse.Namespace) -> int:
    bench = use(Bench)
    model = None if asked.model is None else bench.models.name_of(asked.model)
    return play_again(use(Records), asked.run_id, bench.runner.tools, bench.answers_with, model)


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
    evaluating = commands.add_parser(
        "evaluate",
        help="ask the questions of a file and score the answers",
        description="Ask models the same questions, score their answers and print them side by "
        "side. AGENT_API_KEY says whose documents are searched.",
    )
    what = evaluating.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "file",
        nargs="?",
        type=Path,
        help='JSON lines such as {"question": …, "expected": …, "collection"?, "must_cite"?}',
    )
    what.add_argument("--list", action="store_true", help="the evaluations that are kept")
    what.add_argument("--show", metavar="ID", help="one of them")
    evaluating.add_argument("--models", default="", metavar="A,B", help="else the default one")
    evaluating.add_argument(
        "--prompts", default="", metavar="FILE,FILE", help="instructions to compare, each a file"
    )
    evaluating.add_argument(
        "--personas", default="", metavar="A,B", help="built-in personas to compare"
    )
    replaying = commands.add_parser(
        "replay",
        help="run a recorded run again",
        description="Run a recorded run again, with what its tools gave back then, and print both "
        "side by side. A run's id is its message's run_id.",
    )
    replaying.add_argument("run_id")
    replaying.add_argument("--model", help="another model than the recorded one")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
