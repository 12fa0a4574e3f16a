"""Check of the secrets that all services share."""

from collections.abc import Iterator

from backend.chassis.diagnostics import Finding, error
from backend.chassis.settings import Env, is_sample_secret

_SECRETS = ("SECRET_KEY", "JWT_SECRET_KEY")


def check_secrets(env: Env) -> Iterator[Finding]:
    """Yield a finding for each sample secret. In production, the services reject these."""
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
