"""Decorators that declare the permitted callers of a route. Every route must have one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from flask import Flask, current_app

from backend.security.authentication import (
    Principal,
    authenticate,
    calling_service,
    ensure_permission,
)
from backend.security.http_errors import HttpError, forbidden
from backend.security.permissions import Permission

View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Guard:
    """The access rule of a view: a permission or public; with neither, any valid credentials.

    Attributes:
        internal: only other services may call the view, with `internal_only` alone also without
            a user's credentials.
    """

    permission: Permission | None = None
    public: bool = False
    internal: bool = False


def require_permission(permission: Permission) -> Callable[[View], View]:
    """Allow only callers that have *permission* in the tenant of the request.

    Place it directly below the route decorator, so that a caller without the permission learns
    nothing about later checks.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            ensure_permission(authenticate(), permission)
            return current_app.ensure_sync(view)(*args, **kwargs)

        return _declare(guarded, Guard(permission))

    return decorate


def authenticated(view: View) -> View:
    """Allow every caller with valid credentials: for routes about the caller's own data."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        authenticate()
        return current_app.ensure_sync(view)(*args, **kwargs)

    return _declare(guarded, Guard())


def public(view: View) -> View:
    """Declare that *view* needs no credentials."""
    return _declare(view, Guard(public=True))


def internal_only(view: View) -> View:
    """Allow only calls by other services of the suite.

    Combined with `@require_permission` or `@authenticated` below it, the service acts for a
    user; alone, for itself.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if calling_service() is None:
            raise forbidden("internal_only", "Only services of this system may call this route.")
        return current_app.ensure_sync(view)(*args, **kwargs)

    return _declare(guarded, replace(get_guard(view) or Guard(), internal=True))


def require_resource(find_resource: Callable[..., Any]) -> Callable[[View], View]:
    """Pass the resource of the path to the view, or return 404.

    Args:
        find_resource: called with the principal and the path arguments. It returns None for a
            resource that does not exist and for one of another owner: both look the same to
            the caller.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def with_resource(*args: Any, **path: Any) -> Any:
            principal: Principal = authenticate()
            resource = find_resource(principal, **path)
            if resource is None:
                raise HttpError(404, "not_found", "Not found", "Resource not found.")
            return current_app.ensure_sync(view)(resource, *args)

        return with_resource

    return decorate


def get_guard(view: View) -> Guard | None:
    """Return the access rule of *view*, or None if it declares none."""
    guard: Guard | None = getattr(view, "guard", None)
    return guard


def routes_without_guard(app: Flask) -> Iterator[str]:
    """Yield the URL rules of *app* whose views declare no access rule."""
    for rule in app.url_map.iter_rules():
        if get_guard(app.view_functions[rule.endpoint]) is None:
            yield str(rule)


def _declare(view: View, guard: Guard) -> View:
    view.guard = guard  # type: ignore[attr-defined]
    return view
