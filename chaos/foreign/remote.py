"""Starts, stops and replaces the library's programs for others: an agent's file names these commands.

python -P remote.py SOCKET start|stop|restart PROGRAM
python -P remote.py SOCKET deploy PROGRAM VERSION [NAME=VALUE ...]

The library serves the socket; this file needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ANSWER_WITHIN_S: Final = 60.0
Do = Callable[[list[str]], None]


@contextmanager
def served(path: Path, do: Do) -> Iterator[None]:
    """Have `do` carry out what is asked on a Unix socket, until the context ends. What it raises is answered.

    All in one thread that stays: the kernel ends what a thread started when that thread ends (PR_SET_PDEATHSIG).
    """

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                do([str(word) for word in json.loads(self.rfile.readline())])
                answer = ""
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                answer = str(error) or type(error).__name__
            with contextlib.suppress(OSError):
                self.wfile.write(json.dumps(answer).encode() + b"\n")

    with socketserver.UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="remote", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(5)


def ask(path: str, words: list[str]) -> str:
    """Have the library do something. Returns what went wrong; empty: nothing did."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_WITHIN_S)
        connection.connect(path)
        connection.sendall(json.dumps(words).encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline()
    return str(json.loads(line)) if line else "the library ended before it answered"


if __name__ == "__main__":
    problem = ask(sys.argv[1], sys.argv[2:])
    sys.stderr.write(problem)
    sys.exit(1 if problem else 0)
