"""A few words of Redis' protocol, enough to ask for a setting and change it."""

from __future__ import annotations

import socket
from io import BufferedReader
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from watchkeeper.errors import AgentError

WITHIN_S: Final = 3.0
LONGEST_LINE: Final = 65536


class Refused(AgentError):
    """Redis answered with an error."""


class Redis:
    """One connection, to `redis://user:password@host:port`.

    Raises:
        AgentError: it cannot be reached, or refuses the password.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            address = (parts.hostname or "127.0.0.1", parts.port or 6379)
        except ValueError as error:
            raise AgentError(f"redis_url of the agent's file is no address: {error}") from error
        if parts.scheme != "redis":
            raise AgentError("redis_url of the agent's file must begin with redis://")
        self._place = f"{address[0]}:{address[1]}"
        try:
            self._socket = socket.create_connection(address, WITHIN_S)
        except ConnectionRefusedError as error:
            raise NotRunning(f"nothing listens at {self._place}") from error
        except OSError as error:
            raise AgentError(f"Redis at {self._place} cannot be reached: {error}", retry=True) from error
        self._lines: BufferedReader = self._socket.makefile("rb")
        if parts.password:
            user = [unquote(parts.username)] if parts.username else []
            try:
                self.ask("AUTH", *user, unquote(parts.password))
            except AgentError:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()

    def setting(self, name: str) -> str:
        """A setting's value now. Raises AgentError."""
        answer = self.ask("CONFIG", "GET", name)
        if not isinstance(answer, list) or len(answer) != 2:
            raise AgentError(f"Redis at {self._place} has no setting {name}")
        return str(answer[1])

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server. Raises AgentError."""
        self.ask("CONFIG", "SET", name, value)

    def ask(self, *words: str) -> object:
        """Send one command, return its answer.

        Raises:
            Refused: Redis answered with an error.
            AgentError: it did not answer.
        """
        text = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        try:
            self._socket.sendall(text.encode())
            return self._answer(words[0])
        except (OSError, ValueError) as error:
            raise AgentError(f"Redis at {self._place} does not answer {words[0]}: {error}", retry=True) from error

    def _answer(self, word: str) -> object:
        line = self._lines.readline(LONGEST_LINE)
        kind, rest = line[:1], line[1:].strip().decode(errors="replace")
        if kind == b"-":
            raise Refused(f"Redis at {self._place} refuses {word}: {rest}")
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return self._lines.read(size + 2)[:-2].decode(errors="replace") if size >= 0 else None
        if kind == b"*":
            return [self._answer(word) for _ in range(int(rest))]
        raise OSError("the connection was closed" if not line else f"unknown answer {line[:40]!r}")


class NotRunning(AgentError):
    """Nothing listens where Redis should."""
