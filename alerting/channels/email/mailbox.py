"""A mail server for trials: it takes whatever it is given on loopback, and keeps one of each message id.

Just enough of SMTP (RFC 5321) for a client that sends. As servers that suppress duplicates do, it shows a message
whose id it knows no second time.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Final

LONGEST_LINE: Final = 1 << 16


class Mailbox:
    """What arrived, in order; while `is_away`, connections end at once."""

    def __init__(self) -> None:
        self.mails: dict[str, EmailMessage] = {}
        self.is_away = False

    def take(self, raw: bytes) -> None:
        """Keep a message, unless its id is here."""
        mail = message_from_bytes(raw, policy=policy.default)
        self.mails.setdefault(str(mail["Message-ID"]), mail)

    def texts(self) -> list[str]:
        """Each message as a reader sees it: from whom and to whom, the subject, the text."""
        return [
            "\n".join([str(mail["To"]), str(mail["Subject"]), str(body.get_content()) if body else ""])
            for mail in self.mails.values()
            for body in [mail.get_body(("plain",))]
        ]


@contextmanager
def serving(mailbox: Mailbox) -> Iterator[int]:
    """Serve a mailbox on loopback; gives the port."""

    class Session(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            if mailbox.is_away:
                return
            self._say("220 trial ready")
            while line := self.rfile.readline(LONGEST_LINE):
                match line.strip().upper().split(b" ")[0].partition(b":")[0]:
                    case b"EHLO" | b"HELO" | b"MAIL" | b"RCPT" | b"RSET" | b"NOOP":
                        self._say("250 ok")
                    case b"DATA":
                        self._say("354 end with a dot")
                        mailbox.take(self._data())
                        self._say("250 kept")
                    case b"QUIT":
                        self._say("221 bye")
                        return
                    case _:
                        self._say("502 not here")

        def _data(self) -> bytes:
            lines = []
            while (line := self.rfile.readline(LONGEST_LINE)) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            return b"".join(lines)

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
