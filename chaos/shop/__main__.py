"""`python -m chaos.shop`: the shop, its load and its supervisor in one terminal.

Example:
    python -m chaos.shop --otlp http://127.0.0.1:4318 --data-dir /tmp/shop --seconds 120
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from pathlib import Path

from aiohttp import web

from chaos.shop.changes import Changes
from chaos.shop.control import Control
from chaos.shop.processes import Processes
from chaos.shop.topology import READY_FILE


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos.shop", description="Run the demo shop under load.")
    parser.add_argument("--otlp", default="", help="OTLP/HTTP receiver, such as http://127.0.0.1:4318; empty: none")
    parser.add_argument("--changes", default="", help="where deploys are announced: .../api/v1/changes")
    parser.add_argument("--data-dir", type=Path, required=True, help="databases, routes and journals")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after this long; 0: until Ctrl-C")
    parser.add_argument("--rate", type=float, default=16.0, help="customers' requests a second; 0: none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=0, help="of the control API; 0: a free one")
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    # The demo hands its own tokens over in the environment: other users must not read them from `ps`.
    token = os.environ.get("SHOP_CONTROL_TOKEN") or secrets.token_urlsafe(24)
    changes_token = os.environ.get("SHOP_CHANGES_TOKEN", "")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    processes = Processes(options.data_dir, options.otlp, token)
    control = Control(processes, Changes(options.changes, changes_token), token)
    runner = web.AppRunner(control.application(), access_log=None)
    try:
        await processes.start_all()
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", options.port)
        await site.start()
        port = runner.addresses[0][1]
        if options.rate:
            processes.start_load(options.rate, options.seed)
        _announce(options.data_dir, port, token, processes)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), options.seconds or None)
    finally:
        processes.stop_all()
        await runner.cleanup()
        (options.data_dir / READY_FILE).unlink(missing_ok=True)


def _announce(data_dir: Path, port: int, token: str, processes: Processes) -> None:
    """Announce where the shop is, on the terminal and in a file that only this user may read."""
    ready = {
        "pid": os.getpid(),
        "control": f"http://127.0.0.1:{port}",
        "token": token,
        "load_pid": processes.load_pid,
        "services": {name: slot.instance.port for name, slot in processes.slots.items() if slot.instance},
    }
    draft = data_dir / f".{READY_FILE}"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(ready))
    draft.replace(data_dir / READY_FILE)
    sys.stdout.write(json.dumps({key: value for key, value in ready.items() if key != "token"}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run until asked to stop."""
    options = _arguments()
    for left_over in ("routes.json", "load-factor", "load.json", READY_FILE):
        (options.data_dir / left_over).unlink(missing_ok=True)
    asyncio.run(_serve(options))


if __name__ == "__main__":
    main()
