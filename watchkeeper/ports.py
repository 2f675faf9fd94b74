"""Ports for roles that nobody gave one: measurements, the demo and tests."""

from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import Collection
from typing import Final

# Below the range from which the kernel takes ports for connections: by the time that a role binds a port, one of those
# may be in use.
LOWEST: Final = 15_000
HIGHEST: Final = 32_000
TRIES: Final = 200
# Whoever asks for several ports binds them later, and must not get one of them twice.
_GIVEN: Final[deque[int]] = deque(maxlen=100)
_DICE: Final = random.SystemRandom()  # two processes with one seed must not choose alike


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server can listen there now."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


def free_port(host: str = "127.0.0.1", besides: Collection[int] = ()) -> int:
    """A port that nothing listens on, none of `besides`, and none that this process was given lately.

    Raises:
        OSError: none was free; this machine may have no such address.
    """
    for port in _DICE.sample(range(LOWEST, HIGHEST), TRIES):
        if port not in besides and port not in _GIVEN and is_free(port, host):
            _GIVEN.append(port)
            return port
    raise OSError(f"none of {TRIES} ports of {host} can be listened on")
