"""The decorators that say who may; a route that declares nothing is refused."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from flask import Flask, current_app

from backend.security.authentication import (
    Principal,
    authenticate,
    calling_service,
    refuse_unless,
)
from backend.security.http_errors import Refusal, forbidden
from backend.security.permissions import Permission

View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Guard:
    """What a view declared: a permission, any good token, or nothing at all (public)."""

    permission: Permission | None = None
    public: bool = False
    internal: bool = False


def require_permission(permission: Permission) -> Callable[[View], View]:
    """Let in only callers who have *permission* in the tenant they act for.

    Stands outermost, directly under the route, so that a caller without the
    right learns nothing about what the view would have checked next.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            refuse_unless(authenticate(), permission)
            return current_app.ensure_sync(view)(*args, **kwargs)

        return _declare(guarded, Guard(permission))

    return decorate


def authenticated(view: View) -> View:
    """Let in every caller with a good token, whatever it permits: what is one's own."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        authenticate()
        return current_app.ensure_sync(view)(*args, **kwargs)

    return _declare(guarded, Guard())


def public(view: View) -> View:
    """Let everybody in, and say so."""
    return _declare(view, Guard(public=True))


def internal_only(view: View) -> View:
    """Let in other services alone.

    Above `@require_permission` or `@authenticated` they come for a user; alone, for
    themselves.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if calling_service() is None:
            raise forbidden("internal_only", "Only a service of this system may call this.")
        return current_app.ensure_sync(view)(*args, **kwargs)

    return _declare(guarded, replace(guard_of(view) or Guard(), internal=True))


def require_resource(find: Callable[..., Any]) -> Callable[[View], View]:
    """Hand the view what *find* makes of its path, or answer 404.

    `find(principal, **path)` answers None for what does not exist and for what
    belongs to someone else: to the caller both are the same.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def with_resource(*args: Any, **path: Any) -> Any:
            principal: Principal = authenticate()
            resource = find(principal, **path)
            if resource is None:
                raise Refusal(404, "not_found", "Not found", "There is no such thing here.")
            return current_app.ensure_sync(view)(resource, *args)

        return with_resource

    return decorate


def guard_of(view: View) -> Guard | None:
    """What *view* declared, or None if it declared nothing."""
    guard: Guard | None = getattr(view, "guard", None)
    return guard


def undeclared(app: Flask) -> Iterator[str]:
    """The rules of *app* whose views declare neither a permission nor `@public`."""
    for rule in app.url_map.iter_rules():
        if guard_of(app.view_functions[rule.endpoint]) is None:
            yield str(rule)


def _declare(view: View, guard: Guard) -> View:
    view.guard = guard  # type: ignore[attr-defined]
    return view
