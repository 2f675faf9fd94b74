"""The store role: the embedded engine behind ClickHouse's HTTP interface."""

from __future__ import annotations

import signal
import threading
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Final

import structlog

from watchkeeper.config import Config
from watchkeeper.config_values import bracketed
from watchkeeper.roles import ready
from watchkeeper.roles.lifecycle import Life, alive
from watchkeeper.roles.ports import refused
from watchkeeper.roles.readiness import noted
from watchkeeper.store.chdb_server import ChdbServer, User
from watchkeeper.store.engine import Engine

SERVING: Final = "serving"
# A busy engine answers a ping late; twice the bound is late enough to be hung.
SERVING_TIMES: Final = 2.0
PING_EVERY_S: Final = 2.0
PING_WITHIN_S: Final = 10.0


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT."""
    with alive(config, "store") as life:
        _serve(life)


def _serve(life: Life) -> None:
    config = life.config
    log = structlog.get_logger()
    users = {
        config.store.user: User(password=config.store_password(), writes=False),
        "loader": User(password=config.secret("store-loader"), writes=True),
    }
    try:  # before the engine is opened: a taken port is the commoner mistake, and the quicker to find
        server = ChdbServer((config.store.host, config.store.port), users)
    except OSError as error:
        raise refused(config.store.host, config.store.port, "store.port", error) from error
    server.noted = lambda: noted(life)
    life.heart.enter_phase("opening the engine")
    engine = server.engine = Engine(
        config.data_dir / "store",
        database=config.store.database,
        retention_days=config.store.retention_days,
        readers=config.store.readers,
        memory_mib=config.store.memory_mib,
    )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    port = server.server_address[1]
    ready.announce(config, "store", {"http": port})
    log.info("store.ready", port=port)
    threading.Thread(target=_ask, args=(life, port, stopping), name="ping", daemon=True).start()
    life.wait(stopping)
    server.shutdown()
    engine.close()
    ready.withdraw(config, "store")
    log.info("store.stopped")


def _ask(life: Life, port: int, stopping: threading.Event) -> None:
    """Ask our own port as others do: a server that accepts and never answers does not serve."""
    life.heart.expect(SERVING, SERVING_TIMES * life.config.roles.hung_after_s)
    host = "127.0.0.1" if life.config.store.host in ("0.0.0.0", "::") else life.config.store.host  # noqa: S104
    while not stopping.wait(PING_EVERY_S):
        connection = HTTPConnection(host, port, timeout=PING_WITHIN_S)
        try:
            connection.request("GET", "/ping", headers={"Host": f"{bracketed(host)}:{port}"})
            if connection.getresponse().status == HTTPStatus.OK:
                life.heart.beat(SERVING)
        except (OSError, HTTPException):
            continue
        finally:
            connection.close()
