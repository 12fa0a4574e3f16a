"""Password policy, and password hashing with bounded concurrency."""

import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from backend.security.passwords import DUMMY_HASH, hash_password, needs_rehash, verify_password
from backend.services.auth.errors import TooBusy, WeakPassword

MAX_PASSWORD_CHARACTERS = 128
# zxcvbn's run time grows faster than linearly with the length of the password.
_MAX_SCORED_CHARACTERS = 72
# zxcvbn stores the user's words in a global dictionary, so calls must not overlap.
_zxcvbn_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """Requirements on new passwords.

    Attributes:
        min_guesses: minimum number of guesses that zxcvbn estimates for the password.
    """

    min_length: int
    min_guesses: int

    def check_password(
        self, password: str, personal_words: Sequence[str], pointer: str = "#/password"
    ) -> None:
        """Raise WeakPassword if *password* is too short or too easy to guess.

        Args:
            personal_words: words that an attacker who knows the user would try.
            pointer: JSON pointer of the field, for the error response.
        """
        if len(password) < self.min_length:
            raise WeakPassword(f"Use at least {self.min_length} characters.", pointer)
        with _zxcvbn_lock:
            # zxcvbn's dictionaries take 0.1 s and 10 MB: load them only to check a new password.
            from zxcvbn import zxcvbn  # type: ignore[import-untyped]

            estimate = zxcvbn(_normalize(password)[:_MAX_SCORED_CHARACTERS], list(personal_words))
        if estimate["guesses"] < self.min_guesses:
            advice = (estimate["feedback"]["warning"], *estimate["feedback"]["suggestions"])
            hints = " ".join(sentence.rstrip(".") + "." for sentence in advice if sentence)
            raise WeakPassword(f"This password is easy to guess. {hints}".strip(), pointer)


class PasswordHasher:
    """Hash and verify passwords (Argon2id), at most *max_concurrent* at a time.

    Each hash takes 19 MiB of memory and about 15 ms of CPU time. Requests beyond the limit fail
    immediately instead of queueing, because a queue would block the worker threads of all other
    requests.
    """

    def __init__(self, max_concurrent: int) -> None:
        self._slots = threading.BoundedSemaphore(max_concurrent)

    @contextmanager
    def reserve_slot(self) -> Iterator[None]:
        """Reserve one of the concurrent slots.

        Raises:
            TooBusy: all slots are in use.
        """
        if not self._slots.acquire(blocking=False):
            raise TooBusy
        try:
            yield
        finally:
            self._slots.release()

    def hash_password(self, password: str) -> str:
        return hash_password(_normalize(password))

    def matches_hash(self, password: str, hashed: str | None) -> bool:
        """Return True if *password* matches *hashed*.

        A *hashed* of None never matches. The check then takes as long as for a wrong password, so
        that response times do not reveal which accounts exist.
        """
        matches = verify_password(_normalize(password), hashed or DUMMY_HASH)
        return matches and hashed is not None

    def needs_rehash(self, hashed: str) -> bool:
        return needs_rehash(hashed)


def _normalize(password: str) -> str:
    # Different keyboards encode the same accented character differently.
    return unicodedata.normalize("NFC", password)
