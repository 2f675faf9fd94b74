"""A TCP proxy that delays every chunk; run as a program of its own: PORT DELAY_MS JITTER_MS SECONDS.

Prints the port it listens on. Ends by itself after SECONDS. Needs the standard library alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float, jitter_s: float) -> None:
    """Pass chunks on in order, each `delay_s` and some after it came: two that came together leave together."""
    loop = asyncio.get_running_loop()
    delayed: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)

    async def deliver() -> None:
        while True:
            due, chunk = await delayed.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()

    delivery = asyncio.create_task(deliver())
    try:
        chunk = b"first"
        while chunk and not delivery.done():
            chunk = await reader.read(65536)
            await delayed.put((loop.time() + delay_s + random.random() * jitter_s, chunk))
        await delivery
    except (ConnectionError, asyncio.CancelledError):
        delivery.cancel()
    finally:
        writer.close()


async def _serve(port: int, delay_s: float, jitter_s: float, seconds: float) -> None:
    async def accept(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # at the end of the process; asyncio would print it
            await pass_on(from_client, to_client)

    async def pass_on(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_service, to_service = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            to_client.close()
            return
        # Requests are delayed, answers are not: one delay a round trip.
        await asyncio.gather(
            _pump(from_client, to_service, delay_s, jitter_s), _pump(from_service, to_client, 0.0, 0.0)
        )

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.sleep(seconds)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C reaches the whole group; whoever started this ends it
        asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000, float(sys.argv[3]) / 1000, float(sys.argv[4])))
