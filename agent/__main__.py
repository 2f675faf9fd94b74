"""The agent's process: `python -m agent agent.yaml`. What it need not have in memory, it does not load."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from agent.allowed import Allowed, read_allowed
from agent.audit import audit
from agent.keepers import Keepers
from agent.memory import keep_small
from agent.server import Server
from watchkeeper import __version__
from watchkeeper.errors import AgentError, ConfigError, WatchkeeperError
from watchkeeper.private_files import private_folder

if TYPE_CHECKING:
    from agent.telemetry.running import Telemetry

LET_GO_WITHIN_S: Final = 30.0  # for the keepers to put everything back before the agent goes


def main(arguments: list[str]) -> int:
    keep_small()
    try:
        asyncio.run(serve(read_allowed(Path(arguments[0]))))
    except WatchkeeperError as error:
        print(f"watchkeeper agent: {error.message}", file=sys.stderr)  # noqa: T201 - the command's one line
        return error.exit_code
    return 0


async def serve(allowed: Allowed) -> None:
    """Answer until a signal says stop; then end every fault, and go.

    Raises:
        WatchkeeperError: it cannot begin; says what to do.
    """
    root = private_folder(allowed.file.state_dir)
    alone = _alone(root)
    keepers = Keepers(root)
    left = keepers.recover()
    audit(root, "agent.started", version=__version__, file=str(allowed.path), recovers=left)
    telemetry = _telemetry(allowed, root, keepers)
    # Cancelled with the server, not waited for: a client that holds a request open must not keep the agent.
    runner = web.AppRunner(
        Server(allowed, root, keepers, telemetry).application(),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=5.0,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, allowed.file.host, allowed.file.port, ssl_context=_tls(allowed))
        try:
            await site.start()
        except OSError as error:
            raise AgentError(
                f"port {allowed.file.port} of {allowed.file.host} cannot be used: {error.strerror or error}; "
                "set host and port in the agent's file"
            ) from error
        otlp = f" otlp={await telemetry.start()}" if telemetry else ""
        port = runner.addresses[0][1]
        print(f"agent.ready name={allowed.file.name}{otlp} address={allowed.file.host}:{port}", flush=True)  # noqa: T201
        await _signal()
    finally:
        keepers.close()
        await runner.cleanup()
        if telemetry:
            await telemetry.close()
        await asyncio.to_thread(keepers.wait, LET_GO_WITHIN_S)
        audit(root, "agent.stopped")
        os.close(alone)


def _telemetry(allowed: Allowed, root: Path, keepers: Keepers) -> Telemetry | None:
    """What the file's key `telemetry` sets going; its libraries are loaded for nobody else. Raises WatchkeeperError."""
    if allowed.file.telemetry is None:
        return None
    from agent.telemetry.running import Telemetry

    return Telemetry(allowed, allowed.file.telemetry, root, keepers)


async def _signal() -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    await stop.wait()


def _alone(root: Path) -> int:
    """Hold the state folder: two agents would end each other's faults. Raises AgentError."""
    descriptor = os.open(root / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AgentError(f"another agent uses {root}: stop it, or set another state_dir") from error
    return descriptor


def _tls(allowed: Allowed) -> ssl.SSLContext | None:
    """How the agent proves who it is, and whom it asks for the same. Raises ConfigError."""
    tls = allowed.file.tls
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{allowed.path}: tls: a certificate or a key cannot be used: {error}") from error
    return context


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
