"""The loader: a segment that the store can't take is set aside, and does not hold up the others."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.waiting import until
from watchkeeper.ingest_log.loader import TRIES, Loader
from watchkeeper.ingest_log.segments import IngestLog
from watchkeeper.store.otlp import Destination
from watchkeeper.store.statements import Statements


def test_a_poisonous_segment_is_set_aside(tmp_path: Path) -> None:
    """Refused a few times for no passing reason, it is kept as *.refused, and the next segment is loaded."""
    seen: list[bytes] = []

    class Store(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(body)
            is_poison = b"poison" in body
            is_first = len(seen) == 1
            self.send_response(500 if is_poison or is_first else 200)
            self.send_header("X-ClickHouse-Exception-Code", "241" if is_first else "117")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        log = IngestLog(tmp_path, segment_bytes=1, max_backlog_bytes=1 << 20)
        for record in (b"early", b"poison", b"late"):
            log.append("traces", record).result(5)
        log.close()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        into = Destination(database="otel", memory_mib=100)
        loader = Loader(log, Statements(url=url, user="u", password="p"), lambda: into)
        thread = threading.Thread(target=loader.run)
        thread.start()
        until(lambda: not log.sealed())
        loader.stop()
        thread.join()
        server.shutdown()
    assert [path.read_bytes() for path in tmp_path.glob("*.refused")] == [b"\x06poison"]
    assert seen == [b"\x05early"] * 2 + [b"\x06poison"] * TRIES + [b"\x04late"]
    assert log.backlog_bytes == 0
