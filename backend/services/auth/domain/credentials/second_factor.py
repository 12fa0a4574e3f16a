"""Second factor: time-based one-time passwords (TOTP, RFC 6238) and recovery codes."""

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
from backend.chassis.encryption import DecryptionError, Encryptor
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter
from backend.services.auth.domain.credentials.passwords import PasswordHasher
from backend.services.auth.errors import (
    InvalidCredentials,
    SecondFactorActive,
    SecondFactorInactive,
    SessionEnded,
    TooManyAttempts,
    TotpCodeRejected,
)
from backend.services.auth.store import accounts
from backend.services.auth.store.credentials import second_factor as store

_log = logging.getLogger(__name__)
_ISSUER = "AI Agent System"
_STEP_SECONDS = 30
_DIGITS = 6
# Tolerate clock skew: accept the codes of the previous and the next time step as well.
_STEP_OFFSETS = (0, -1, 1)
# Codes can only be guessed after the correct password was sent, so this limit does not allow an
# attacker who knows only the username to lock the user out.
_MAX_FAILURES = 5
_BLOCK_DURATION = timedelta(minutes=5)
_RECOVERY_CODE_COUNT = 10
_CODE_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_CODE_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class TotpEnrollment:
    """The TOTP secret (base32) and its `otpauth://` URI for an authenticator app."""

    secret: str
    uri: str


class SecondFactorService:
    """Enroll, verify and deactivate second factors. *encryptor* encrypts stored secrets."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        limiter: AttemptLimiter,
        encryptor: Encryptor,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._limiter = limiter
        self._encryptor = encryptor
        self._now = now

    def start_enrollment(self, user_id: str) -> TotpEnrollment:
        """Create a secret. The factor is active once it is confirmed.

        Raises:
            SecondFactorActive: the user already has an active factor.
            SessionEnded: the account was deleted after the request was authenticated.
        """
        secret = pyotp.random_base32()
        with self._database.write() as session:
            user = accounts.get_user(session, user_id)
            if user is None:
                raise SessionEnded
            if store.is_factor_active(session, user_id):
                raise SecondFactorActive
            store.save_factor(
                session,
                store.TotpFactor(
                    user_id=user_id,
                    sealed_secret=self._encryptor.encrypt_text(secret),
                    created_at=self._now(),
                    confirmed_at=None,
                    last_step=0,
                    failures=0,
                    blocked_until=None,
                ),
            )
            uri = pyotp.TOTP(secret).provisioning_uri(user.username, _ISSUER)
        return TotpEnrollment(secret, uri)

    def confirm_enrollment(self, user_id: str, code: str, origin: RequestOrigin) -> list[str]:
        """Activate the factor with a first code and return its recovery codes.

        Only digests of the recovery codes are stored, so they cannot be shown again.

        Raises:
            SecondFactorInactive: no enrollment was started.
            SecondFactorActive: the factor is already confirmed.
            TotpCodeRejected: the code is not valid.
            TooManyAttempts: too many invalid codes were sent.
        """
        now = self._now()
        codes = [_generate_recovery_code() for _ in range(_RECOVERY_CODE_COUNT)]
        with self._database.write() as session:
            factor = store.find_factor_for_update(session, user_id)
            if factor is None:
                raise SecondFactorInactive
            if factor.confirmed_at is not None:
                raise SecondFactorActive
            is_valid = self._check_code(session, factor, code)
            if is_valid:
                factor.confirmed_at = now
                store.add_recovery_codes(session, user_id, map(_hash_recovery_code, codes))
            outcome = "success" if is_valid else "invalid_totp"
            record_audit_event(
                session, now, origin, "totp.confirm", outcome, actor_id=user_id, target=user_id
            )
        if not is_valid:
            raise TotpCodeRejected
        return codes

    def deactivate_factor(
        self, user_id: str, session_id: str, password: str, code: str, origin: RequestOrigin
    ) -> None:
        """Remove the factor and its recovery codes.

        Raises:
            SecondFactorInactive: the user has no active factor.
            InvalidCredentials: the password is wrong.
            TotpCodeRejected: the code is not valid.
            TooManyAttempts: too many invalid codes or passwords were sent.
            TooBusy: too many passwords are being hashed.
        """
        with self._limiter.limit_proof(session_id):
            self._check_and_deactivate(user_id, password, code, origin)

    def _check_and_deactivate(
        self, user_id: str, password: str, code: str, origin: RequestOrigin
    ) -> None:
        with self._hasher.reserve_slot():
            with self._database.read() as session:
                user = accounts.get_user(session, user_id)
                password_hash = user.password_hash if user else None
            is_password_correct = self._hasher.matches_hash(password, password_hash)
        with self._database.write() as session:
            factor = store.find_factor_for_update(session, user_id)
            if factor is None or factor.confirmed_at is None:
                raise SecondFactorInactive
            # A wrong password counts as a failed attempt too, so that the password cannot be
            # guessed here either.
            is_valid = self._check_code(session, factor, code if is_password_correct else "")
            if is_valid:
                store.delete_factor(session, user_id)
                outcome = "success"
            else:
                outcome = "invalid_totp" if is_password_correct else "invalid_credentials"
            record_audit_event(
                session, self._now(), origin, "totp.off", outcome, actor_id=user_id, target=user_id
            )
        if not is_password_correct:
            raise InvalidCredentials("The password is wrong.")
        if not is_valid:
            raise TotpCodeRejected

    def is_active(self, user_id: str) -> bool:
        """Return True if the user has a confirmed factor."""
        with self._database.read() as session:
            return store.is_factor_active(session, user_id)

    def verify_code(self, user_id: str, code: str) -> bool:
        """Verify and consume a TOTP or recovery code; return False if it is not valid.

        Raises:
            TooManyAttempts: too many invalid codes were sent.
        """
        with self._database.write() as session:
            factor = store.find_factor_for_update(session, user_id)
            return factor is None or self._check_code(session, factor, code)

    def _check_code(self, session: Session, factor: store.TotpFactor, code: str) -> bool:
        """Consume *code* if it is valid, else count a failure and return False."""
        now = self._now()
        if factor.blocked_until is not None and factor.blocked_until > now:
            remaining_seconds = (factor.blocked_until - now).total_seconds()
            raise TooManyAttempts(max(1, math.ceil(remaining_seconds)))
        step = self._find_time_step(factor, code, now)
        if step is not None:
            factor.last_step = step
        elif not store.consume_recovery_code(session, factor.user_id, _hash_recovery_code(code)):
            factor.failures += 1
            if factor.failures >= _MAX_FAILURES:
                factor.failures, factor.blocked_until = 0, now + _BLOCK_DURATION
            return False
        factor.failures, factor.blocked_until = 0, None
        return True

    def _find_time_step(self, factor: store.TotpFactor, code: str, now: datetime) -> int | None:
        """Return the unused time step that *code* belongs to, or None if there is none."""
        if not (code.isascii() and code.isdigit() and len(code) == _DIGITS):
            return None
        try:
            totp = pyotp.TOTP(self._encryptor.decrypt_text(factor.sealed_secret))
        except DecryptionError:
            _log.warning("SECRET_KEY was changed: older factors accept only recovery codes")
            return None
        current_step = int(now.timestamp()) // _STEP_SECONDS
        for step in (current_step + offset for offset in _STEP_OFFSETS):
            is_unused = step > factor.last_step
            if hmac.compare_digest(totp.generate_otp(step), code) and is_unused:
                return step
        return None


def _generate_recovery_code() -> str:
    letters = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_CHARACTERS))
    return "-".join(letters[start : start + 4] for start in range(0, _CODE_CHARACTERS, 4))


def _hash_recovery_code(code: str) -> str:
    """Return the digest of a recovery code, ignoring case, spaces and punctuation."""
    normalized = "".join(character for character in code.lower() if character.isalnum())
    return hashlib.sha256(normalized.encode()).hexdigest()
