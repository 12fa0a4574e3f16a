"""The keys that sign access tokens."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.security.tokens import LocalKeys, public_jwk, signing_key


class SigningKeys:
    """The key in use, derived from a secret so that several instances agree on it."""

    def __init__(self, secret: str) -> None:
        self.current: Ed25519PrivateKey = signing_key(secret)
        self._published = (public_jwk(self.current.public_key()),)

    @property
    def kid(self) -> str:
        return self._published[0]["kid"]

    def published(self) -> tuple[dict[str, str], ...]:
        """The public keys by which tokens may be verified."""
        return self._published

    def verifying(self) -> LocalKeys:
        return LocalKeys([self.current.public_key()])
