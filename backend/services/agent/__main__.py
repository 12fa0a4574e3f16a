"""Commands of the agent service: `python -m backend.services.agent COMMAND`."""

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from backend.ai.local_model import model_files
from backend.chassis.console import CommandError
from backend.chassis.settings import Env, SettingsError, load_env
from backend.chassis.web.app_factory import use
from backend.security import BUILT_IN_ROLES
from backend.services.agent.app import create_app
from backend.services.agent.domain.answers.run_records import RunRecordService
from backend.services.agent.domain.evaluation.evaluations import Variant
from backend.services.agent.domain.evaluation.metrics import InvalidMetric, load_metrics
from backend.services.agent.domain.evaluation.question_files import (
    InvalidQuestionFile,
    read_questions,
)
from backend.services.agent.domain.personas import PersonaService
from backend.services.agent.errors import UnknownModel, UnknownPersona
from backend.services.agent.jobs.evaluation import (
    print_evaluation,
    print_evaluations,
    run_evaluation,
)
from backend.services.agent.jobs.replay import replay_run
from backend.services.agent.model import Caller
from backend.services.agent.settings import Settings
from backend.services.agent.wiring import CommandServices

_ALL_METRICS = "all"
_NO_METRICS = "none"
_KEY_ADVICE = (
    "AGENT_API_KEY is not set, so answers cannot use documents. To evaluate with the documents of "
    "a user, create an API key with POST /auth/api-keys and export it as AGENT_API_KEY.\n"
)


def main(arguments: Sequence[str]) -> int:
    options = _create_parser().parse_args(arguments)
    try:
        env = load_env()
        if options.command == "fetch-model":
            return _fetch_model(options.size)
        return _run_with_app(options, env)
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (
        InvalidMetric,
        InvalidQuestionFile,
        SettingsError,
        UnknownModel,
        UnknownPersona,
    ) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _fetch_model(size: str) -> int:
    # In a process of its own: a service must not import the operations package.
    command = [sys.executable, "-m", "backend.operations.model_download", size]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - fixed arguments


def _run_with_app(options: argparse.Namespace, env: Env) -> int:
    """Run a command that uses the app of the service and its data."""
    app = create_app(Settings.from_env(env))
    logging.getLogger().setLevel(logging.WARNING)
    with app.app_context():
        if options.command == "replay":
            return _replay(options)
        return _evaluate(options, env.optional("AGENT_API_KEY"))


def _evaluate(options: argparse.Namespace, api_key: str | None) -> int:
    services = use(CommandServices)
    if options.list:
        return print_evaluations(services.evaluations)
    if options.show:
        return print_evaluation(services.evaluations, options.show)
    questions = read_questions(options.file)
    metrics = load_metrics(_parse_metric_names(options.metrics))
    headers = {} if api_key is None else {"X-API-Key": api_key}
    caller = Caller("operator", "operator", headers, permissions=BUILT_IN_ROLES["user"])
    variants = _create_variants(options, services, caller)
    if api_key is None:
        sys.stderr.write(_KEY_ADVICE)
    services.runner.warm_up()
    return run_evaluation(services.evaluations, options.file, questions, variants, caller, metrics)


def _parse_metric_names(names: str) -> list[str] | None:
    """Return the selected metrics, or None for all."""
    if names == _ALL_METRICS:
        return None
    return [] if names == _NO_METRICS else [name.strip() for name in names.split(",")]


def _create_variants(
    options: argparse.Namespace, services: CommandServices, caller: Caller
) -> list[Variant]:
    """Return one variant for each combination of a model with a prompt or persona."""
    models = [services.models.resolve_name(name or None) for name in options.models.split(",")]
    variants = [*_read_prompts(options.prompts), *_get_personas(options.personas, caller)] or [
        Variant("")
    ]
    return [replace(variant, model=model) for model in models for variant in variants]


def _read_prompts(names: str) -> list[Variant]:
    files = [Path(name) for name in names.split(",") if name]
    try:
        return [Variant("", file.stem, file.read_text("utf-8").strip()) for file in files]
    except (OSError, UnicodeError) as error:
        raise InvalidQuestionFile(f"A prompt file cannot be read: {error}") from error


def _get_personas(names: str, caller: Caller) -> list[Variant]:
    personas = [use(PersonaService).find_persona(caller, name) for name in names.split(",") if name]
    return [
        Variant("", persona.name, persona.system_prompt, persona.temperature, persona.max_tokens)
        for persona in personas
    ]


def _replay(options: argparse.Namespace) -> int:
    services = use(CommandServices)
    model = None if options.model is None else services.models.resolve_name(options.model)
    return replay_run(
        use(RunRecordService),
        options.run_id,
        services.runner.list_tools,
        services.create_replay_answer_service,
        model,
    )


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.services.agent")
    commands = parser.add_subparsers(dest="command", required=True)
    fetch_model = commands.add_parser(
        "fetch-model",
        help="download a small language model that runs on this host",
        description="Download a small language model, which the start script then serves. "
        "An interrupted download is resumed.",
    )
    fetch_model.add_argument(
        "--size",
        choices=[file.size for file in model_files.MODEL_FILES],
        default="1.5b",
        help="1.5b: 1.1 GB on disk, about 1.9 GB of memory; 0.5b: 0.5 GB on disk, faster but much "
        "less capable",
    )
    evaluate = commands.add_parser(
        "evaluate",
        help="answer the questions of a file and score the answers",
        description="Let models answer the same questions, score the answers and print them side "
        "by side. The documents of the user of AGENT_API_KEY are searched.",
    )
    action = evaluate.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "file",
        nargs="?",
        type=Path,
        help='JSON lines such as {"question": …, "expected": …, "collection"?, "must_cite"?}',
    )
    action.add_argument("--list", action="store_true", help="list the stored evaluations")
    action.add_argument("--show", metavar="ID", help="print a stored evaluation")
    evaluate.add_argument(
        "--models", default="", metavar="A,B", help="models to compare (default: the default model)"
    )
    evaluate.add_argument(
        "--prompts", default="", metavar="FILE,FILE", help="files with instructions to compare"
    )
    evaluate.add_argument(
        "--personas", default="", metavar="A,B", help="built-in personas to compare"
    )
    evaluate.add_argument(
        "--metrics",
        default=_ALL_METRICS,
        metavar="A,B",
        help="metrics of installed packages, `all` or `none` (default: all)",
    )
    replay = commands.add_parser(
        "replay",
        help="repeat a recorded run",
        description="Repeat a recorded run with the recorded tool results, and print both runs "
        "side by side. The run ID is the run_id of a message.",
    )
    replay.add_argument("run_id")
    replay.add_argument("--model", help="model to use (default: the recorded one)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
