"""Commands of the chat service: `python -m backend.services.chat COMMAND`."""

import importlib
import sys
from collections.abc import Sequence

# The module of each command, imported only for that command. It has `main(arguments) -> int`.
_COMMANDS = {
    "check-payloads": "backend.services.chat.jobs.check_payloads",
    "fetch-model": "backend.services.chat.jobs.fetch_model",
    "normalise": "backend.services.chat.jobs.normalise",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command in *arguments*. Returns its exit status, 2 for an unknown command."""
    name, *rest = arguments or [""]
    if name == "simulate":
        return _simulate(rest)
    module = _COMMANDS.get(name)
    if module is None:
        commands = ", ".join(sorted([*_COMMANDS, "simulate"]))
        sys.stderr.write(f"usage: python -m backend.services.chat COMMAND …\n\n{commands}\n")
        return 2
    return int(importlib.import_module(module).main(rest))


def _simulate(arguments: Sequence[str]) -> int:
    from backend.chassis.catalog import get_service
    from backend.chassis.settings import SettingsError, load_env, load_service_urls
    from backend.services.chat.jobs.simulate import RunningSuite
    from backend.services.chat.jobs.simulate import main as simulate
    from backend.services.chat.jobs.waking import WorkerWaker
    from backend.services.chat.settings import Settings
    from backend.services.chat.wiring import ChatComponents

    def open_suite() -> RunningSuite:
        env = load_env()
        components = ChatComponents.open(Settings.from_env(env))
        WorkerWaker(components.settings.folder, ()).listen(components.database)
        return RunningSuite(
            components.database,
            components.message_log,
            components.encryptor.encrypt_text,
            components.now,
            components.settings.private_hosts,
            components.settings.public_url,
            load_service_urls(env, get_service("gateway"))[0],
        )

    try:
        return simulate(arguments, open_suite)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
