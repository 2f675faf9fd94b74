"""The store role: the embedded engine behind ClickHouse's HTTP interface."""

from __future__ import annotations

import signal
import threading

import structlog

from watchkeeper.config import Config
from watchkeeper.errors import StoreError
from watchkeeper.roles import ready
from watchkeeper.roles.checkup import port_owner
from watchkeeper.roles.telemetry import configure_logs
from watchkeeper.store.chdb_server import ChdbServer, User
from watchkeeper.store.engine import Engine


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT."""
    configure_logs()
    log = structlog.get_logger()
    users = {
        config.store.user: User(password=config.store_password(), writes=False),
        "loader": User(password=config.secret("store-loader"), writes=True),
    }
    try:  # before the engine is opened: a taken port is the commoner mistake, and the quicker to find
        server = ChdbServer((config.store.host, config.store.port), users)
    except OSError as error:
        raise StoreError(
            f"store.port {config.store.port} cannot be used: it is held by {port_owner(config.store.port)}. "
            "Stop that process, or set store.port."
        ) from error
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
    stopping.wait()
    server.shutdown()
    engine.close()
    ready.withdraw(config, "store")
    log.info("store.stopped")
