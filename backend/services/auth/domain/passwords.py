"""Which passwords are good enough, and how many may be checked at once."""

import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from zxcvbn import zxcvbn  # type: ignore[import-untyped]

from backend.security.passwords import UNUSABLE, hash_password, matches, needs_rehash
from backend.services.auth.errors import TooBusy, WeakPassword

MAX_CHARACTERS = 128
# The time that zxcvbn takes grows faster than the password.
_SCORED_CHARACTERS = 72
# zxcvbn keeps the words that belong to the user in a global dictionary.
_scoring = threading.Lock()


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    min_length: int
    min_guesses: int

    def check(self, password: str, personal: Sequence[str], pointer: str = "#/password") -> None:
        """WeakPassword unless *password* is long and hard to guess for one who knows *personal*."""
        if len(password) < self.min_length:
            raise WeakPassword(f"Use at least {self.min_length} characters.", pointer)
        with _scoring:
            estimate = zxcvbn(_normal(password)[:_SCORED_CHARACTERS], list(personal))
        if estimate["guesses"] < self.min_guesses:
            advice = (estimate["feedback"]["warning"], *estimate["feedback"]["suggestions"])
            words = " ".join(sentence.rstrip(".") + "." for sentence in advice if sentence)
            raise WeakPassword(f"This password is easy to guess. {words}".strip(), pointer)


class PasswordDesk:
    """Hashes and matches passwords, a few at a time.

    Each takes 19 MiB and some 15 ms of a core. Whoever comes when all places are
    taken is sent away at once: a queue would make everybody else's requests wait.
    """

    def __init__(self, places: int) -> None:
        self._places = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place, or raise TooBusy."""
        if not self._places.acquire(blocking=False):
            raise TooBusy
        try:
            yield
        finally:
            self._places.release()

    def hash(self, password: str) -> str:
        return hash_password(_normal(password))

    def matches(self, password: str, hashed: str | None) -> bool:
        """Whether *password* is the one behind *hashed*; for None it takes as long to say no."""
        known = matches(_normal(password), hashed or UNUSABLE)
        return known and hashed is not None

    def needs_rehash(self, hashed: str) -> bool:
        return needs_rehash(hashed)


def _normal(password: str) -> str:
    # The same characters may come as other bytes from another keyboard.
    return unicodedata.normalize("NFC", password)
