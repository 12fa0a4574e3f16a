"""Check of the secrets that all services share."""

from collections.abc import Iterator
from pathlib import Path

from backend.chassis.diagnostics import Finding, error, warning
from backend.chassis.settings import Env, is_sample_secret

_SECRETS = ("SECRET_KEY", "JWT_SECRET_KEY")


def check_secrets(env: Env) -> Iterator[Finding]:
    """Yield a finding for each sample secret, and for a master key that is beside the data.

    In production, the services reject sample secrets.
    """
    yield from _check_master_key(env)
    if env.is_production:
        return
    for name in _SECRETS:
        value = env.optional(name)
        if value is not None and is_sample_secret(value):
            yield error(
                "secrets",
                f"{name} is a well-known sample value.",
                "Anyone who knows the sample can create access tokens for every account.",
                f"Unset {name}: the next start generates a random one in DATA_DIR/secrets.",
            )


def _check_master_key(env: Env) -> Iterator[Finding]:
    file = env.optional("ENCRYPTION_KEY_FILE")
    data = env.path("DATA_DIR", "data")
    if file is not None and Path(file).resolve().is_relative_to(data.resolve()):
        yield warning(
            "secrets",
            f"The file of the master key, {file}, is in DATA_DIR.",
            "A copy of the disk contains the data and the key that decrypts it.",
            "Move it to a folder outside of DATA_DIR, and change ENCRYPTION_KEY_FILE.",
        )
