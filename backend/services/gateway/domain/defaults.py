"""The routes that stand in every installation: one for each service, and `/v1`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from backend.security.limits import Limit
from backend.services.gateway.domain.table import (
    MEBIBYTE,
    OPEN_EVERYWHERE,
    Route,
    Rule,
    TokenRule,
)

_SIGN_IN = ("/login", "/register")

# What a form adds to the files in it.
_FORM_BYTES = MEBIBYTE


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a caller may ask where the table says nothing else."""

    sign_in: Limit
    api: Limit
    tenant: Limit
    tokens: tuple[Limit, ...]


def default_routes(
    upstreams: Mapping[str, tuple[str, ...]], rates: Rates, upload_bytes: int
) -> Iterator[Route]:
    """One route for each service of *upstreams*, and OpenAI's paths for the agent's.

    *upload_bytes* is what the rag service takes: who sends more hears so before the
    first byte of it, and not by a connection that breaks.
    """
    general = (Rule("api", rates.api, "caller"), Rule("tenant", rates.tenant, "tenant"))
    model = TokenRule(rates.tokens, ("/query", "/v1/chat/completions"))
    for name, urls in upstreams.items():
        route = Route(name, f"/{name}", urls, service=name, limits=general)
        if name == "auth":
            sign_in = Rule("sign-in", rates.sign_in, "address", _SIGN_IN)
            route = replace(
                route,
                public=(
                    *OPEN_EVERYWHERE,
                    *_SIGN_IN,
                    "/refresh",
                    "/password/forgot",
                    "/password/reset",
                    "/.well-known/jwks.json",
                    "/oidc/*",
                ),
                closed=("/metrics", "/api-keys/exchange"),
                limits=(sign_in, *general),
                timeout=5.0,
                body_limit=MEBIBYTE,
            )
        elif name == "rag":
            # `POST /documents?wait=` may hold its answer back for a minute.
            route = replace(route, timeout=75.0, body_limit=upload_bytes + _FORM_BYTES)
        elif name == "agent":
            route = replace(route, timeout=120.0, tokens=model)
            openai = replace(route, name="openai", prefix="/v1", onto="/v1", public=())
            yield openai
        yield route
