"""Routes for sign-in through external identity providers (OpenID Connect)."""

from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.problems import ServiceError
from backend.security import Input, public, validate_input, validate_query
from backend.security.browser_sessions import SessionKind
from backend.services.auth.domain.credentials.external_identities import (
    SIGN_IN_LIFETIME,
    ExternalSignInService,
)
from backend.services.auth.domain.sessions import SessionService
from backend.services.auth.errors import (
    AccountDisabled,
    InvalidIdToken,
    InvalidSignIn,
    ProviderUnavailable,
    ResourceNotFound,
)
from backend.services.auth.routes.browser_cookies import set_session_cookies
from backend.services.auth.routes.known_device_cookie import remember_device
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.tokens import SignInResponse, to_sign_in_response

external = Blueprint("external", __name__)
_MAX_CODE_CHARACTERS = 4096
_COOKIE = "external_sign_in"
# Follows the browser token in the cookie of a sign-in that the console started.
_CONSOLE_SUFFIX = ".console"
_SIGN_IN_PAGE = "/console/sign-in"


class ExternalProvider(BaseModel):
    """An identity provider and the URL that starts a sign-in."""

    name: str
    login_url: str


class ExternalProviders(BaseModel):
    providers: list[ExternalProvider]


class LoginQuery(Input):
    """Query parameters of a sign-in at a provider."""

    session: SessionKind = "token"


class CallbackQuery(Input):
    """Query parameters of the provider's redirect. Unknown parameters are ignored."""

    model_config = ConfigDict(extra="ignore")

    state: Annotated[str, Field(min_length=1, max_length=128)]
    code: Annotated[str, Field(min_length=1, max_length=_MAX_CODE_CHARACTERS)] | None = None


class IdTokenExchange(Input):
    """An ID token that the caller obtained from the provider, and the nonce of its request."""

    id_token: Annotated[str, Field(min_length=1, max_length=16_384)]
    nonce: Annotated[str, Field(min_length=1, max_length=255)] | None = None


@external.get("/oidc")
@public
@responds_with(ExternalProviders)
def list_providers() -> ExternalProviders:
    """List the identity providers."""
    return ExternalProviders(
        providers=[
            ExternalProvider(name=name, login_url=f"/auth/oidc/{name}/login")
            for name in use(ExternalSignInService).provider_names
        ]
    )


@external.get("/oidc/<provider>/login")
@public
@validate_query(LoginQuery)
@responds_with(None, 302, errors=(ResourceNotFound, ProviderUnavailable))
@request_example(provider="google")
def start_login(query: LoginQuery, provider: str) -> Response:
    """Redirect the browser to the provider.

    With `?session=cookie` the callback redirects to the console, with the session in cookies.
    """
    sign_in = use(ExternalSignInService)
    redirect = sign_in.start_sign_in(provider)
    response = Response(status=302, headers={"Location": redirect.url})
    response.set_cookie(
        _COOKIE,
        redirect.browser_token + (_CONSOLE_SUFFIX if query.session == "cookie" else ""),
        max_age=SIGN_IN_LIFETIME,
        secure=sign_in.uses_tls,
        httponly=True,
        samesite="Lax",
    )
    return response


@external.get("/oidc/<provider>/callback")
@public
@validate_query(CallbackQuery)
@responds_with(
    SignInResponse,
    errors=(ResourceNotFound, InvalidSignIn, InvalidIdToken, AccountDisabled, ProviderUnavailable),
)
@request_example(provider="google", state="af0ifjsldkj", code="SplxlOBeZQQYbYS6WxSbIA")
def complete_login(query: CallbackQuery, provider: str) -> SignInResponse | Response:
    """Complete a sign-in after the provider's redirect, in the browser that started it.

    A sign-in that the console started is redirected to the console.
    """
    cookie = request.cookies.get(_COOKIE, "")
    browser_token = cookie.removesuffix(_CONSOLE_SUFFIX)
    if browser_token == cookie:
        return _complete_sign_in(query, provider, browser_token)
    try:
        set_session_cookies(_complete_sign_in(query, provider, browser_token))
    except ServiceError as error:
        return Response(status=303, headers={"Location": f"{_SIGN_IN_PAGE}?error={error.code}"})
    return Response(status=303, headers={"Location": "/console/"})


def _complete_sign_in(query: CallbackQuery, provider: str, browser_token: str) -> SignInResponse:
    origin = get_request_origin()
    user_id = use(ExternalSignInService).complete_sign_in(
        provider, query.state, query.code, browser_token, origin
    )
    remember_device(user_id)
    return to_sign_in_response(
        use(SessionService).open_session(user_id, f"oidc:{provider}"[:32], origin)
    )


@external.post("/oidc/<provider>/exchange")
@public
@validate_input(IdTokenExchange)
@responds_with(
    SignInResponse, errors=(ResourceNotFound, InvalidIdToken, AccountDisabled, ProviderUnavailable)
)
@request_example(
    {"id_token": "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl", "nonce": "n-0S6_WzA2Mj"},
    provider="google",
)
def exchange_id_token(body: IdTokenExchange, provider: str) -> SignInResponse:
    """Sign in with an ID token that the provider issued to the caller. Each is accepted once."""
    origin = get_request_origin()
    user_id = use(ExternalSignInService).exchange_id_token(
        provider, body.id_token, body.nonce, origin
    )
    remember_device(user_id)
    return to_sign_in_response(
        use(SessionService).open_session(user_id, f"oidc:{provider}"[:32], origin)
    )


@external.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    if request.endpoint == "external.complete_login":
        response.delete_cookie(_COOKIE)
    return response
