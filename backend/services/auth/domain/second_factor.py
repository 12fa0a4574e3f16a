"""The second factor: six digits from a device (RFC 6238), or a recovery code."""

import hashlib
import hmac
import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyotp

from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import BrokenSeal, Seal
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.passwords import PasswordDesk
from backend.services.auth.errors import (
    InvalidCredentials,
    NoSecondFactor,
    SecondFactorOn,
    SessionEnded,
    TooManyAttempts,
    WrongCode,
)
from backend.services.auth.store import accounts
from backend.services.auth.store import second_factor as store

_log = logging.getLogger(__name__)
_ISSUER = "AI Agent System"
_STEP_SECONDS = 30
_DIGITS = 6
# Clocks differ: the code before and the one after are good as well.
_NEIGHBOURS = (0, -1, 1)
# Only who knows the password gets to guess codes, so this locks nobody out who
# is merely known by name.
_FAILURES = 5
_BLOCKED = timedelta(minutes=5)
_RECOVERY_CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_CODE_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a device needs to make codes."""

    secret: str
    uri: str


class SecondFactor:
    def __init__(
        self,
        database: Database,
        desk: PasswordDesk,
        seal: Seal,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._desk = desk
        self._seal = seal
        self._now = now

    def begin(self, user_id: str) -> Enrolment:
        """A new secret, which counts once it is confirmed; or SecondFactorOn."""
        secret = pyotp.random_base32()
        with self._database.write() as session:
            user = accounts.get(session, user_id)
            if user is None:
                raise SessionEnded
            if store.is_on(session, user_id):
                raise SecondFactorOn
            store.put(
                session,
                store.TotpFactor(
                    user_id=user_id,
                    sealed_secret=self._seal.close(secret),
                    created_at=self._now(),
                    confirmed_at=None,
                    last_step=0,
                    failures=0,
                    blocked_until=None,
                ),
            )
            uri = pyotp.TOTP(secret).provisioning_uri(user.username, _ISSUER)
        return Enrolment(secret, uri)

    def confirm(self, user_id: str, code: str, origin: Origin) -> list[str]:
        """Turn it on with the device's first code; the recovery codes, told this once.

        Raises NoSecondFactor, SecondFactorOn, WrongCode or TooManyAttempts.
        """
        now = self._now()
        codes = [_recovery_code() for _ in range(_RECOVERY_CODES)]
        with self._database.write() as session:
            factor = store.find(session, user_id)
            if factor is None:
                raise NoSecondFactor
            if factor.confirmed_at is not None:
                raise SecondFactorOn
            right = self._try(session, factor, code)
            if right:
                factor.confirmed_at = now
                store.give_codes(session, user_id, map(_digest, codes))
            outcome = "success" if right else "invalid_totp"
            note(session, now, origin, "totp.confirm", outcome, actor_id=user_id, target=user_id)
        if not right:
            raise WrongCode
        return codes

    def turn_off(self, user_id: str, password: str, code: str, origin: Origin) -> None:
        """Raises NoSecondFactor, InvalidCredentials, WrongCode, TooManyAttempts or TooBusy."""
        with self._desk.place():
            with self._database.read() as session:
                user = accounts.get(session, user_id)
                hashed = user.password_hash if user else None
            knows = self._desk.matches(password, hashed)
        with self._database.write() as session:
            factor = store.find(session, user_id)
            if factor is None or factor.confirmed_at is None:
                raise NoSecondFactor
            # A wrong password counts like a wrong code: here is no place to guess either.
            right = self._try(session, factor, code if knows else "")
            if right:
                store.remove(session, user_id)
            outcome = "success" if right else "invalid_totp" if knows else "invalid_credentials"
            note(
                session, self._now(), origin, "totp.off", outcome, actor_id=user_id, target=user_id
            )
        if not knows:
            raise InvalidCredentials
        if not right:
            raise WrongCode

    def is_on(self, user_id: str) -> bool:
        with self._database.read() as session:
            return store.is_on(session, user_id)

    def accepts(self, user_id: str, code: str) -> bool:
        """Whether *code* is good now; it is spent by that. Raises TooManyAttempts."""
        with self._database.write() as session:
            factor = store.find(session, user_id)
            return factor is None or self._try(session, factor, code)

    def _try(self, session: Session, factor: store.TotpFactor, code: str) -> bool:
        """Whether *code* is good, which it is once; counts what is not."""
        now = self._now()
        if factor.blocked_until is not None and factor.blocked_until > now:
            wait = (factor.blocked_until - now).total_seconds()
            raise TooManyAttempts(max(1, math.ceil(wait)))
        step = self._step_of(factor, code, now)
        if step is not None:
            factor.last_step = step
        elif not store.spend_code(session, factor.user_id, _digest(code)):
            factor.failures += 1
            if factor.failures >= _FAILURES:
                factor.failures, factor.blocked_until = 0, now + _BLOCKED
            return False
        factor.failures, factor.blocked_until = 0, None
        return True

    def _step_of(self, factor: store.TotpFactor, code: str, now: datetime) -> int | None:
        """The half-minute that *code* is of, unless it was used up."""
        if not (code.isascii() and code.isdigit() and len(code) == _DIGITS):
            return None
        try:
            totp = pyotp.TOTP(self._seal.open(factor.sealed_secret))
        except BrokenSeal:
            _log.warning("SECRET_KEY was changed: only recovery codes are good for older factors")
            return None
        at_hand = int(now.timestamp()) // _STEP_SECONDS
        for step in (at_hand + each for each in _NEIGHBOURS):
            fresh = step > factor.last_step
            if hmac.compare_digest(totp.generate_otp(step), code) and fresh:
                return step
        return None


def _recovery_code() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARACTERS))
    return "-".join(letters[start : start + 4] for start in range(0, _CODE_CHARACTERS, 4))


def _digest(code: str) -> str:
    """One value however the code is typed."""
    plain = "".join(each for each in code.lower() if each.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()
