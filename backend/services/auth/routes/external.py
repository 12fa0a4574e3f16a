"""Sign in through an external identity provider."""

from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import Input, public, validate_input, validate_query
from backend.services.auth.domain.external import SIGN_IN_LIFETIME, ExternalSignIn
from backend.services.auth.domain.sessions import Sessions
from backend.services.auth.errors import (
    AccountDisabled,
    InvalidIdToken,
    InvalidSignIn,
    NoSuchThing,
    ProviderUnavailable,
)
from backend.services.auth.routes.origin import origin
from backend.services.auth.routes.tokens import SignedInUser, signed_in_user

external = Blueprint("external", __name__)
_MAX_CODE = 4096
_COOKIE = "external_sign_in"


class ExternalProvider(BaseModel):
    """A provider that one can sign in through, and where to begin."""

    name: str
    login_url: str


class ExternalProviders(BaseModel):
    providers: list[ExternalProvider]


class Return(Input):
    """What a provider sends back with the browser; some add fields of their own."""

    model_config = ConfigDict(extra="ignore")

    state: Annotated[str, Field(min_length=1, max_length=128)]
    code: Annotated[str, Field(min_length=1, max_length=_MAX_CODE)] | None = None


class IdToken(Input):
    """An ID token that the provider gave to the caller, and the nonce it was asked for with."""

    id_token: Annotated[str, Field(min_length=1, max_length=16_384)]
    nonce: Annotated[str, Field(min_length=1, max_length=255)] | None = None


@external.get("/oidc")
@public
@answers(ExternalProviders)
def providers() -> ExternalProviders:
    """The providers that one can sign in through."""
    return ExternalProviders(
        providers=[
            ExternalProvider(name=name, login_url=f"/auth/oidc/{name}/login")
            for name in use(ExternalSignIn).names
        ]
    )


@external.get("/oidc/<provider>/login")
@public
@answers(None, 302, errors=(NoSuchThing, ProviderUnavailable))
def login(provider: str) -> Response:
    """Send the browser to the provider."""
    sign_in = use(ExternalSignIn)
    departure = sign_in.begin(provider)
    response = Response(status=302, headers={"Location": departure.url})
    response.set_cookie(
        _COOKIE,
        departure.browser,
        max_age=SIGN_IN_LIFETIME,
        secure=sign_in.over_tls,
        httponly=True,
        samesite="Lax",
    )
    return response


@external.get("/oidc/<provider>/callback")
@public
@validate_query(Return)
@answers(
    SignedInUser,
    errors=(NoSuchThing, InvalidSignIn, InvalidIdToken, AccountDisabled, ProviderUnavailable),
)
def callback(back: Return, provider: str) -> SignedInUser:
    """Sign in whoever comes back from the provider in the browser that was sent there."""
    where, browser = origin(), request.cookies.get(_COOKIE, "")
    user_id = use(ExternalSignIn).finish(provider, back.state, back.code, browser, where)
    return signed_in_user(use(Sessions).open(user_id, f"oidc:{provider}"[:32], where))


@external.post("/oidc/<provider>/exchange")
@public
@validate_input(IdToken)
@answers(SignedInUser, errors=(NoSuchThing, InvalidIdToken, AccountDisabled, ProviderUnavailable))
def exchange(given: IdToken, provider: str) -> SignedInUser:
    """Sign in with an ID token that the caller has from the provider; each is good once."""
    where = origin()
    user_id = use(ExternalSignIn).exchange(provider, given.id_token, given.nonce, where)
    return signed_in_user(use(Sessions).open(user_id, f"oidc:{provider}"[:32], where))


@external.after_request
def keep_nothing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    if request.endpoint == "external.callback":
        response.delete_cookie(_COOKIE)
    return response
