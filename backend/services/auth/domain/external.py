"""Sign in as whom an external identity provider vouches for."""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session, take_turns
from backend.chassis.encryption import Seal
from backend.services.auth.clients.oidc import Identity, Provider
from backend.services.auth.domain.accounts import NEWCOMER_ROLE, Accounts, Newcomer, Prepared
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.domain.usernames import Username, email_key, read_username
from backend.services.auth.errors import (
    InvalidIdToken,
    InvalidSignIn,
    NoSuchThing,
    UnfitUsername,
)
from backend.services.auth.store import accounts, api_keys, second_factor, sessions
from backend.services.auth.store import external as store

SIGN_IN_LIFETIME = timedelta(minutes=10)
# An ID token lives a few minutes; one that says more is remembered this long.
_SPENT_MEMORY = timedelta(days=1)
_NOT_IN_NAMES = re.compile(r"[^\w.-]+|_+$")
_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send a browser, and what it has to bring back to be taken for the same one."""

    url: str
    browser: str


class ExternalSignIn:
    def __init__(
        self,
        database: Database,
        people: Accounts,
        providers: Sequence[Provider],
        public_url: str,
        revoker: Revoker,
        seal: Seal,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._people = people
        self._providers: Mapping[str, Provider] = {each.name: each for each in providers}
        self._public_url = public_url
        self._revoker = revoker
        self._seal = seal
        self._now = now

    @property
    def names(self) -> list[str]:
        return list(self._providers)

    @property
    def over_tls(self) -> bool:
        return self._public_url.startswith("https://")

    def begin(self, name: str) -> Departure:
        """Send a browser to the provider. Raises NoSuchThing or ProviderUnavailable."""
        provider = self._provider(name)
        state, nonce, browser = (secrets.token_urlsafe(32) for _ in range(3))
        verifier = secrets.token_urlsafe(48)
        url = provider.authorization_url(self._back(name), state, nonce, verifier)
        now = self._now()
        with self._database.write() as session:
            attempt = store.SignInAttempt(
                state_digest=_digest(state),
                provider=name,
                browser_digest=_digest(browser),
                sealed_secrets=self._seal.close(f"{nonce} {verifier}"),
                expires_at=now + SIGN_IN_LIFETIME,
            )
            store.begin(session, attempt, now)
        return Departure(url, browser)

    def finish(self, name: str, state: str, code: str | None, browser: str, origin: Origin) -> str:
        """The account of whoever came back with *code*; without one the provider said no.

        Raises InvalidSignIn unless this very browser was sent there a moment ago, and
        has not come back yet; InvalidIdToken; ProviderUnavailable.
        """
        provider = self._provider(name)
        with self._database.write() as session:
            attempt = store.take(session, _digest(state))
            if attempt is None:
                raise InvalidSignIn
            right = (
                attempt.provider == name
                and attempt.browser_digest == _digest(browser)
                and attempt.expires_at > self._now()
            )
            nonce, verifier = self._seal.open(attempt.sealed_secrets).split()
        # Outside of the transaction: whatever becomes of it, the attempt is used up.
        if not right or code is None:
            raise InvalidSignIn
        identity = provider.redeem(code, self._back(name), verifier, nonce)
        return self._account(identity, name, origin)

    def exchange(self, name: str, token: str, nonce: str | None, origin: Origin) -> str:
        """The account of whom the ID token *token* vouches for; each is good once."""
        provider = self._provider(name)
        identity = provider.identity(token, nonce)
        now = self._now()
        # The signature is not part of what was signed and may have several forms.
        signed = token.rpartition(".")[0]
        with self._database.write() as session:
            if not store.spend(session, _digest(signed), now + _SPENT_MEMORY, now):
                raise InvalidIdToken("This ID token was exchanged before.")
        return self._account(identity, name, origin)

    def _account(self, identity: Identity, provider: str, origin: Origin) -> str:
        now, taken_over = self._now(), None
        with self._database.write() as session:
            # Two callbacks of a newcomer at once must not open two accounts.
            take_turns(session, f"external identity {identity.issuer} {identity.subject}")
            known = store.find(session, identity.issuer, identity.subject)
            if known is not None:
                return known.user_id
            user = self._owner(session, identity)
            if user is None:
                user = self._enter(session, identity)
                action = "account.register"
            else:
                action = "account.link"
                if not user.email_verified:
                    taken_over = self._take_over(session, user, now)
            store.link(
                session,
                store.ExternalIdentity(
                    issuer=identity.issuer,
                    subject=identity.subject,
                    user_id=user.id,
                    created_at=now,
                ),
            )
            user_id = user.id
            note(session, now, origin, action, actor_id=user_id, target=user_id, provider=provider)
        if taken_over is not None:
            self._revoker.raise_user(user_id, taken_over)
        return user_id

    def _owner(self, session: Session, identity: Identity) -> accounts.User | None:
        """Whose e-mail address the provider has proven to be theirs."""
        if identity.email is None:
            return None
        return accounts.find_by_email(session, email_key(identity.email))

    def _take_over(self, session: Session, user: accounts.User, now: datetime) -> int:
        """Give *user* to the one who owns the e-mail address; the generation from now on.

        Nobody ever showed that it was theirs, so whoever registered with it may have
        been somebody else, waiting for this moment: nothing of theirs stays good.
        """
        accounts.change(session, user, {"password_hash": None, "email_verified": True})
        sessions.end_all(session, user.id, "taken_over", now)
        api_keys.delete_all(session, user.id, now)
        second_factor.remove(session, user.id)
        return accounts.raise_generation(session, user.id, now)

    def _enter(self, session: Session, identity: Identity) -> accounts.User:
        name = _free_name(session, identity)
        newcomer = Newcomer(name.shown, "", identity.email, identity.display_name)
        user = self._people.enter(session, newcomer, Prepared(name, None), [NEWCOMER_ROLE])
        user.email_verified = identity.email is not None
        return user

    def _provider(self, name: str) -> Provider:
        provider = self._providers.get(name)
        if provider is None:
            raise NoSuchThing
        return provider

    def _back(self, name: str) -> str:
        return f"{self._public_url}/auth/oidc/{name}/callback"


def _free_name(session: Session, identity: Identity) -> Username:
    """A user name like the one at the provider that nobody has here."""
    wanted = (identity.username or "").partition("@")[0]
    wanted = _NOT_IN_NAMES.sub("", wanted)[:_LONGEST_NAME].strip("._-")
    for start in (wanted, "user"):
        for ending in ("", *(f"-{secrets.token_hex(3)}" for _ in range(5))):
            try:
                name = read_username(start + ending)
            except UnfitUsername:
                continue
            if accounts.find_by_username(session, name.key) is None:
                return name
    return read_username(f"user-{secrets.token_hex(12)}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
