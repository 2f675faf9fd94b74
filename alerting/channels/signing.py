"""Short texts in addresses that nobody can forge: each is signed for one purpose, with a key of this installation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from watchkeeper.config import Config

LONGEST: Final = 400  # characters of a token


class Signing:
    """Makes and reads the tokens of one purpose. A token of another purpose is none."""

    def __init__(self, config: Config, purpose: str) -> None:
        self._config = config
        self._purpose = purpose.encode()

    def token(self, text: str) -> str:
        """A text that everybody can read, and its signature."""
        return f"{_encode(text.encode())}.{_encode(self.digest(text))}"

    def read(self, token: str) -> str | None:
        """The text of a token; None for one that is forged."""
        if len(token) > LONGEST:
            return None
        body, _, signature = token.partition(".")
        try:
            data, signed = _decode(body), _decode(signature)
            text = data.decode()
        except (binascii.Error, ValueError):
            return None
        return text if hmac.compare_digest(self.digest(text), signed) else None

    def digest(self, text: str) -> bytes:
        """32 bytes that only this installation can make of a text."""
        key = self._config.secret("links").encode()
        return hmac.new(key, self._purpose + b"\n" + text.encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
