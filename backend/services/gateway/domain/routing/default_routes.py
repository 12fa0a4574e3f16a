"""Routes of every installation: one for each service, and `/v1` for OpenAI clients."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from backend.security.limits import Limit
from backend.services.gateway.domain.routing.route_table import (
    DEFAULT_PUBLIC_PATHS,
    MEBIBYTE,
    RateLimitRule,
    Route,
    TokenLimitRule,
)

_SIGN_IN_PATHS = ("/login", "/register", "/setup", "/invitations/accept")

# Maximum number of outstanding requests per thread of an instance: one is processed, three wait.
# More would only wait longer, and their callers could not retry at another instance.
_REQUESTS_PER_THREAD = 4

_MAX_REALTIME_CONNECTIONS = 20_000

# A provider sends all messages of an account from few addresses.
_WEBHOOK_BYTES = 4 * MEBIBYTE
_VISITOR_BYTES = 64 * 1024

# The chat service accepts files of 25 MB.
_CHAT_FILE_BYTES = 25_000_000

# Limit of OpenAI's API for a recording.
_RECORDING_BYTES = 25 * MEBIBYTE

# Size of a multipart form besides the files in it.
_FORM_BYTES = MEBIBYTE


@dataclass(frozen=True, slots=True)
class DefaultLimits:
    """Rate limits that apply unless the route table sets others."""

    sign_in: Limit
    api: Limit
    tenant: Limit
    connect: Limit
    webhook: Limit
    console: Limit
    tokens: tuple[Limit, ...]
    sockets_per_address: int


def default_routes(
    upstreams: Mapping[str, tuple[str, ...]],
    threads: Mapping[str, int],
    limits: DefaultLimits,
    max_upload_bytes: int,
) -> Iterator[Route]:
    """Yield one route for each service of *upstreams*, and further paths of some of them.

    Args:
        upstreams: URLs of the instances by service.
        threads: requests that one instance handles at once, by service.
        limits: the default rate limits.
        max_upload_bytes: upload limit of the rag service. The gateway applies it too, so that a
            larger upload gets a response before its first byte is read, instead of a connection
            that breaks.
    """
    general = (
        RateLimitRule("api", limits.api, "caller"),
        RateLimitRule("tenant", limits.tenant, "tenant"),
    )
    token_limits = TokenLimitRule(limits.tokens, ("/query", "/v1/chat/completions"))
    for name, urls in upstreams.items():
        route = Route(
            name,
            f"/{name}",
            urls,
            service=name,
            limits=general,
            instance_concurrency=_REQUESTS_PER_THREAD * threads[name],
        )
        if name == "auth":
            sign_in = RateLimitRule("sign-in", limits.sign_in, "address", _SIGN_IN_PATHS)
            route = replace(
                route,
                public=(
                    *DEFAULT_PUBLIC_PATHS,
                    *_SIGN_IN_PATHS,
                    "/refresh",
                    "/logout",
                    "/password/forgot",
                    "/password/reset",
                    "/email/confirm",
                    "/.well-known/jwks.json",
                    "/oidc/*",
                ),
                closed=(
                    "/metrics",
                    "/api-keys/exchange",
                    "/internal/audit-events",
                    "/internal/clerk/exchange",
                    "/internal/delegations",
                ),
                limits=(sign_in, *general),
                timeout=5.0,
                body_limit=MEBIBYTE,
            )
            # The service verifies the signature. Clerk sends all webhooks from few addresses.
            yield replace(
                route,
                name="clerk-webhook",
                prefix="/auth/clerk/webhook",
                onto="/clerk/webhook",
                public=("/clerk/webhook",),
                limits=(RateLimitRule("webhook", limits.webhook, "path"),),
            )
        elif name == "rag":
            route = replace(
                route,
                # `POST /documents?wait=` can delay its response by up to a minute.
                long_timeout=75.0,
                long_paths=("/query",),
                body_limit=max_upload_bytes + _FORM_BYTES,
            )
        elif name == "agent":
            route = replace(
                route,
                long_timeout=120.0,
                long_paths=("/query", "/sessions/*", "/mcp", "/v1/chat/completions"),
                closed=("/metrics", "/internal/sessions/delete"),
                tokens=token_limits,
            )
            openai = replace(route, name="openai", prefix="/v1", onto="/v1", public=())
            yield openai
        elif name == "chat":
            route = replace(
                route,
                # A message waits for its answer up to REQUEST_TIMEOUT_MS or ?wait=. A provider
                # lists templates page by page.
                long_timeout=150.0,
                long_paths=("/message", "/templates/sync"),
                # The service verifies the signed links of files.
                public=(*DEFAULT_PUBLIC_PATHS, "/media/*"),
                closed=("/metrics", "/webhook/*"),
                # Files of colleagues; the service limits each of its routes.
                body_limit=_CHAT_FILE_BYTES + _FORM_BYTES,
            )
            yield from _chat_routes(route, limits)
        elif name == "realtime":
            # Its connections are outstanding as long as they are open. The service limits them.
            route = replace(route, instance_concurrency=_MAX_REALTIME_CONNECTIONS)
            yield from _connection_routes(route, limits)
        elif name == "packages":
            # The service has the prefix in its own paths.
            route = replace(
                route,
                onto="/packages",
                public=tuple(f"/packages{path}" for path in DEFAULT_PUBLIC_PATHS),
                closed=("/packages/metrics",),
                # Imports, and investigations with `?wait=`.
                long_timeout=120.0,
                long_paths=("/packages/import",),
            )
            yield from _package_routes(route, limits)
        elif name == "console":
            # A page loads dozens of files. The service verifies the callers of its other routes.
            files = RateLimitRule("console", limits.console, "address")
            route = replace(route, public=("/*",), limits=(files,), body_limit=MEBIBYTE)
        yield route


def _package_routes(route: Route, limits: DefaultLimits) -> Iterator[Route]:
    """Yield the routes of investigations, and of webhooks, which the service authenticates."""
    yield replace(route, name="agents", prefix="/api/v1/agents", onto="/agents", public=())
    prefix = "/packages/webhooks"
    yield replace(
        route,
        name="packages-webhooks",
        prefix=prefix,
        onto=prefix,
        public=(f"{prefix}/*",),
        # By account and not by address: a provider sends all its webhooks from few addresses.
        limits=(RateLimitRule("webhook", limits.webhook, "path"),),
        body_limit=MEBIBYTE,
    )


def _chat_routes(route: Route, limits: DefaultLimits) -> Iterator[Route]:
    """Yield the routes of webhooks, visitors of web pages, audio, and version 2 of the API."""
    yield replace(
        route,
        name="webhook",
        prefix="/webhook",
        onto="/webhook",
        public=("/webhook/*",),
        closed=(),
        # By the path, which names the channel account: providers have few addresses.
        limits=(RateLimitRule("webhook", limits.webhook, "path"),),
        body_limit=_WEBHOOK_BYTES,
        timeout=15.0,
        long_timeout=0.0,
        long_paths=(),
    )
    yield replace(
        route,
        name="audio",
        prefix="/v1/audio",
        onto="/v1/audio",
        public=(),
        long_paths=("/v1/audio/transcriptions", "/v1/audio/speech"),
        body_limit=_RECORDING_BYTES + _FORM_BYTES,
    )
    # The widget: a script and its files, which sites load at each view of a page, and the routes of
    # visitors, which verify their tokens.
    files = RateLimitRule("console", limits.console, "address")
    for name, prefix in (("chat-widget", "/widget.js"), ("chat-widget-files", "/widget")):
        yield replace(
            route,
            name=name,
            prefix=f"/chat{prefix}",
            onto=prefix,
            public=(prefix, f"{prefix}/*"),
            limits=(files,),
            is_cross_origin=True,
        )
    yield replace(
        route,
        name="chat-web",
        prefix="/chat/web",
        onto="/web",
        public=("/web/*",),
        limits=(RateLimitRule("api", limits.api, "address"),),
        body_limit=_VISITOR_BYTES,
        is_cross_origin=True,
    )
    for part in ("message", "conversations"):
        prefix = f"/api/v2/chat/{part}"
        yield replace(route, name=f"chat-v2-{part}", prefix=prefix, onto=f"/{part}", public=())


def _connection_routes(route: Route, limits: DefaultLimits) -> Iterator[Route]:
    """Yield the routes of WebSockets and event streams, which the service authenticates."""
    connect = RateLimitRule("connect", limits.connect, "address")
    for prefix in ("/ws", "/sse", "/socket.io"):
        yield replace(
            route,
            name=prefix.strip("/").replace(".", "-"),
            prefix=prefix,
            onto=prefix,
            public=(prefix, f"{prefix}/*"),
            limits=(connect,),
            sockets_per_caller=limits.sockets_per_address,
            timeout=10.0,
        )
