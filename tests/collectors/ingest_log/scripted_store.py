"""A store over HTTP that answers by a rule, for failures that no real one gives on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from collectors.ingest_log.framing import records
from collectors.ingest_log.loader import PROBE, Loader, Patience
from collectors.ingest_log.segments import IngestLog
from watchkeeper.problems import Problems
from watchkeeper.store.otlp import Destination
from watchkeeper.store.statements import Statements

QUICK: Final = Patience(first_s=0.002, longest_s=0.02, store_longest_s=0.02)


@dataclass
class Answers:
    """`rule` is given the statement and its body, and returns HTTP status, ClickHouse's code (or none) and text."""

    rule: Callable[[str, bytes], tuple[int, str, str]] = lambda *_: (200, "", "")
    stored: list[bytes] = field(default_factory=list)
    tries: int = 0


@contextmanager
def scripted_store(answers: Answers) -> Iterator[Statements]:
    """Serve `answers`; a body that gets 200 is added to `stored`."""

    class Store(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sql = parse_qs(urlsplit(self.path).query)["query"][0]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, code, text = answers.rule(sql, body)
            if sql.startswith("INSERT") and body != PROBE:
                answers.tries += 1
                if status == 200:
                    answers.stored.append(body)
            answer = text.encode() or (b"0" if sql.startswith("SELECT") else b"")
            self.send_response(status)
            if code:
                self.send_header("X-ClickHouse-Exception-Code", code)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Statements(url=f"http://127.0.0.1:{server.server_address[1]}", user="u", password="p")
        server.shutdown()


@contextmanager
def loading(
    log: IngestLog, store: Statements, problems: Problems | None = None, patience: Patience = QUICK
) -> Iterator[None]:
    """Run a loader meanwhile."""
    into = Destination(database="otel", memory_mib=256)
    loader = Loader(log, store, lambda: into, problems or Problems(None), patience)
    thread = threading.Thread(target=loader.run)
    thread.start()
    try:
        yield
    finally:
        loader.stop()
        thread.join()


def open_log(folder: Path, segment_bytes: int = 1) -> IngestLog:
    """A log in which each request is a segment of its own, unless stated otherwise."""
    return IngestLog(folder, segment_bytes=segment_bytes, max_backlog_bytes=1 << 30, load_scale=0.01)


def is_empty(folder: Path) -> bool:
    """Whether no segment waits, nor is being divided."""
    return not [path for path in folder.iterdir() if path.suffix in (".open", ".ready", ".split", ".part")]


def stored_records(answers: Answers) -> list[bytes]:
    """Every record that the store took."""
    return [record for body in answers.stored for record in records(body)]
